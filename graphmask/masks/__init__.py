"""Topological masks: learnable functions of the weighted adjacency."""

from graphmask._deprecation import deprecated_attributes as _deprecated_attributes

from .adaptive import AdaptiveWalkMask
from .base import TopologicalMask
from .causal import CausalMask
from .chunks import ChunkMask
from .coefficients import (
    Coefficients,
    Deconvolution,
    Free,
    NonNegative,
    OneHop,
    Spread,
    StickBreaking,
)
from .combinators import (
    HadamardMask,
    HeadwiseMask,
    ProductMask,
    ScaledMask,
    SumMask,
    SymmetrizedMask,
    TransposedMask,
    symmetrize,
)
from .degree import DegreeMask
from .diffusion import DiffusionMask
from .distances import (
    DistanceFunction,
    ExponentialDistance,
    PolynomialExponentialDistance,
    TableDistance,
)
from .fourier import FourierMask
from .global_ import GlobalMask
from .grf import GRFMask, StitchedMask
from .grid_diffusion import GridDiffusionMask, HypercubeMask
from .kernel_coefficients import Cosine, Diffusion, PageRank, PStepWalk, RegularizedLaplacian
from .kronecker import KroneckerMask
from .power_series import PowerSeriesMask
from .random_walk_kernel import RandomWalkKernelMask
from .rfd import BoxEdges, EdgeFunction, GaussianEdges, RFDMask
from .ripple import RippleMask
from .separator import SeparatorMask
from .shortest_path import ShortestPathMask
from .toeplitz import ToeplitzMask
from .tree import TreeDistanceMask
from .walk import WalkMask

__all__ = [
    "AdaptiveWalkMask",
    "BoxEdges",
    "CausalMask",
    "ChunkMask",
    "Coefficients",
    "Cosine",
    "Deconvolution",
    "DegreeMask",
    "Diffusion",
    "DiffusionMask",
    "DistanceFunction",
    "EdgeFunction",
    "ExponentialDistance",
    "FourierMask",
    "Free",
    "GRFMask",
    "GaussianEdges",
    "GlobalMask",
    "GridDiffusionMask",
    "HadamardMask",
    "HeadwiseMask",
    "HypercubeMask",
    "KroneckerMask",
    "NonNegative",
    "OneHop",
    "PStepWalk",
    "PageRank",
    "PolynomialExponentialDistance",
    "PowerSeriesMask",
    "ProductMask",
    "RFDMask",
    "RandomWalkKernelMask",
    "RegularizedLaplacian",
    "RippleMask",
    "ScaledMask",
    "SeparatorMask",
    "ShortestPathMask",
    "Spread",
    "StickBreaking",
    "StitchedMask",
    "SumMask",
    "SymmetrizedMask",
    "TableDistance",
    "ToeplitzMask",
    "TopologicalMask",
    "TransposedMask",
    "TreeDistanceMask",
    "WalkMask",
    "symmetrize",
]

__getattr__ = _deprecated_attributes(
    __name__,
    Hadamard="HadamardMask",
    Kronecker="KroneckerMask",
    MatrixProduct="ProductMask",
    Symmetrized="SymmetrizedMask",
    Transposed="TransposedMask",
)
