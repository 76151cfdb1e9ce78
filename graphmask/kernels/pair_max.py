"""The largest number of each row of a pattern, channel by channel, and where it stands.

    pair_max(P, x)_i = max over entries (i, j) of P of x_j    d/dx = scatter to the arguments

Implementations: with the extra `fast` numba on CPU; elsewhere a composition of torch's operators.
Letters: H heads, N rows, M columns, C channels, nnz entries.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._autograd import Grads, operator
from ._extra import load_bodies
from .pattern import Pattern
from .products import is_half, runs_numba

# Comparisons below which torch's operators run: a body is compiled for each number of channels.
_MIN_COMPILED_WORK = 2**20


def pair_max(pattern: Pattern, x: Tensor) -> tuple[Tensor, Tensor]:
    r"""Row maxima over the entries of a pattern, :math:`y_{hic} = \max_j x_{hjc}`.

    Rows without entries give 0, and a NaN among the numbers of a row gives NaN. The gradient goes
    to the largest number, of several to that of the lowest column.

    Args:
        pattern: the entries (i, j), of shape ``N x M``.
        x: ``[H, M, C]``.

    Returns:
        ``[H, N, C]``, the maxima in the type of x, and ``[H, N, C]``, the columns in which they
        stand, -1 for rows without entries.

    Cost: O(nnz H C) time; memory O((N + M) H C) with the extra ``fast`` on CPU, elsewhere
    O(nnz H C).

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, pair_max
        >>> path = Pattern.from_coo(torch.tensor([0, 1, 1]), torch.tensor([1, 0, 2]), (3, 3))
        >>> largest, column = pair_max(path, torch.tensor([[[1.0], [-2.0], [4.0]]]))
        >>> largest.flatten(), column.flatten()
        (tensor([-2.,  4.,  0.]), tensor([ 1,  2, -1], dtype=torch.int32))
    """
    largest, column = _pair_max(x.float() if is_half(x) else x, pattern.rowptr, pattern.col)
    return largest.to(x.dtype), column


@operator(
    "pair_max",
    "(Tensor x, Tensor rowptr, Tensor col) -> (Tensor, Tensor)",
    lambda x, rowptr, col: tuple(
        x.new_empty(x.shape[0], rowptr.shape[0] - 1, x.shape[2], dtype=dtype)
        for dtype in (x.dtype, col.dtype)
    ),
)
def _pair_max(x: Tensor, rowptr: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    heads, _, channels = x.shape
    shape = heads, rowptr.numel() - 1, channels
    if runs_numba(x) and col.numel() * heads * channels >= _MIN_COMPILED_WORK:
        return load_bodies("_pair_max_numba").pair_max(x, rowptr, col)
    if not col.numel():
        return x.new_zeros(shape), col.new_full(shape, -1)
    return _compose(x, rowptr, col)


def _compose(x: Tensor, rowptr: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    heads, none, channels = x.shape
    counts = rowptr.diff()
    rows = torch.arange(len(counts), device=x.device)
    row = rows.repeat_interleave(counts, output_size=col.numel())
    # The rows of all heads as one, along the first dimension, which torch reduces fastest.
    value = x.transpose(0, 1).flatten(1).index_select(0, col)
    index = row.unsqueeze(1).expand_as(value)
    shape = len(rows), heads * channels
    largest = x.new_full(shape, -torch.inf).scatter_reduce(0, index, value, "amax")
    top = largest.index_select(0, row)
    is_top = (value >= top) | value.isnan()
    column = col.unsqueeze(1).expand_as(value).masked_fill(~is_top, none)
    column = col.new_full(shape, none).scatter_reduce(0, index, column, "amin")
    is_empty = (counts == 0).unsqueeze(1)
    results = largest.masked_fill(is_empty, 0), column.masked_fill(is_empty, -1)
    largest, column = (
        y.unflatten(1, (heads, channels)).transpose(0, 1).contiguous() for y in results
    )
    return largest, column


@operator(
    "pair_max_scatter",
    "(Tensor grad, Tensor column, int num_cols) -> Tensor",
    lambda grad, _, num_cols: grad.new_empty(grad.shape[0], num_cols, grad.shape[2]),
)
def _scatter(grad: Tensor, column: Tensor, num_cols: int) -> Tensor:
    """``[H, M, C]``, gradients of rows summed at the columns of their maxima."""
    if runs_numba(grad) and grad.numel() >= _MIN_COMPILED_WORK // 8:
        return load_bodies("_pair_max_numba").scatter(grad, column, num_cols)
    total = grad.new_zeros(grad.shape[0], num_cols, grad.shape[2])
    if not num_cols:
        return total
    return total.scatter_add(1, column.long().clamp(min=0), grad.masked_fill(column < 0, 0))


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.num_cols = inputs[0].shape[1]
    ctx.save_for_backward(output[1])


def _backward(ctx: Any, grad: Tensor, _: Any) -> Grads:
    (column,) = ctx.saved_tensors
    return _scatter(grad, column, ctx.num_cols), None, None


def _save_column(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])


def _gather(ctx: Any, grad: Tensor) -> Grads:
    (column,) = ctx.saved_tensors
    if not grad.shape[1]:
        return grad.new_zeros(column.shape), None, None
    taken = grad.gather(1, column.long().clamp(min=0))
    return taken.masked_fill(column < 0, 0), None, None


_pair_max.register_autograd(_backward, setup_context=_save)
_scatter.register_autograd(_gather, setup_context=_save_column)
