"""Topological masks: learnable functions of the weighted adjacency."""

from .algebra import MatrixProduct as MatrixProduct
from .algebra import ScaledMask as ScaledMask
from .algebra import SumMask as SumMask
from .algebra import Symmetrized as Symmetrized
from .algebra import Transposed as Transposed
from .algebra import symmetrize as symmetrize
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
from .degree import DegreeMask as DegreeMask
from .diffusion import DiffusionMask as DiffusionMask
from .distances import DistanceFunction as DistanceFunction
from .distances import ExponentialDistance as ExponentialDistance
from .distances import PolynomialExponentialDistance as PolynomialExponentialDistance
from .distances import TableDistance as TableDistance
from .edge_functions import BoxEdges as BoxEdges
from .edge_functions import EdgeFunction as EdgeFunction
from .edge_functions import GaussianEdges as GaussianEdges
from .fourier import FourierMask as FourierMask
from .global_ import GlobalMask as GlobalMask
from .grf import GRFMask as GRFMask
from .grid_diffusion import GridDiffusionMask as GridDiffusionMask
from .hadamard import Hadamard as Hadamard
from .hypercube import HypercubeMask as HypercubeMask
from .kronecker import Kronecker as Kronecker
from .power_series import PowerSeriesMask as PowerSeriesMask
from .random_walk_kernel import RandomWalkKernelMask as RandomWalkKernelMask
from .rfd import RFDMask as RFDMask
from .separator import SeparatorMask as SeparatorMask
from .shortest_path import ShortestPathMask as ShortestPathMask
from .stitched import StitchedMask as StitchedMask
from .toeplitz import ToeplitzMask as ToeplitzMask
from .tree import TreeDistanceMask as TreeDistanceMask
from .walk import WalkMask as WalkMask

__all__ = [
    "BoxEdges",
    "CausalMask",
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
    "Hadamard",
    "HypercubeMask",
    "Kronecker",
    "MatrixProduct",
    "NonNegative",
    "PStepWalk",
    "PageRank",
    "PolynomialExponentialDistance",
    "PowerSeriesMask",
    "RFDMask",
    "RandomWalkKernelMask",
    "RegularizedLaplacian",
    "ScaledMask",
    "SeparatorMask",
    "ShortestPathMask",
    "StitchedMask",
    "SumMask",
    "Symmetrized",
    "TableDistance",
    "ToeplitzMask",
    "TopologicalMask",
    "Transposed",
    "TreeDistanceMask",
    "WalkMask",
    "symmetrize",
]
