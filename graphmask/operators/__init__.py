"""Matrices known by their products with vectors, and attention under them."""

from .adjacency import ChebyshevOperator as ChebyshevOperator
from .adjacency import PowerSeriesOperator as PowerSeriesOperator
from .adjacency import ResolventOperator as ResolventOperator
from .algebra import ProductOperator as ProductOperator
from .algebra import ScaledOperator as ScaledOperator
from .algebra import SumOperator as SumOperator
from .attend import attend as attend
from .base import Attended as Attended
from .base import Entries as Entries
from .base import MaskOperator as MaskOperator
from .base import Sign as Sign
from .causal import CausalOperator as CausalOperator
from .executions import Dense as Dense
from .executions import Execution as Execution
from .executions import Lifted as Lifted
from .executions import Pairs as Pairs
from .global_ import GlobalOperator as GlobalOperator
from .grid_diffusion import GridDiffusionOperator as GridDiffusionOperator
from .hadamard import HadamardOperator as HadamardOperator
from .headwise import HeadwiseOperator as HeadwiseOperator
from .hypercube import HypercubeOperator as HypercubeOperator
from .kronecker import KroneckerOperator as KroneckerOperator
from .low_rank import LowRankOperator as LowRankOperator
from .node_series import NodeSeriesOperator as NodeSeriesOperator
from .ripple import GridRippleOperator as GridRippleOperator
from .ripple import Rings as Rings
from .ripple import RippleOperator as RippleOperator
from .separator import SeparatorOperator as SeparatorOperator
from .sparse import SparseOperator as SparseOperator
from .toeplitz import ToeplitzOperator as ToeplitzOperator
from .tree import TreeExponentialOperator as TreeExponentialOperator
from .tree import TreePolynomialOperator as TreePolynomialOperator
from .tree import TreeTableOperator as TreeTableOperator

__all__ = [
    "Attended",
    "CausalOperator",
    "ChebyshevOperator",
    "Dense",
    "Entries",
    "Execution",
    "GlobalOperator",
    "GridDiffusionOperator",
    "GridRippleOperator",
    "HadamardOperator",
    "HeadwiseOperator",
    "HypercubeOperator",
    "KroneckerOperator",
    "Lifted",
    "LowRankOperator",
    "MaskOperator",
    "NodeSeriesOperator",
    "Pairs",
    "PowerSeriesOperator",
    "ProductOperator",
    "ResolventOperator",
    "Rings",
    "RippleOperator",
    "ScaledOperator",
    "SeparatorOperator",
    "Sign",
    "SparseOperator",
    "SumOperator",
    "ToeplitzOperator",
    "TreeExponentialOperator",
    "TreePolynomialOperator",
    "TreeTableOperator",
    "attend",
]
