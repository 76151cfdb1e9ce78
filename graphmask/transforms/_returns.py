"""Return probabilities of random walks, each by two walks that meet in the middle.

``(P^k)_ii`` is the inner product of row i of ``P^s`` and column i of ``P^t``, s + t = k, so walks
of half the length are enough. As long as row and column are exact, so is their product. Where one
grows too wide both are resampled, independently of each other, so that the product stays unbiased.
The first three, of which neighbours are enough, are exact at all nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._precision import to_double
from graphmask._random import uniform
from graphmask.extras import require
from graphmask.kernels._extra import HAS_NUMBA
from graphmask.topology import Topology
from graphmask.walks._rows import (
    Adjacency,
    Rows,
    multiply,
    ranges,
    row_sums,
    sample_product,
    sum_entries,
    thin,
)

from .orders import CuthillMcKee

# Terms of a row of a product that are formed, per entry that the row may keep; of rows with more
# terms, so many are drawn. Rows shrink once they are not exact: errors then fall slowly with their
# width, while time grows with it.
_FORMED, _SAMPLED = 8, 4
_SHRINK = 16

# Rows at a time where torch forms the products, and paths of two edges where it lists them.
_BLOCK, _PATHS = 1024, 2**22

# Sums of weights up to which, and from whose inverse, columns follow from rows.
_FAR = 1e75

# The returns that are exact at all nodes.
_SHORT = 3


class Limits(NamedTuple):
    """Limits on the entries of a row and the terms of its product.

    Attributes:
        width: entries of an exact row.
        formed: terms of the product of an exact row.
        narrow: entries of a resampled row.
        few: terms of the product of a resampled row.
        sampled: terms that are drawn where there are more.
    """

    width: int
    formed: int
    narrow: int
    few: int
    sampled: int


def return_probabilities(
    topology: Topology, length: int, width: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Compute ``(P^k)_ii`` for k = 1 to ``length``: exact for k up to 3, and where rows are narrow.

    No estimate is above 1, or below 0 where no weight is negative, and -1 elsewhere: those that
    are drawn are unbiased but for this.

    Args:
        topology: the graph.
        length: the largest k.
        width: entries that a row or column may have before it is resampled, down to a sixteenth.
        seed: seed of the resampling.

    Returns:
        ``[N, length]`` estimates, and ``[N]``, which rows are exact.

    Cost: that of :func:`draw_returns`; beside it, for nodes of which a row outgrows its limits
    within three steps, the sum over their edges of the smaller number of neighbours at both ends,
    which is O(E^1.5) over all nodes of any graph.
    """
    estimate, steps = draw_returns(topology, length, width, seed)
    wide = (steps < min(length, _SHORT)).nonzero()[:, 0]
    if len(wide):
        estimate[wide, :_SHORT] = _short_returns(topology, wide, min(length, _SHORT))
    low = 0.0 if topology.nonnegative else -1.0
    return estimate.clamp(low, 1.0), (steps == length) | (length <= _SHORT)


def draw_returns(topology: Topology, length: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Estimate ``(P^k)_ii`` for k = 1 to ``length``, without bias.

    Returns:
        ``[N, length]`` estimates, and ``[N]``, how many of them are exact.
    """
    # Neighbours lie close to each other in this order, and walks stay in the cache.
    order = CuthillMcKee()(
        Data(edge_index=topology.edge_index, num_nodes=topology.num_nodes, batch=topology.batch)
    )
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    walk = _random_walk(topology, rank)
    narrow = max(1, width // _SHRINK)
    limits = Limits(width, _FORMED * width, narrow, _FORMED * narrow, _SAMPLED * narrow)
    draw_index = torch.arange(4 * ((length + 1) // 2), device=topology.device)
    draws = uniform(seed, topology.local_index[order].unsqueeze(1), draw_index)
    if HAS_NUMBA and topology.device.type == "cpu":
        numba = require("graphmask.transforms._returns_numba", extra="fast")
        estimate, steps = numba.returns(*walk, length, limits, draws)
    else:
        blocks = [
            _returns(walk, start, length, limits, draws[start])
            for start in torch.arange(len(draws), device=draws.device).split(_BLOCK)
        ]
        estimate, steps = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    return estimate[rank], steps[rank]


def _short_returns(topology: Topology, nodes: Tensor, length: int) -> Tensor:
    """Compute ``(P^k)_ii`` of some nodes for k = 1 to ``length``, at most 3, from neighbours."""
    size = topology.num_nodes
    rows = _random_walk(topology, torch.arange(size, device=topology.device))[0].rows
    P = sum_entries(rows.row, rows.col, rows.weight, (size, size))
    key = P.row * size + P.col

    def entries(row: Tensor, col: Tensor) -> Tensor:
        wanted = row * size + col
        index = torch.searchsorted(key, wanted).clamp(max=len(key) - 1)
        return torch.where(key[index] == wanted, P.weight[index], 0)

    owner, edge = ranges(P.ptr[nodes], P.counts[nodes])
    node, middle, weight = nodes[owner], P.col[edge], P.weight[edge]
    terms = [weight * entries(middle, node)]
    if length > 2:
        Q = sum_entries(P.col, P.row, P.weight, (size, size))
        if HAS_NUMBA and topology.device.type == "cpu":
            numba = require("graphmask.transforms._returns_numba", extra="fast")
            in_two = numba.entries_in_two(P, Q, middle, node)
        else:
            in_two = _entries_in_two(P, Q, middle, node, entries)
        terms.append(weight * in_two)
    sums = [row_sums(term, P.counts[nodes]) for term in terms]
    return torch.stack([entries(nodes, nodes), *sums][:length], 1)


def _entries_in_two(
    P: Rows, Q: Rows, start: Tensor, end: Tensor, entries: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Compute ``(P^2)_se`` by the neighbours of s or those of e, whichever are fewer; Q is P^T."""
    by_start = P.counts[start] <= Q.counts[end]
    counts = torch.where(by_start, P.counts[start], Q.counts[end])
    begin = torch.where(by_start, P.ptr[start], Q.ptr[end] + len(P.col))
    col, weight = torch.cat([P.col, Q.col]), torch.cat([P.weight, Q.weight])
    sums = []
    block = (counts.cumsum(0) - counts) // _PATHS
    sizes = block.unique_consecutive(return_counts=True)[1].tolist()
    for part in torch.arange(len(start), device=start.device).split(sizes):
        owner, path = ranges(begin[part], counts[part])
        middle, index, is_first = col[path], part[owner], by_start[part][owner]
        other = entries(
            torch.where(is_first, middle, start[index]), torch.where(is_first, end[index], middle)
        )
        sums.append(row_sums(weight[path] * other, counts[part]))
    return torch.cat(sums)


def _random_walk(topology: Topology, rank: Tensor) -> tuple[Adjacency, Adjacency, Tensor]:
    """Compute the random walk that follows edges, on renumbered nodes, in float64.

    Returns:
        P, its transpose, and if the walk is reversible the ``balance [N]`` with
        ``balance_i P_ij = balance_j P_ji``; empty if it is not.
    """
    weight = topology.edge_weight
    if weight is None:
        weight = torch.ones(topology.num_edges, device=topology.device)
    # Adjacency puts sources in columns; P has them in rows.
    reversed_edges = rank[topology.edge_index.long()].flip(0)
    graph = Topology(reversed_edges, topology.num_nodes, to_double(weight.detach()))
    (pattern, probability), (_, plain) = graph.adjacency("rw"), graph.adjacency(None)
    transposed, order = pattern.mT, pattern.csc_perm
    balance = row_sums(plain.abs(), pattern.rowptr.long().diff())
    balance = balance.where(balance > 0, 1)
    # Quotients of sums that lie further apart, or are infinite, would lose digits.
    is_near = bool(((balance < _FAR) & (balance > 1 / _FAR)).all())
    has_both = (
        is_near
        and torch.equal(pattern.rowptr, transposed.rowptr)
        and torch.equal(pattern.col, transposed.col)
    )
    if not (has_both and torch.equal(plain, plain[order])):
        balance = plain.new_empty(0)
    forward = Adjacency.of(pattern.rowptr, pattern.col, probability)
    backward = Adjacency.of(transposed.rowptr, transposed.col, probability[order])
    return forward, backward, balance


def _returns(
    walk: tuple[Adjacency, Adjacency, Tensor],
    start: Tensor,
    length: int,
    limits: Limits,
    draws: Tensor,
) -> tuple[Tensor, Tensor]:
    """Walk from some nodes, on any device; the twin of the compiled function."""
    forward, backward, balance = walk
    pointer = torch.arange(len(start) + 1, device=start.device)
    row = column = Rows(pointer, start, balance.new_ones(len(start)))
    row_exact = column_exact = torch.ones_like(start, dtype=torch.bool)
    products, exact = [], []
    for step in range((length + 1) // 2):
        draw = draws[:, 4 * step : 4 * step + 4]
        row, row_exact = _step(row, row_exact, forward, limits, draw[:, :2])
        products.append(_inner(row, column))
        exact.append(row_exact & column_exact)
        if 2 * step + 2 <= length:
            if len(balance) and bool(row_exact.all()):
                # Columns of a reversible P follow from its rows.
                scale = balance[start][row.row] / balance[row.col]
                column = row._replace(weight=row.weight * scale)
            else:
                column, column_exact = _step(column, column_exact, backward, limits, draw[:, 2:])
            products.append(_inner(row, column))
            exact.append(row_exact & column_exact)
    return torch.stack(products, 1), torch.stack(exact, 1).sum(1)


def _step(
    state: Rows, is_exact: Tensor, W: Adjacency, limits: Limits, draws: Tensor
) -> tuple[Rows, Tensor]:
    """Thin the rows that are too wide, and multiply by W; tell which rows are still exact."""
    is_wide = state.counts > torch.where(is_exact, limits.width, limits.narrow)
    wide = is_wide[state.row]
    state = _join(state.keep(~wide), thin(state.keep(wide), limits.narrow, draws[:, 0]))
    is_exact = is_exact & ~is_wide
    terms = row_sums(to_double(W.rows.counts[state.col]), state.counts)
    is_large = terms > torch.where(is_exact, limits.formed, limits.few)
    if not bool(is_large.any()):
        return multiply(state, W.rows), is_exact
    large = is_large[state.row]
    formed = multiply(state.keep(~large), W.rows)
    drawn = sample_product(state.keep(large), W, limits.sampled, draws[:, 1])
    return _join(formed, drawn), is_exact & ~is_large


def _join(left: Rows, right: Rows) -> Rows:
    order = torch.argsort(torch.cat([left.row, right.row]), stable=True)
    col, weight = torch.cat([left.col, right.col]), torch.cat([left.weight, right.weight])
    return Rows(left.ptr + right.ptr, col[order], weight[order])


def _inner(left: Rows, right: Rows) -> Tensor:
    """Compute the inner products ``[R]`` of rows."""
    if not len(right.col) or not len(left.col):
        return left.weight.new_zeros(len(left.counts))
    size = 1 + max(int(left.col.max()), int(right.col.max()))
    key, order = torch.sort(right.row * size + right.col)
    wanted = left.row * size + left.col
    match = torch.searchsorted(key, wanted).clamp(max=len(key) - 1)
    product = left.weight * right.weight[order[match]]
    return row_sums(torch.where(key[match] == wanted, product, 0), left.counts)
