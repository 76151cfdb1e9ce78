"""Row maxima, compiled for CPUs: the largest numbers and their columns stay in registers.

Letters: H heads, N rows, M columns of the pattern, C channels.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from torch import Tensor

from ._compiled import Rows, compiled, flat, run_rows
from ._vectors import LINE, fill, load, prefetch, store, take_larger, zeros

# Bytes of a row that are compared in registers at once, beside as many columns.
_GROUP = 256

# Entries between prefetching memory and reading it.
_AHEAD = 6


def pair_max(x: Tensor, rowptr: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    """``[H, N, C]`` maxima and their columns, of ``[H, M, C]`` of any strides of heads and rows."""
    x = x if x.stride(2) == 1 else x.contiguous()
    heads, channels = len(x), x.shape[2]
    shape = heads, rowptr.numel() - 1, channels
    out, column = x.new_zeros(shape), col.new_full(shape, -1)
    span = (heads - 1) * x.stride(0) + (x.shape[1] - 1) * x.stride(1) + channels
    data = Rows(x.detach().as_strided((span,), (1,)).numpy(), x.stride(1))
    args = flat(col), data, x.stride(0), flat(out), flat(column), shape[1], heads
    work = col.numel() * heads * channels
    run_rows(_compile(*_widths(channels, x.element_size()), channels), rowptr, work, args)
    return out, column


def scatter(grad: Tensor, column: Tensor, num_cols: int) -> Tensor:
    """``[H, M, C]``, gradients summed at the columns of their maxima, in the order of rows."""
    heads, rows, channels = grad.shape
    total = grad.new_zeros(heads, num_cols, channels)
    _scatter(flat(total), flat(grad), flat(column), heads, rows, num_cols, channels)
    return total


def _widths(channels: int, itemsize: int) -> tuple[int, int]:
    """Parts of a row and their width; the last part may overlap the one before."""
    lanes = LINE // itemsize
    parts = -(-channels * itemsize // _GROUP)
    width = -(-channels // parts)
    return parts, min(channels, -(-width // lanes) * lanes)


@cache
def _compile(parts: int, width: int, channels: int) -> Callable[..., None]:
    """The loop over rows, in parts of ``width`` channels."""

    def max_rows(order, first, last, ptr, col, x, head_stride, out, column, rows, heads):
        for i in range(first, last):
            begin, end = ptr[i], ptr[i + 1]
            if begin == end:
                continue
            for head in range(heads):
                for part in range(parts):
                    start = min(part * width, channels - width)
                    source, target = head * head_stride + start, (head * rows + i) * channels
                    top = load(x.data, source + col[begin] * x.stride, zeros(x.data, width))
                    place = fill(col[begin], zeros(col, width))
                    for entry in range(begin + 1, end):
                        ahead = col[min(entry + _AHEAD, len(col) - 1)]
                        prefetch(x.data, source + ahead * x.stride, top)
                        value = load(x.data, source + col[entry] * x.stride, top)
                        place = take_larger(value, top, fill(col[entry], place), place)
                        top = take_larger(value, top, value, top)
                    store(out, target + start, top)
                    store(column, target + start, place)

    return compiled(max_rows)


@compiled
def _scatter(
    total: np.ndarray,
    grad: np.ndarray,
    column: np.ndarray,
    heads: int,
    rows: int,
    num_cols: int,
    channels: int,
) -> None:
    for head in range(heads):
        for i in range(rows):
            for c in range(channels):
                source = (head * rows + i) * channels + c
                if column[source] >= 0:
                    total[(head * num_cols + column[source]) * channels + c] += grad[source]
