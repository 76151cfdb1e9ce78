"""Operations of ``_rows`` on one sparse row at a time, compiled for CPUs.

A row walks from end to end in the cache. Entries are met in another order than in ``_rows``, so
that one seed gives other draws of the same distribution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

from graphmask.kernels._compiled import compiled

from ._rows import TIE, Adjacency

T = TypeVar("T")
S = TypeVar("S")


def arrays_of(W: Adjacency) -> tuple[np.ndarray, ...]:
    """``ptr, col, weight, reach, mass``, what compiled functions read of an adjacency."""
    tensors = W.rows.ptr, W.rows.col.int(), W.rows.weight, W.reach, W.mass
    return tuple(tensor.numpy() for tensor in tensors)


def map_in_threads(function: Callable[[S], T], blocks: Iterable[S]) -> list[T]:
    """``function`` of each block, on as many threads as torch uses."""
    blocks = list(blocks)
    threads = min(torch.get_num_threads(), len(blocks))
    if threads <= 1:
        return [function(block) for block in blocks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, blocks))


@compiled
def multiply(W, state_col, state, length, formed, sampled, draw, total, touched):  # type: ignore[no-untyped-def]
    """Write the state times W into ``total``; return the number of nodes ``touched``.

    Up to ``formed`` terms are formed, of more about ``sampled`` are drawn. The addition stands here
    twice: as a function of its own it was not inlined, and took three quarters of the time.
    """
    ptr, col, weight, reach, mass = W
    terms = 0
    for x in range(length):
        terms += ptr[state_col[x] + 1] - ptr[state_col[x]]
    unit = 0.0
    if terms > formed:
        for x in range(length):
            unit += abs(state[x]) * mass[state_col[x]] / sampled
    passed, count = draw * unit, 0
    for x in range(length):
        factor, entry, end = state[x], ptr[state_col[x]], ptr[state_col[x] + 1]
        before = 0.0
        while entry < end and abs(factor * weight[entry]) >= unit:
            node = col[entry]
            if total[node] == 0.0:
                touched[count] = node
                count += 1
            total[node] += factor * weight[entry]
            before = reach[entry]
            entry += 1
        if entry == end:
            continue
        size = abs(factor)
        light = size * (reach[end - 1] - before)
        point, low, known = unit - passed, entry, before
        while point <= light:
            goal = before + point / size
            # Weights fall slowly, so that the entry is near where the last one found, or the first,
            # extrapolates to: searched from there, in steps that double.
            high, step = end - 1, 1
            ahead = (goal - known) / abs(weight[low]) if weight[low] != 0.0 else 0.0
            probe = low + int(max(0.0, min(ahead, float(high - low))))
            if reach[probe] >= goal:
                while probe > low and reach[probe] >= goal:
                    high, probe = probe, max(probe - step, low)
                    step *= 2
                if reach[probe] >= goal:
                    high = probe
                else:
                    low = probe + 1
            else:
                while probe < high and reach[probe] < goal:
                    low, probe = probe + 1, min(probe + step, high)
                    step *= 2
                high = max(low, probe)
            while low < high:
                middle = (low + high) // 2
                if reach[middle] >= goal:
                    high = middle
                else:
                    low = middle + 1
            term = unit if factor * weight[low] > 0 else -unit
            node = col[low]
            if total[node] == 0.0:
                touched[count] = node
                count += 1
            total[node] += term
            known = reach[low]
            point += unit
        passed = light - (point - unit)
    return count


@compiled
def thin(total, touched, length, width, draw, size, state_col, state):  # type: ignore[no-untyped-def]
    """Move entries of ``total`` into the state, about ``width`` at most; return their number."""
    bound = 0.0
    if length > width:
        for x in range(length):
            size[x] = abs(total[touched[x]])
        bound = find_threshold(size, length, width)
    kept, passed = 0, draw
    for x in range(length):
        node = touched[x]
        weight, total[node] = total[node], 0.0
        if weight == 0.0:
            continue
        if abs(weight) <= (1 + TIE) * bound:
            passed += abs(weight) / bound
            if passed < 1.0:
                continue
            passed -= 1.0
            weight = bound if weight > 0 else -bound
        state_col[kept], state[kept] = node, weight
        kept += 1
    return kept


@compiled
def find_threshold(size, length, budget):  # type: ignore[no-untyped-def]
    """The threshold of ``_rows.find_thresholds``, of one row."""
    rest = 0.0
    for x in range(length):
        rest += size[x]
    apart, threshold = 0, rest / budget
    while True:
        bound, count, rest = (1 + TIE) * threshold, 0, 0.0
        for x in range(length):
            if size[x] > bound:
                count += 1
            else:
                rest += size[x]
        if count <= apart:
            return threshold
        apart, threshold = count, rest / (budget - count)
