"""The table of hops times coefficients, and its derivative, compiled for CPUs: one pass each, the heads of a pair together."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from ._compiled import compiled, flat
from ._vectors import add, fill, load, multiply, store, zeros

# Pairs that are summed by themselves, so that sums do not depend on the number of threads.
_BLOCK = 2**14


class Bodies(NamedTuple):
    """Both loops, compiled for some numbers of heads and hops."""

    combine: Callable[..., None]
    gather: Callable[..., None]


def combine(table: Tensor, coefficients: Tensor) -> Tensor:
    """``[H, P]``, laid out by pairs."""
    value = table.new_empty(len(table), len(coefficients))
    body = _bodies(*coefficients.shape).combine
    numbers, factors, out = flat(table), flat(coefficients.mT), flat(value)
    _run(lambda number, first, last: body(first, last, numbers, factors, out), len(table))
    return value.mT


def gather(table: Tensor, value: Tensor) -> Tensor:
    """``[H, K + 1]``."""
    heads, width = len(value), table.shape[1]
    part = table.new_zeros(-(-len(table) // _BLOCK), width, heads)
    body = _bodies(heads, width).gather
    numbers, slopes, out = flat(table), flat(value.mT), flat(part)
    _run(lambda number, first, last: body(first, last, numbers, slopes, out, number * width * heads), len(table))
    return part.sum(0).mT.contiguous()


def _run(work: Callable[[int, int, int], None], size: int) -> None:
    blocks = [(number, first, min(first + _BLOCK, size)) for number, first in enumerate(range(0, size, _BLOCK))]
    threads = min(torch.get_num_threads(), len(blocks))
    if threads <= 1:
        for block in blocks:
            work(*block)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda block: work(*block), blocks))


@cache
def _bodies(heads: int, width: int) -> Bodies:
    """For tables of ``width`` hops."""

    def combine(first, last, table, coefficients, out):  # type: ignore[no-untyped-def]
        for pair in range(first, last):
            total = zeros(table, heads)
            for hop in range(width):
                total = add(total, multiply(fill(table[pair * width + hop], heads), load(coefficients, hop * heads, heads)))
            store(out, pair * heads, total)

    def gather(first, last, table, value, out, place):  # type: ignore[no-untyped-def]
        for pair in range(first, last):
            slope = load(value, pair * heads, heads)
            for hop in range(width):
                total = load(out, place + hop * heads, heads)
                store(out, place + hop * heads, add(total, multiply(fill(table[pair * width + hop], heads), slope)))

    return Bodies(compiled(combine), compiled(gather))
