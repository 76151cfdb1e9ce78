"""Matrices known by what they do to vectors, and the ways to attend through them."""

from .algebra import ScaledOperator as ScaledOperator
from .algebra import SumOperator as SumOperator
from .base import Attended as Attended
from .base import Entries as Entries
from .base import MaskOperator as MaskOperator
from .executions import Dense as Dense
from .executions import Execution as Execution
from .executions import Lifted as Lifted
from .executions import Pairs as Pairs
from .global_ import GlobalOperator as GlobalOperator
from .power_series import PowerSeriesOperator as PowerSeriesOperator
from .product import ProductOperator as ProductOperator
from .separator import SeparatorOperator as SeparatorOperator
from .sparse import SparseOperator as SparseOperator
from .tree import TreeExponentialOperator as TreeExponentialOperator
from .tree import TreePolynomialOperator as TreePolynomialOperator
from .tree_table import TreeTableOperator as TreeTableOperator

__all__ = [
    "Attended",
    "Dense",
    "Entries",
    "Execution",
    "GlobalOperator",
    "Lifted",
    "MaskOperator",
    "Pairs",
    "PowerSeriesOperator",
    "ProductOperator",
    "ScaledOperator",
    "SeparatorOperator",
    "SparseOperator",
    "SumOperator",
    "TreeExponentialOperator",
    "TreePolynomialOperator",
    "TreeTableOperator",
]
