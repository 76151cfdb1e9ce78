"""Topological masks: learnable functions of the weighted adjacency."""

from .algebra import ScaledMask as ScaledMask
from .algebra import SumMask as SumMask
from .base import TopologicalMask as TopologicalMask
from .coefficients import Coefficients as Coefficients
from .coefficients import Cosine as Cosine
from .coefficients import Diffusion as Diffusion
from .coefficients import Free as Free
from .coefficients import NonNegative as NonNegative
from .coefficients import PageRank as PageRank
from .coefficients import PStepWalk as PStepWalk
from .coefficients import RegularizedLaplacian as RegularizedLaplacian
from .deconvolution import Deconvolution as Deconvolution
from .distances import DistanceFunction as DistanceFunction
from .distances import ExponentialDistance as ExponentialDistance
from .distances import PolynomialExponentialDistance as PolynomialExponentialDistance
from .distances import TableDistance as TableDistance
from .global_ import GlobalMask as GlobalMask
from .grf import GRFMask as GRFMask
from .power_series import PowerSeriesMask as PowerSeriesMask
from .separator import SeparatorMask as SeparatorMask
from .shortest_path import ShortestPathMask as ShortestPathMask
from .stitched import StitchedMask as StitchedMask
from .tree import TreeDistanceMask as TreeDistanceMask
from .walk import WalkMask as WalkMask

__all__ = [
    "Coefficients",
    "Cosine",
    "Deconvolution",
    "Diffusion",
    "DistanceFunction",
    "ExponentialDistance",
    "Free",
    "GRFMask",
    "GlobalMask",
    "NonNegative",
    "PStepWalk",
    "PageRank",
    "PolynomialExponentialDistance",
    "PowerSeriesMask",
    "RegularizedLaplacian",
    "ScaledMask",
    "SeparatorMask",
    "ShortestPathMask",
    "StitchedMask",
    "SumMask",
    "TableDistance",
    "TopologicalMask",
    "TreeDistanceMask",
    "WalkMask",
]
