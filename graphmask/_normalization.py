"""Normalisations of the adjacency, for weights of any finite size."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from ._checks import DeferredChecks, aminmax, value_error
from .kernels import Pattern
from .kernels.products import accumulator

Normalization = Literal["sym", "rw"] | None


def check_normalization(normalization: Normalization) -> Normalization:
    """One of the three normalisations."""
    if normalization not in ("sym", "rw", None):
        raise value_error("normalization", "'sym', 'rw' or None", normalization)
    return normalization


def normalize(pattern: Pattern, weight: Tensor, normalization: Normalization) -> Tensor:
    r"""``[..., nnz]`` values of A scaled by sums of absolute values of rows and columns.

    :math:`A_{ij} / \sqrt{r_i c_j}` for ``"sym"``, :math:`A_{ij} / r_i` for ``"rw"``.

    Each weight is first divided by the size of its row or column, the smaller one, so that no sum
    and no step of a gradient leaves the range of the type where the result does not.
    """
    if normalization is None:
        return weight
    sign = weight.detach().sign()  # that of a weight survives where the scaled one is rounded to 0
    row_size = _sizes(weight, pattern.row, pattern.shape[0])
    if normalization == "rw":
        value = weight / row_size
        return value * _power(_sums(value * sign, pattern.row, pattern.shape[0]), -1)
    col_size = _sizes(weight, pattern.col, pattern.shape[1])
    size = torch.minimum(row_size, col_size)
    value, root = weight / size, size.sqrt()
    row = _sums(value * sign * (size / row_size), pattern.row, pattern.shape[0])
    col = _sums(value * sign * (size / col_size), pattern.col, pattern.shape[1])
    value = value * (root / row_size.sqrt()) * (root / col_size.sqrt())
    return value * _power(row, -0.5) * _power(col, -0.5)


def check_sums(
    edge_index: Tensor, num_nodes: int, edge_weight: Tensor, checks: DeferredChecks
) -> None:
    """Check that no entry of A, the sum over parallel edges, overflows."""
    count = max(1, len(edge_weight))
    share = edge_weight.detach().to(accumulator(edge_weight)) / count
    limit = torch.finfo(share.dtype).max / count

    def check(is_huge: int) -> None:
        if not is_huge:
            return
        entry = (edge_index[1] * num_nodes + edge_index[0]).unique(return_inverse=True)[1]
        if bool((torch.zeros_like(share).index_add(0, entry, share).abs() > limit).any()):
            expected = f"of parallel edges whose sum is within {share.dtype} (rescale all weights)"
            raise value_error("edge_weight", expected, edge_weight)

    low, high = aminmax(share)
    checks.add(check, torch.maximum(-low, high) > limit / count)


def _sizes(weight: Tensor, index: Tensor, size: int) -> Tensor:
    """``[..., nnz]``, the largest absolute value of each entry's row or column, near enough.

    Powers of 4, normal numbers, so that scaling by them, or their roots, is exact.
    """
    value, index = weight.detach().abs(), index.long().expand_as(weight)
    largest = value.new_zeros(*value.shape[:-1], size).scatter_reduce(-1, index, value, "amax")
    limit = -math.log2(torch.finfo(value.dtype).tiny) / 2
    exponent = (largest.log2() / 2).floor().clamp(-limit, limit)
    return torch.exp2(2 * exponent).gather(-1, index)


def _sums(value: Tensor, index: Tensor, size: int) -> Tensor:
    """``[..., nnz]``, the sum over each entry's row or column."""
    return value.new_zeros(*value.shape[:-1], size).index_add(-1, index, value)[..., index]


def _power(total: Tensor, exponent: float) -> Tensor:
    """A negative power, and 0 where a node has no weight.

    Masked before the power, so that no gradient is NaN.
    """
    empty = total == 0
    return total.masked_fill(empty, 1).pow(exponent).masked_fill(empty, 0)
