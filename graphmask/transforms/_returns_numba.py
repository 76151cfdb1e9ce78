"""Return probabilities, compiled for CPUs.

A row and a column walk from end to end in the cache, several nodes side by side.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from graphmask.kernels._compiled import compiled
from graphmask.walks._rows import Adjacency
from graphmask.walks._rows_numba import multiply as _multiply
from graphmask.walks._rows_numba import thin as _thin

from ._returns import Chain, Limits

# Nodes that a thread takes at a time.
_BLOCK = 512


def returns(chain: Chain, length: int, limits: Limits, draws: Tensor) -> tuple[Tensor, Tensor]:
    """``[N, length]`` estimates of the diagonals of powers, and ``[N]``, which rows are exact.

    On as many threads as torch.
    """
    matrices = tuple(_arrays(each) for each in (chain.forward, chain.backward))
    size, numbers, balance = len(draws), draws.numpy(), chain.balance.numpy()
    found, exact = np.zeros((size, length)), np.ones(size, np.bool_)
    # No product has more terms than P has entries.
    most = min(limits.formed, len(chain.forward.rows.col)) + 2 * limits.sampled + 2

    def walk(first: int) -> None:
        _walk(
            *matrices,
            balance,
            first,
            min(first + _BLOCK, size),
            tuple(limits),
            most,
            numbers,
            found,
            exact,
        )

    blocks, threads = range(0, size, _BLOCK), torch.get_num_threads()
    if threads > 1 and len(blocks) > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(walk, blocks))
    else:
        for first in blocks:
            walk(first)
    return torch.from_numpy(found), torch.from_numpy(exact)


def _arrays(W: Adjacency) -> tuple[np.ndarray, ...]:
    return tuple(
        part.numpy() for part in (W.rows.ptr, W.rows.col.int(), W.rows.weight, W.reach, W.mass)
    )


@compiled
def _walk(P, Q, balance, first, last, limits, most, draws, found, exact):  # type: ignore[no-untyped-def]
    """Return probabilities of the nodes from ``first`` to ``last``; Q is the transpose of P.

    Inner products are those of rows and columns before they are thinned, which have the fewest
    errors.
    """
    size, length, room = len(P[0]) - 1, found.shape[1], max(limits[0], limits[2]) + 2
    # Per node: its entry in the row and in the column, zero between nodes.
    row, column = np.zeros(size), np.zeros(size)
    in_row, in_column, buffer = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most)
    thin_col, thin = np.empty(room, np.int32), np.empty(room)
    for node in range(first, last):
        in_row[0] = in_column[0] = node
        row[node] = column[node] = 1.0
        rows = columns = 1
        straight = upright = True  # whether the row is exact, and the column
        for step in range((length + 1) // 2):
            some = draws[node, 4 * step : 4 * step + 2]
            rows, straight = _step(
                P, row, in_row, rows, straight, limits, some, thin_col, thin, buffer
            )
            found[node, 2 * step] = _inner(row, in_row, rows, column, buffer)
            if 2 * step + 2 > length:
                break
            if len(balance) > 0 and straight:
                for x in range(columns):
                    column[in_column[x]] = 0.0
                columns = rows
                for x in range(rows):
                    in_column[x] = in_row[x]
                    column[in_row[x]] = row[in_row[x]] * balance[node] / balance[in_row[x]]
            else:
                some = draws[node, 4 * step + 2 : 4 * step + 4]
                columns, upright = _step(
                    Q, column, in_column, columns, upright, limits, some, thin_col, thin, buffer
                )
            found[node, 2 * step + 1] = _inner(row, in_row, rows, column, buffer)
        exact[node] = straight and upright
        for x in range(rows):
            row[in_row[x]] = 0.0
        for x in range(columns):
            column[in_column[x]] = 0.0


@compiled
def _step(W, total, touched, length, exact, limits, draws, col, value, buffer):  # type: ignore[no-untyped-def]
    """A dense row, thinned, times W, in its place.

    Returns how many nodes it has touched, and whether it is exact.
    """
    width, formed, narrow, few, sampled = limits
    if length > (width if exact else narrow):
        kept = _thin(total, touched, length, narrow, draws[0], buffer, col, value)
        exact = False
    else:
        kept = _thin(total, touched, length, length, 0.0, buffer, col, value)
    terms = 0
    for x in range(kept):
        terms += W[0][col[x] + 1] - W[0][col[x]]
    if terms <= (formed if exact else few):
        return _spread(W[0], W[1], W[2], col, value, kept, total, touched), exact
    return _multiply(W, col, value, kept, few, sampled, draws[1], total, touched), False


@compiled
def _spread(ptr, column, weight, col, value, length, total, touched):  # type: ignore[no-untyped-def]
    """The product, all of its terms formed, into ``total``.

    Returns the number of nodes that it has ``touched``.
    """
    found = 0
    for x in range(length):
        factor = value[x]
        for entry in range(ptr[col[x]], ptr[col[x] + 1]):
            node = column[entry]
            before = total[node]
            # Written in any case: a branch that cannot be foreseen would cost more.
            touched[found] = node
            if before == 0.0:
                found += 1
            total[node] = before + factor * weight[entry]
    return found


@compiled
def _inner(total, touched, length, other, buffer):  # type: ignore[no-untyped-def]
    """The inner product of two dense rows.

    Nodes that were noted twice, since terms cancelled, count once.
    """
    product = 0.0
    for x in range(length):
        node = touched[x]
        product += total[node] * other[node]
        buffer[x] = total[node]
        total[node] = 0.0
    for x in range(length):
        total[touched[x]] += buffer[x]
    return product
