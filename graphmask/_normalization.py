"""Normalisations of the adjacency."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from ._checks import value_error
from .kernels import Pattern

Normalization = Literal["sym", "rw"] | None


def check_normalization(normalization: Normalization) -> Normalization:
    """One of the three normalisations."""
    if normalization not in ("sym", "rw", None):
        raise value_error("normalization", "'sym', 'rw' or None", normalization)
    return normalization


def normalize(pattern: Pattern, weight: Tensor, normalization: Normalization) -> Tensor:
    r"""``[..., nnz]`` values of A scaled by sums of absolute values of rows and columns.

    :math:`A_{ij} / \sqrt{r_i c_j}` for ``"sym"``, :math:`A_{ij} / r_i` for ``"rw"``.
    """
    if normalization is None:
        return weight
    row = _absolute_sums(weight, pattern.row, pattern.shape[0])
    if normalization == "rw":
        return weight * _power(row, -1)[..., pattern.row]
    col = _absolute_sums(weight, pattern.col, pattern.shape[1])
    return weight * _power(row, -0.5)[..., pattern.row] * _power(col, -0.5)[..., pattern.col]


def _absolute_sums(weight: Tensor, index: Tensor, size: int) -> Tensor:
    return weight.new_zeros(*weight.shape[:-1], size).index_add(-1, index, weight.abs())


def _power(total: Tensor, exponent: float) -> Tensor:
    """A negative power, and 0 where a node has no weight.

    Masked before the power, so that no gradient is NaN.
    """
    empty = total == 0
    return total.masked_fill(empty, 1).pow(exponent).masked_fill(empty, 0)
