"""The primitives every sparse mask is made of, and the pattern they share."""

from .conjugate import solve_resolvent as solve_resolvent
from .hops import HopValues as HopValues
from .hops import combine_hops as combine_hops
from .pair_max import pair_max as pair_max
from .pairs import pair_attention as pair_attention
from .pairs import pair_softmax as pair_softmax
from .pairs import pair_sums as pair_sums
from .pattern import Pattern as Pattern
from .polynomials import chebyshev_series as chebyshev_series
from .polynomials import power_series as power_series
from .products import sddmm as sddmm
from .products import spmm as spmm
from .row_hops import combine_hops_by_row as combine_hops_by_row

__all__ = [
    "HopValues",
    "Pattern",
    "chebyshev_series",
    "combine_hops",
    "combine_hops_by_row",
    "pair_attention",
    "pair_max",
    "pair_softmax",
    "pair_sums",
    "power_series",
    "sddmm",
    "solve_resolvent",
    "spmm",
]
