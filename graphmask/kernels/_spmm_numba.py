"""Sparse matrix times dense matrix, compiled for CPUs.

A row is summed in registers, some columns of a head at a time.

Letters: H heads, N rows, M columns of the pattern, C channels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from torch import Tensor

from ._compiled import compiled, flat
from ._pairs_numba import _run
from ._vectors import LINE, add, fill, load, multiply, prefetch, store, zeros

# Bytes of a row that are summed in registers at once.
_GROUP = 512

# Entries between asking for memory and reading it.
_AHEAD = 6


def spmm(value: Tensor, x: Tensor, rowptr: Tensor, col: Tensor) -> Tensor:
    """``[H, N, C]`` from values ``[H, nnz]`` and ``[H, M, C]``, whose heads and rows may have any strides."""
    x = x if x.stride(2) == 1 else x.contiguous()
    heads, rows, channels = len(x), rowptr.numel() - 1, x.shape[2]
    out = x.new_empty(heads, rows, channels)
    span = (heads - 1) * x.stride(0) + (x.shape[1] - 1) * x.stride(1) + channels
    numbers = x.detach().as_strided((span,), (1,)).numpy()
    lanes = LINE // x.element_size()
    body = _body(lanes, min(channels, _GROUP // x.element_size()) // lanes * lanes, channels)
    args = (
        flat(col),
        flat(value),
        value.shape[1],
        numbers,
        x.stride(0),
        x.stride(1),
        flat(out),
        rows,
        heads,
    )
    _run(body, rowptr, rowptr[:0], col.numel() * heads * channels, (flat(rowptr), *args))
    return out


@cache
def _body(lanes: int, widest: int, channels: int) -> Callable[..., None]:
    """The loop over rows of several parts of ``widest`` channels and what is left of them.

    What is left and no multiple of the ``lanes`` of a line is summed by a last line that overlaps
    the others.
    """
    parts, rest = divmod(channels, widest)
    middle, odd = rest // lanes * lanes, rest % lanes > 0
    left = max(middle, lanes)

    def multiply_rows(  # type: ignore[no-untyped-def]
        visits, first, last, ptr, col, value, entries, x, head_step, step, out, rows, heads
    ):
        for i in range(first, last):
            for head in range(heads):
                base, place, offset = head * head_step, (head * rows + i) * channels, head * entries
                tail = channels - lanes
                for part in range(parts):
                    start = part * widest
                    total, end = zeros(x, widest), zeros(x, lanes)
                    for entry in range(ptr[i], ptr[i + 1]):
                        prefetch(
                            x, base + start + col[min(entry + _AHEAD, len(col) - 1)] * step, widest
                        )
                        row = base + col[entry] * step
                        weight = value[offset + entry]
                        total = add(
                            total, multiply(fill(weight, widest), load(x, row + start, widest))
                        )
                        if odd and not middle and part == parts - 1:
                            end = add(
                                end, multiply(fill(weight, lanes), load(x, row + tail, lanes))
                            )
                    store(out, place + start, total)
                    if odd and not middle and part == parts - 1:
                        store(out, place + tail, end)
                if middle:
                    start = parts * widest
                    more, end = zeros(x, left), zeros(x, lanes)
                    for entry in range(ptr[i], ptr[i + 1]):
                        prefetch(
                            x, base + start + col[min(entry + _AHEAD, len(col) - 1)] * step, left
                        )
                        row = base + col[entry] * step
                        weight = value[offset + entry]
                        more = add(more, multiply(fill(weight, left), load(x, row + start, left)))
                        if odd:
                            end = add(
                                end, multiply(fill(weight, lanes), load(x, row + tail, lanes))
                            )
                    store(out, place + start, more)
                    if odd:
                        store(out, place + tail, end)

    return compiled(multiply_rows)
