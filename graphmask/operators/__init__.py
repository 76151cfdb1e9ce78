"""Matrices known by what they do to vectors, and the ways to attend through them."""

from .algebra import ScaledOperator as ScaledOperator
from .algebra import SumOperator as SumOperator
from .base import Attended as Attended
from .base import Entries as Entries
from .base import MaskOperator as MaskOperator
from .chebyshev import ChebyshevOperator as ChebyshevOperator
from .executions import Dense as Dense
from .executions import Execution as Execution
from .executions import Lifted as Lifted
from .executions import Pairs as Pairs
from .global_ import GlobalOperator as GlobalOperator
from .hadamard import HadamardOperator as HadamardOperator
from .low_rank import LowRankOperator as LowRankOperator
from .power_series import PowerSeriesOperator as PowerSeriesOperator
from .product import ProductOperator as ProductOperator
from .resolvent import ResolventOperator as ResolventOperator
from .sparse import SparseOperator as SparseOperator

__all__ = [
    "Attended",
    "ChebyshevOperator",
    "Dense",
    "Entries",
    "Execution",
    "GlobalOperator",
    "HadamardOperator",
    "Lifted",
    "LowRankOperator",
    "MaskOperator",
    "Pairs",
    "PowerSeriesOperator",
    "ProductOperator",
    "ResolventOperator",
    "ScaledOperator",
    "SparseOperator",
    "SumOperator",
]
