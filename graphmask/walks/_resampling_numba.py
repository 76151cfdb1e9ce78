"""The draws of ``_resampling``, compiled for CPUs; several blocks of rows side by side."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphmask.kernels._compiled import compiled

from ._resampling import Plan
from ._rows import TIE, Adjacency, PairRows
from ._rows_numba import arrays_of, find_threshold, map_in_threads, multiply, thin

# Rows that a thread draws at a time.
_BLOCK = 1024


def draw_rows(
    start: Tensor, threshold: Tensor, draws: Tensor, W: Adjacency, plan: Plan, dtype: torch.dtype
) -> PairRows:
    """Draw the walks from the nodes ``start [R]``, as :func:`._resampling.draw_rows`."""
    matrix = arrays_of(W)
    table_dtype = np.float32 if dtype == torch.float32 else np.float64
    sizes = plan.formed, plan.sampled

    def draw(first: int) -> tuple[np.ndarray, ...]:
        block = slice(first, first + _BLOCK)
        nodes, bounds, numbers = (x[block].numpy() for x in (start, threshold, draws))
        room = len(nodes) * min(plan.limit + 2, plan.hops * (plan.width + 2) + 1)
        counts, col = np.empty(len(nodes), np.int64), np.empty(room, np.int32)
        table = np.empty((room, plan.hops + 1), table_dtype)
        pairs = _draw(matrix, nodes, bounds, numbers, tuple(plan), *sizes, counts, col, table)
        # Copies: views would keep the room of the whole block.
        return counts, col[:pairs].copy(), table[:pairs].copy()

    blocks = map_in_threads(draw, range(0, max(len(start), 1), _BLOCK))
    counts, col, table = (torch.from_numpy(np.concatenate(x)) for x in zip(*blocks, strict=True))
    return PairRows(counts, col, table)


@compiled
def _draw(W, start, threshold, draws, plan, formed, sampled, counts, col, table):  # type: ignore[no-untyped-def]
    """Write rows into ``counts``, ``col`` and ``table``; return the number of their pairs."""
    hops, width, budget, limit, decay = plan
    num_nodes = len(W[0]) - 1
    # Per node: the product's entry, which is zero between products, and the pair of this row, or
    # -1.
    total, pair_of = np.zeros(num_nodes), np.full(num_nodes, -1, np.int32)
    # Terms that cancel exactly leave a node that is met again, so that it is noted once for each
    # time.
    most = formed + 2 * sampled + 2
    touched, size = np.empty(most, np.int32), np.empty(most)
    state_col, state = np.empty(width + 2, np.int32), np.empty(width + 2)
    room = hops * (width + 2) + 1
    pair_col, score = np.empty(room, np.int32), np.empty(room)
    pair_table = np.empty((room, hops + 1))
    chosen, factor_of = np.empty(room, np.int64), np.empty(room)
    stored = 0
    for row in range(len(start)):
        state_col[0], state[0] = start[row], 1.0
        length, pairs, share = 1, 0, 1.0
        for hop in range(hops + 1):
            if hop > 0:
                draw = draws[row, 2 * hop - 1]
                length = multiply(
                    W, state_col, state, length, formed, sampled, draw, total, touched
                )
                draw = draws[row, 2 * hop]
                length = thin(total, touched, length, width, draw, size, state_col, state)
                share *= decay
            for x in range(length):
                node, weight = state_col[x], state[x]
                pair = pair_of[node]
                if pair < 0:
                    pair = pair_of[node] = pairs
                    pair_col[pair], score[pair] = node, 0.0
                    for other in range(hops + 1):
                        pair_table[pair, other] = 0.0
                    pairs += 1
                pair_table[pair, hop] = weight
                score[pair] += share * abs(weight)
        for pair in range(pairs):
            pair_of[pair_col[pair]] = -1
        bound = threshold[row] if pairs > budget else 0.0
        if pairs > limit:
            bound = max(bound, find_threshold(score, pairs, limit))
        counts[row] = _choose(score, pairs, bound, draws[row, 0], chosen, factor_of)
        for position in np.argsort(pair_col[chosen[: counts[row]]]):
            pair, factor = chosen[position], factor_of[position]
            col[stored] = pair_col[pair]
            for hop in range(hops + 1):
                table[stored, hop] = pair_table[pair, hop] * factor
            stored += 1
    return stored


@compiled
def _choose(score, pairs, bound, draw, chosen, factor_of):  # type: ignore[no-untyped-def]
    """Choose pairs that stay and the factors of their values; return the number of pairs.

    The first, the node itself, always stays.
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
