"""Topological masks: learnable functions of the weighted adjacency."""

from .algebra import MatrixProduct as MatrixProduct
from .algebra import ScaledMask as ScaledMask
from .algebra import SumMask as SumMask
from .algebra import Symmetrized as Symmetrized
from .algebra import Transposed as Transposed
from .algebra import symmetrize as symmetrize
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
from .edge_functions import BoxEdges as BoxEdges
from .edge_functions import EdgeFunction as EdgeFunction
from .edge_functions import GaussianEdges as GaussianEdges
from .global_ import GlobalMask as GlobalMask
from .grf import GRFMask as GRFMask
from .hadamard import Hadamard as Hadamard
from .power_series import PowerSeriesMask as PowerSeriesMask
from .rfd import RFDMask as RFDMask
from .stitched import StitchedMask as StitchedMask
from .walk import WalkMask as WalkMask

__all__ = [
    "BoxEdges",
    "Coefficients",
    "Cosine",
    "Deconvolution",
    "Diffusion",
    "EdgeFunction",
    "Free",
    "GRFMask",
    "GaussianEdges",
    "GlobalMask",
    "Hadamard",
    "MatrixProduct",
    "NonNegative",
    "PStepWalk",
    "PageRank",
    "PowerSeriesMask",
    "RFDMask",
    "RegularizedLaplacian",
    "ScaledMask",
    "StitchedMask",
    "SumMask",
    "Symmetrized",
    "TopologicalMask",
    "Transposed",
    "WalkMask",
    "symmetrize",
]
