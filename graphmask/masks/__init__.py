"""Topological masks: learnable functions of the weighted adjacency."""

from .algebra import ScaledMask as ScaledMask
from .algebra import SumMask as SumMask
from .base import TopologicalMask as TopologicalMask
from .coefficients import Coefficients as Coefficients
from .coefficients import Diffusion as Diffusion
from .coefficients import Free as Free
from .coefficients import NonNegative as NonNegative
from .coefficients import PageRank as PageRank
from .coefficients import RegularizedLaplacian as RegularizedLaplacian
from .global_ import GlobalMask as GlobalMask
from .power_series import PowerSeriesMask as PowerSeriesMask
from .walk import GRFMask as GRFMask
from .walk import WalkMask as WalkMask

__all__ = [
    "Coefficients",
    "Diffusion",
    "Free",
    "GRFMask",
    "GlobalMask",
    "NonNegative",
    "PageRank",
    "PowerSeriesMask",
    "RegularizedLaplacian",
    "ScaledMask",
    "SumMask",
    "TopologicalMask",
    "WalkMask",
]
