"""Compilation by numba, tensors as arrays, and rows shared out among threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

# Multiply-adds that are worth a thread, and pieces of work for each thread: pieces of equal numbers
# of entries take unequal time.
_MIN_THREAD_WORK = 2**25
_PIECES = 4


class Rows(NamedTuple):
    """The numbers of ``[H, N, C]`` where they lie, and the distance between consecutive nodes."""

    data: np.ndarray
    stride: int


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled, without the interpreter's lock, and cached on disk if a directory is writable."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled into its callers: calls with arrays cost more than what these functions do."""
    return numba.njit(nogil=True, forceinline=True)(function)


def flat(x: Tensor) -> np.ndarray:
    """The numbers of a tensor in one row; its own memory where it is contiguous."""
    return x.detach().contiguous().view(-1).numpy()


def rows_of(x: Tensor) -> Rows:
    """``[H, N, C]``, copied unless the heads and channels of each node lie side by side."""
    heads, nodes, channels = x.shape
    if (x.stride(2) != 1 and channels > 1) or (x.stride(0) != channels and heads > 1):
        x = x.transpose(0, 1).contiguous().transpose(0, 1)
    span = (nodes - 1) * x.stride(1) + heads * channels if x.numel() else 0
    return Rows(x.detach().as_strided((span,), (1,)).numpy(), x.stride(1))


def run_rows(
    body: Callable[..., None],
    ptr: Tensor,
    work: int,
    args: tuple[Any, ...],
    row_order: Tensor | None = None,
) -> None:
    """Calls ``body(order, first, last, ptr, *args)`` for all rows, on as many threads as torch.

    A row is summed by one thread in one order, so results do not depend on the number of threads.
    """
    start = flat(ptr)
    order = start[:0] if row_order is None else flat(row_order)
    threads = min(torch.get_num_threads(), max(1, work // _MIN_THREAD_WORK))
    if threads == 1:
        body(order, 0, len(start) - 1, start, *args)
        return
    counts = np.diff(start)
    entries = np.cumsum(counts[order] if len(order) else counts, dtype=np.int64)
    pieces = threads * _PIECES
    ends = np.searchsorted(entries, entries[-1] * np.arange(1, pieces) // pieces)
    bounds = [0, *ends.tolist(), len(counts)]
    with ThreadPoolExecutor(threads) as pool:
        jobs = [
            pool.submit(body, order, first, last, start, *args) for first, last in pairwise(bounds)
        ]
        for job in jobs:
            job.result()
