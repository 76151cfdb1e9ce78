"""The resampling of ``_resampling``, compiled for CPUs.

A row walks from end to end in the cache, several rows side by side.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from graphmask.kernels._compiled import compiled

from ._products import Adjacency
from ._resampling import TIE, Drawn, Plan

# Rows that a thread draws at a time.
_BLOCK = 1024


def draw_rows(
    start: Tensor, threshold: Tensor, draws: Tensor, W: Adjacency, plan: Plan, dtype: torch.dtype
) -> Drawn:
    """As in ``_resampling``, with values of a dtype; on as many threads as torch uses."""
    matrix = tuple(
        part.numpy() for part in (W.rows.ptr, W.rows.col.int(), W.rows.weight, W.reach, W.mass)
    )
    kind = np.float32 if dtype == torch.float32 else np.float64

    def draw(block: slice) -> tuple[np.ndarray, ...]:
        nodes, bounds, numbers = (part[block].numpy() for part in (start, threshold, draws))
        room = len(nodes) * min(plan.limit + 2, plan.hops * (plan.width + 2) + 1)
        counts, col, value = (
            np.empty(len(nodes), np.int64),
            np.empty(room, np.int32),
            np.empty((room, plan.hops + 1), kind),
        )
        number = _draw(
            matrix,
            nodes,
            bounds,
            numbers,
            tuple(plan),
            plan.formed,
            plan.sampled,
            counts,
            col,
            value,
        )
        # Copies: views would keep the room of the whole block.
        return counts, col[:number].copy(), value[:number].copy()

    blocks = [slice(first, first + _BLOCK) for first in range(0, max(len(start), 1), _BLOCK)]
    threads = min(torch.get_num_threads(), len(blocks))
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(draw, blocks))
    else:
        parts = [draw(block) for block in blocks]
    counts, col, value = (
        torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True)
    )
    return Drawn(counts, col, value)


@compiled
def _draw(W, start, threshold, draws, plan, formed, sampled, counts, col, value):  # type: ignore[no-untyped-def]
    """Rows into ``counts``, ``col`` and ``value``; returns the number of their pairs."""
    hops, width, budget, limit, decay = plan
    size = len(W[0]) - 1
    # Per node: the product's entry, which is zero between products, and the pair of this row, or
    # -1.
    total, pair_of = np.zeros(size), np.full(size, -1, np.int32)
    # Terms that cancel exactly leave a node that is met again, so that it is noted once for each
    # time.
    most = formed + 2 * sampled + 2
    touched, nbytes = np.empty(most, np.int32), np.empty(most)
    state_col, state = np.empty(width + 2, np.int32), np.empty(width + 2)
    room = hops * (width + 2) + 1
    pair_col, score, pair_value = (
        np.empty(room, np.int32),
        np.empty(room),
        np.empty((room, hops + 1)),
    )
    chosen, factor_of = np.empty(room, np.int64), np.empty(room)
    number = 0
    for row in range(len(start)):
        state_col[0], state[0] = start[row], 1.0
        length, pairs, share = 1, 0, 1.0
        for hop in range(hops + 1):
            if hop > 0:
                length = _multiply(
                    W,
                    state_col,
                    state,
                    length,
                    formed,
                    sampled,
                    draws[row, 2 * hop - 1],
                    total,
                    touched,
                )
                length = _thin(
                    total, touched, length, width, draws[row, 2 * hop], nbytes, state_col, state
                )
                share *= decay
            for x in range(length):
                node, weight = state_col[x], state[x]
                pair = pair_of[node]
                if pair < 0:
                    pair = pair_of[node] = pairs
                    pair_col[pair], score[pair] = node, 0.0
                    for other in range(hops + 1):
                        pair_value[pair, other] = 0.0
                    pairs += 1
                pair_value[pair, hop] = weight
                score[pair] += share * abs(weight)
        for pair in range(pairs):
            pair_of[pair_col[pair]] = -1
        bound = threshold[row] if pairs > budget else 0.0
        if pairs > limit:
            bound = max(bound, _find_threshold(score, pairs, limit))
        counts[row] = _choose(score, pairs, bound, draws[row, 0], chosen, factor_of)
        for place in np.argsort(pair_col[chosen[: counts[row]]]):
            pair, factor = chosen[place], factor_of[place]
            col[number] = pair_col[pair]
            for hop in range(hops + 1):
                value[number, hop] = pair_value[pair, hop] * factor
            number += 1
    return number


@compiled
def _multiply(W, state_col, state, length, formed, sampled, draw, total, touched):  # type: ignore[no-untyped-def]
    """The state times W into ``total``; returns the number of nodes that it has ``touched``.

    The addition stands here twice: as a function of its own it was not inlined, and took three
    quarters of the time.
    """
    ptr, col, weight, reach, mass = W
    terms = 0
    for x in range(length):
        terms += ptr[state_col[x] + 1] - ptr[state_col[x]]
    unit = 0.0
    if terms > formed:
        for x in range(length):
            unit += abs(state[x]) * mass[state_col[x]] / sampled
    passed, found = draw * unit, 0
    for x in range(length):
        factor, entry, end = state[x], ptr[state_col[x]], ptr[state_col[x] + 1]
        before = 0.0
        while entry < end and abs(factor * weight[entry]) >= unit:
            node = col[entry]
            if total[node] == 0.0:
                touched[found] = node
                found += 1
            total[node] += factor * weight[entry]
            before = reach[entry]
            entry += 1
        if entry == end:
            continue
        size = abs(factor)
        light = size * (reach[end - 1] - before)
        point = unit - passed
        while point <= light:
            goal = before + point / size
            low, high = entry, end - 1
            while low < high:
                middle = (low + high) // 2
                if reach[middle] >= goal:
                    high = middle
                else:
                    low = middle + 1
            drawn = unit if factor * weight[low] > 0 else -unit
            node = col[low]
            if total[node] == 0.0:
                touched[found] = node
                found += 1
            total[node] += drawn
            point += unit
        passed = light - (point - unit)
    return found


@compiled
def _thin(total, touched, length, width, draw, size, state_col, state):  # type: ignore[no-untyped-def]
    """The entries of ``total`` into the state, at most about ``width`` of them.

    Returns their number.
    """
    bound = 0.0
    if length > width:
        for x in range(length):
            size[x] = abs(total[touched[x]])
        bound = _find_threshold(size, length, width)
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
def _choose(score, pairs, bound, draw, chosen, factor_of):  # type: ignore[no-untyped-def]
    """The pairs that stay, and by what their values are multiplied; returns their number.

    The first, the node itself, stays.
    """
    kept, passed = 0, draw
    for pair in range(pairs):
        factor = 1.0
        if pair > 0 and score[pair] <= (1 + TIE) * bound:
            passed += score[pair] / bound
            if passed < 1.0:
                continue
            passed -= 1.0
            factor = bound / score[pair]
        chosen[kept], factor_of[kept] = pair, factor
        kept += 1
    return kept


@compiled
def _find_threshold(size, length, budget):  # type: ignore[no-untyped-def]
    rest = 0.0
    for x in range(length):
        rest += size[x]
    apart, threshold = 0, rest / budget
    while True:
        bound, seen, rest = (1 + TIE) * threshold, 0, 0.0
        for x in range(length):
            if size[x] > bound:
                seen += 1
            else:
                rest += size[x]
        if seen <= apart:
            return threshold
        apart, threshold = seen, rest / (budget - seen)
