"""Sparse matrix times dense matrix, compiled for CPUs: rows are summed in registers.

Letters: H heads, N rows, M columns of the pattern, C channels.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from torch import Tensor

from ._compiled import Rows, compiled, flat, inlined, run_rows
from ._vectors import LINE, add, fill, load, multiply, prefetch, store, zeros

# Bytes of a row that are summed in registers at once.
_GROUP = 512

# Entries between prefetching memory and reading it.
_AHEAD = 6


def spmm(value: Tensor, x: Tensor, rowptr: Tensor, col: Tensor) -> Tensor:
    """``[H, N, C]`` from values ``[H, nnz]`` and ``[H, M, C]`` of any strides of heads and rows."""
    x = x if x.stride(2) == 1 else x.contiguous()
    heads, rows, channels = len(x), rowptr.numel() - 1, x.shape[2]
    out = x.new_empty(heads, rows, channels)
    span = (heads - 1) * x.stride(0) + (x.shape[1] - 1) * x.stride(1) + channels
    data = Rows(x.detach().as_strided((span,), (1,)).numpy(), x.stride(1))
    lanes = LINE // x.element_size()
    width = min(channels, _GROUP // x.element_size()) // lanes * lanes
    args = flat(col), flat(value), value.shape[1], data, x.stride(0), flat(out), rows, heads
    run_rows(_compile(lanes, width, channels), rowptr, col.numel() * heads * channels, args)
    return out


@inlined
def sum_row(col, value, begin, end, base, x, source, tail_source, has_tail, total, tail):
    """One row times as many channels as ``total`` has, and as ``tail`` has from another start."""
    for entry in range(begin, end):
        prefetch(x.data, source + col[min(entry + _AHEAD, len(col) - 1)] * x.stride, total)
        row, weight = col[entry] * x.stride, value[base + entry]
        total = add(total, multiply(fill(weight, total), load(x.data, source + row, total)))
        if has_tail:
            tail = add(tail, multiply(fill(weight, tail), load(x.data, tail_source + row, tail)))
    return total, tail


@cache
def _compile(lanes: int, width: int, channels: int) -> Callable[..., None]:
    """The loop over rows, in parts of ``width`` channels and one of the remaining lines.

    A remainder that is no multiple of the ``lanes`` of a line is summed with the last part by a
    line that overlaps the others.
    """
    parts, rest = divmod(channels, width)
    middle, odd = rest // lanes * lanes, rest % lanes > 0
    last_width = max(middle, lanes)

    def multiply_rows(
        order, first, last, ptr, col, value, entries, x, head_stride, out, rows, heads
    ):
        for i in range(first, last):
            begin, end = ptr[i], ptr[i + 1]
            for head in range(heads):
                source, target = head * head_stride, (head * rows + i) * channels
                base, tail_start = head * entries, channels - lanes
                for part in range(parts):
                    start, has_tail = part * width, odd and not middle and part == parts - 1
                    total, tail = sum_row(
                        col, value, begin, end, base, x, source + start, source + tail_start,
                        has_tail, zeros(x.data, width), zeros(x.data, lanes),
                    )  # fmt: skip
                    store(out, target + start, total)
                    if has_tail:
                        store(out, target + tail_start, tail)
                if middle:
                    start = parts * width
                    rest, tail = sum_row(
                        col, value, begin, end, base, x, source + start, source + tail_start,
                        odd, zeros(x.data, last_width), zeros(x.data, lanes),
                    )  # fmt: skip
                    store(out, target + start, rest)
                    if odd:
                        store(out, target + tail_start, tail)

    return compiled(multiply_rows)
