"""Return probabilities, compiled for CPUs: a row and a column of one node stay in the cache."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from graphmask.kernels._compiled import compiled
from graphmask.walks._rows import Adjacency, Rows
from graphmask.walks._rows_numba import arrays_of
from graphmask.walks._rows_numba import multiply as _multiply
from graphmask.walks._rows_numba import thin as _thin

# Nodes that a thread takes at a time.
_BLOCK = 512


def returns(
    forward: Adjacency,
    backward: Adjacency,
    balance: Tensor,
    length: int,
    limits: tuple[int, ...],
    draws: Tensor,
) -> tuple[Tensor, Tensor]:
    """Estimate the diagonals of powers ``[N, length]``, and tell how many of a row are exact.

    On as many threads as torch uses.
    """
    matrices = arrays_of(forward), arrays_of(backward)
    num_nodes = len(draws)
    estimate, steps = np.zeros((num_nodes, length)), np.zeros(num_nodes, np.int64)
    _, formed, _, _, sampled = limits
    # No product has more terms than P has entries.
    buffer_size = min(formed, len(forward.rows.col)) + 2 * sampled + 2

    def walk(first: int) -> None:
        last = min(first + _BLOCK, num_nodes)
        options = (first, last, tuple(limits), buffer_size, draws.numpy(), estimate, steps)
        _walk(*matrices, balance.numpy(), *options)

    blocks, threads = range(0, num_nodes, _BLOCK), torch.get_num_threads()
    if threads > 1 and len(blocks) > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(walk, blocks))
    else:
        for first in blocks:
            walk(first)
    return torch.from_numpy(estimate), torch.from_numpy(steps)


def entries_in_two(P: Rows, Q: Rows, start: Tensor, end: Tensor) -> Tensor:
    """Compute ``(P^2)_se``, for the same e in succession, of rows sorted by node; Q is P^T."""
    value = torch.empty(len(start), dtype=torch.double)
    rows = [tensor.numpy() for tensor in (*P, *Q, start, end, value)]
    _entries_in_two(*rows)
    return value


@compiled
def _entries_in_two(ptr, col, weight, in_ptr, in_col, in_weight, start, end, value):  # type: ignore[no-untyped-def]
    """Sum over the neighbours of s, or search those of e among them, whichever are fewer."""
    column = np.zeros(len(ptr) - 1)
    last = -1
    for entry in range(len(start)):
        s, e = start[entry], end[entry]
        if e != last:
            if last >= 0:
                column[in_col[in_ptr[last] : in_ptr[last + 1]]] = 0.0
            column[in_col[in_ptr[e] : in_ptr[e + 1]]] = in_weight[in_ptr[e] : in_ptr[e + 1]]
            last = e
        total = 0.0
        if ptr[s + 1] - ptr[s] <= 8 * (in_ptr[e + 1] - in_ptr[e]):
            for x in range(ptr[s], ptr[s + 1]):
                total += weight[x] * column[col[x]]
        else:
            row = col[ptr[s] : ptr[s + 1]]
            for y in range(in_ptr[e], in_ptr[e + 1]):
                x = np.searchsorted(row, in_col[y])
                if x < len(row) and row[x] == in_col[y]:
                    total += weight[ptr[s] + x] * in_weight[y]
        value[entry] = total


@compiled
def _walk(P, Q, balance, first, last, limits, buffer_size, draws, estimate, exact):  # type: ignore[no-untyped-def]
    """Compute return probabilities of the nodes from ``first`` to ``last``; Q is P transposed.

    Inner products are those of rows and columns before they are thinned, which have the fewest
    errors.
    """
    num_nodes, length, room = len(P[0]) - 1, estimate.shape[1], max(limits[0], limits[2]) + 2
    # Per node: its entry in the row and in the column, zero between nodes.
    row, column = np.zeros(num_nodes), np.zeros(num_nodes)
    in_row, in_column, buffer = (
        np.empty(buffer_size, np.int32),
        np.empty(buffer_size, np.int32),
        np.empty(buffer_size),
    )
    thin_col, thin = np.empty(room, np.int32), np.empty(room)
    for node in range(first, last):
        in_row[0] = in_column[0] = node
        row[node] = column[node] = 1.0
        rows = columns = 1
        row_exact = column_exact = True
        for step in range((length + 1) // 2):
            draw = draws[node, 4 * step : 4 * step + 2]
            rows, row_exact = _step(
                P, row, in_row, rows, row_exact, limits, draw, thin_col, thin, buffer
            )
            estimate[node, 2 * step] = _inner(row, in_row, rows, column, buffer)
            exact[node] += row_exact and column_exact
            if 2 * step + 2 > length:
                break
            if len(balance) > 0 and row_exact:
                for x in range(columns):
                    column[in_column[x]] = 0.0
                columns = rows
                for x in range(rows):
                    in_column[x] = in_row[x]
                    column[in_row[x]] = row[in_row[x]] * balance[node] / balance[in_row[x]]
            else:
                draw = draws[node, 4 * step + 2 : 4 * step + 4]
                columns, column_exact = _step(
                    Q,
                    column,
                    in_column,
                    columns,
                    column_exact,
                    limits,
                    draw,
                    thin_col,
                    thin,
                    buffer,
                )
            estimate[node, 2 * step + 1] = _inner(row, in_row, rows, column, buffer)
            exact[node] += row_exact and column_exact
        for x in range(rows):
            row[in_row[x]] = 0.0
        for x in range(columns):
            column[in_column[x]] = 0.0


@compiled
def _step(W, total, touched, length, exact, limits, draws, col, value, buffer):  # type: ignore[no-untyped-def]
    """Thin a dense row and multiply it by W, in place.

    Returns the number of nodes that it has touched, and whether it is exact.
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
    """Add all terms of the product to ``total``; returns the number of nodes ``touched``."""
    count = 0
    for x in range(length):
        factor = value[x]
        for entry in range(ptr[col[x]], ptr[col[x] + 1]):
            node = column[entry]
            before = total[node]
            # Written in any case: a branch that cannot be foreseen would cost more.
            touched[count] = node
            if before == 0.0:
                count += 1
            total[node] = before + factor * weight[entry]
    return count


@compiled
def _inner(total, touched, length, other, buffer):  # type: ignore[no-untyped-def]
    """Compute the inner product of two dense rows.

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
