"""Topological masks: learnable functions of the weighted adjacency."""

from .algebra import ScaledMask as ScaledMask
from .algebra import SumMask as SumMask
from .base import TopologicalMask as TopologicalMask
from .causal import CausalMask as CausalMask
from .coefficients import Coefficients as Coefficients
from .coefficients import Cosine as Cosine
from .coefficients import Diffusion as Diffusion
from .coefficients import Free as Free
from .coefficients import NonNegative as NonNegative
from .coefficients import PageRank as PageRank
from .coefficients import PStepWalk as PStepWalk
from .coefficients import RegularizedLaplacian as RegularizedLaplacian
from .deconvolution import Deconvolution as Deconvolution
from .global_ import GlobalMask as GlobalMask
from .grf import GRFMask as GRFMask
from .power_series import PowerSeriesMask as PowerSeriesMask
from .stitched import StitchedMask as StitchedMask
from .toeplitz import ToeplitzMask as ToeplitzMask
from .walk import WalkMask as WalkMask

__all__ = [
    "CausalMask",
    "Coefficients",
    "Cosine",
    "Deconvolution",
    "Diffusion",
    "Free",
    "GRFMask",
    "GlobalMask",
    "NonNegative",
    "PStepWalk",
    "PageRank",
    "PowerSeriesMask",
    "RegularizedLaplacian",
    "ScaledMask",
    "StitchedMask",
    "SumMask",
    "ToeplitzMask",
    "TopologicalMask",
    "WalkMask",
]
