"""Recursive splits of a graph by small separators, with exact distances across every split.

A region is a subset of the nodes of a connected graph; its boundary are the other nodes that its
edges lead to. Every path out of a region passes its boundary. Distances within it, along paths
through the entire graph, are therefore those of a small graph: the region, its boundary, and one
shortcut between any two nodes of the boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import isqrt
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import bmat, csr_matrix, hstack
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from graphmask._checks import value_error

Ids: TypeAlias = NDArray[np.int64]
Lengths: TypeAlias = NDArray[np.float64]

# The smaller side of a split holds at least this share of the nodes, where a separator allows it.
_BALANCE = 0.2

# Distances to so many nodes of a boundary are compared first.
_COORDINATES = 8

# Components of so many nodes get their distances all together, and so many distances at a time.
_SMALL = 64
_TABLE = 2**22


class Region(NamedTuple):
    """Nodes ``own [n]`` with their boundary ``[b]``, the edges of both, and distances."""

    own: Ids
    boundary: Ids
    inner: csr_matrix  # [n, n] lengths of edges
    outer: csr_matrix  # [n, b] lengths of edges to the boundary
    rows: Lengths  # [b, n] distances from the boundary
    between: Lengths  # [b, b] distances within the boundary

    def distances(self, sources: Ids) -> Lengths:
        """``[s, n]``, distances in the entire graph from some nodes of the region to all of it."""
        graph = self.inner
        if len(self.boundary):
            graph = bmat(
                [[self.inner, self.outer], [self.outer.T, full(self.between)]], format="csr"
            )
        return dijkstra(graph, indices=sources)[:, : len(self.own)]


class Cells(NamedTuple):
    """Cells of nearby nodes of a region, each represented by its seed."""

    cell: Ids  # [n] index of the cell of each node
    seed: Ids  # [c] node of each cell
    radius: float  # largest difference between distances from outside to a node and to its seed


class Split(NamedTuple):
    """A separator of a region, the two sides that remain, their cells, and distances."""

    separator: Ids
    sides: tuple[Region, Region]
    cells: tuple[Cells, Cells]
    across: Lengths  # [c, c'] from seeds to seeds
    through: tuple[Lengths, Lengths]  # [s, c] from the separator to seeds
    within: Lengths  # [s, s] in the separator


class Leaves(NamedTuple):
    """G regions of n nodes that are not split, with all their distances."""

    own: Ids  # [G, n]
    within: Lengths  # [G, n, n]


def decompose(
    graph: csr_matrix, tolerance: float, resolution: float, leaf_size: int, max_entries: int
) -> Iterator[Split | Leaves]:
    """The splits and leaves of all components of a symmetric graph.

    Cost: with separators of about sqrt(n) nodes O(N^1.5 log N), by Dijkstra's algorithm from each
    of them; without Python's for each component of up to 64 nodes.
    """
    label, size = _components(graph)
    order = np.argsort(label, kind="stable")
    graph, start = graph[order][:, order], np.cumsum(size) - size
    is_small = size <= min(leaf_size, _SMALL)
    check_entries(int((size[is_small] ** 2).sum()), max_entries)
    for n in np.unique(size[is_small]):
        first = start[is_small & (size == n)]
        for some in np.array_split(first, -(-len(first) * n * n // _TABLE)):
            own = some[:, None] + np.arange(n)
            yield Leaves(order[own], _all_distances(graph, own))
    ends = np.stack([start, start + size], 1)[~is_small]
    regions = [_component(graph, order, *end) for end in ends[::-1].tolist()]
    while regions:
        region = regions.pop()
        side = _sides(region.inner) if len(region.own) > leaf_size else None
        sources = len(region.own) if side is None else int((side == 1).sum()) + len(region.boundary)
        check_entries(sources * len(region.own), max_entries)
        if side is None:
            within = region.distances(np.arange(len(region.own)))
            yield Leaves(region.own[None], within[None])
            continue
        split = _split(region, side, tolerance, resolution, max_entries)
        regions.extend(split.sides[::-1])
        yield split


def check_entries(entries: int, max_entries: int) -> None:
    """Check that there are no more distances than allowed."""
    if entries > max_entries:
        raise _too_many(entries, max_entries)


def _too_many(entries: int, max_entries: int) -> ValueError:
    expected = (
        "at least the distances that are stored, or computed at a time (a larger tolerance stores "
        "fewer; graphs without small separators, and of many neighbours of several hubs, store all)"
    )
    return value_error("max_entries", expected, f"{max_entries}, of {entries} or more")


def _components(graph: csr_matrix) -> tuple[Ids, Ids]:
    """The component of each node, and the size of each component."""
    count, label = connected_components(graph, directed=False)
    return label, np.bincount(label, minlength=count)


def _component(graph: csr_matrix, order: Ids, first: int, last: int) -> Region:
    """A component of consecutive nodes of a graph whose nodes were put in this order."""
    n, entries = last - first, slice(graph.indptr[first], graph.indptr[last])
    pointers = graph.indptr[first : last + 1] - graph.indptr[first]
    inner = csr_matrix((graph.data[entries], graph.indices[entries] - first, pointers), (n, n))
    none = order[:0]
    outer, rows, between = csr_matrix((n, 0)), np.empty((0, n)), np.empty((0, 0))
    return Region(order[first:last], none, inner, outer, rows, between)


def _all_distances(graph: csr_matrix, own: Ids) -> Lengths:
    """``[G, n, n]`` distances of G components of consecutive nodes ``own [G, n]``.

    By the algorithm of Floyd and Warshall, for all components at once.
    """
    n = own.shape[1]
    edges = graph[own.ravel()].tocoo()
    distance = np.where(np.eye(n, dtype=bool), 0.0, np.full((len(own), n, n), np.inf))
    component, row = np.divmod(edges.row, n)
    distance[component, row, edges.col - own[component, 0]] = edges.data
    for via in range(n):
        np.minimum(distance, distance[:, :, via, None] + distance[:, None, via], out=distance)
    return distance


def _sides(graph: csr_matrix) -> NDArray[np.int8] | None:
    """0 and 2 for the nodes of both sides and 1 for the separator, or None without any."""
    label, size = _components(graph)
    if len(size) > 1:
        return _pack(size)[label]
    far = int(np.argmax(dijkstra(graph, indices=0, unweighted=True)))
    level = dijkstra(graph, indices=far, unweighted=True).astype(np.int64)
    cut = _cut(np.bincount(level))
    if cut is None:
        return None
    # Nodes of the level without an edge onwards separate nothing.
    onwards = np.diff(graph[:, np.flatnonzero(level == cut + 1)].indptr) > 0
    return np.where(level > cut, 2, (level == cut) & onwards).astype(np.int8)


def _pack(size: Ids) -> NDArray[np.int8]:
    """The side of each component: the largest ones on one side, until it holds about half."""
    order = np.argsort(-size, kind="stable")
    middle = np.cumsum(size[order]) - size[order] / 2
    side = np.empty(len(size), dtype=np.int8)
    side[order] = np.where(middle < size.sum() / 2, 0, 2)
    side[order[0]], side[order[-1]] = 0, 2
    return side


def _cut(sizes: Ids) -> int | None:
    """The smallest level with enough nodes on both sides, else the most even one."""
    before = np.cumsum(sizes) - sizes
    smaller = np.minimum(before, sizes.sum() - before - sizes)[1:-1]
    if not len(smaller):
        return None
    balanced = smaller >= min(_BALANCE * sizes.sum(), smaller.max())
    return 1 + int(np.argmin(np.where(balanced, sizes[1:-1], sizes.sum() + 1)))


def _split(
    region: Region,
    side: NDArray[np.int8],
    tolerance: float,
    resolution: float,
    max_entries: int,
) -> Split:
    separator = np.flatnonzero(side == 1)
    table = region.distances(separator) if len(separator) else np.empty((0, len(region.own)))
    rows = np.concatenate([table, region.rows])
    old = region.rows[:, separator]
    # The same region with the separator as part of its boundary, which both sides inherit.
    bounded = Region(
        region.own,
        np.concatenate([region.own[separator], region.boundary]),
        region.inner,
        hstack([region.inner[:, separator], region.outer], format="csr"),
        rows,
        np.block([[table[:, separator], old.T], [old, region.between]]),
    )
    first_nodes, second_nodes = np.flatnonzero(side == 0), np.flatnonzero(side == 2)
    first, second = _side(bounded, first_nodes), _side(bounded, second_nodes)
    gather = partial(gather_cells, tolerance=tolerance, resolution=resolution)
    first_cells, second_cells = _gather_both(gather, first.rows, second.rows, max_entries)
    first_seeds, second_seeds = first_nodes[first_cells.seed], second_nodes[second_cells.seed]
    # Every path across passes the smaller of both boundaries.
    gates = np.isin(bounded.boundary, min(first.boundary, second.boundary, key=len))
    return Split(
        separator=region.own[separator],
        sides=(first, second),
        cells=(first_cells, second_cells),
        across=min_plus(rows[gates][:, first_seeds], rows[gates][:, second_seeds]),
        through=(table[:, first_seeds], table[:, second_seeds]),
        within=table[:, separator],
    )


def _side(region: Region, nodes: Ids) -> Region:
    """One side of a split, with the nodes of the boundary that its edges lead to."""
    outer = region.outer[nodes]
    reached = np.unique(outer.indices)
    return Region(
        region.own[nodes],
        region.boundary[reached],
        region.inner[nodes][:, nodes],
        outer[:, reached],
        region.rows[reached][:, nodes],
        region.between[np.ix_(reached, reached)],
    )


def _gather_both(
    gather: Callable[[Lengths, int], Cells | None],
    first: Lengths,
    second: Lengths,
    max_entries: int,
) -> tuple[Cells, Cells]:
    """The cells of both sides of a split, unless they have more pairs than are allowed.

    Neither side is searched for long before the number of its cells decides that. Beside a single
    node, such as a neighbour of all hubs, each node is a cell: pairs are few.
    """
    sizes = first.shape[1], second.shape[1]
    if min(sizes) == 1 and max(sizes) <= max_entries:
        return _singles(sizes[0]), _singles(sizes[1])
    first_cells = gather(first, isqrt(max_entries) + 1)
    most = isqrt(max_entries) if first_cells is None else max_entries // len(first_cells.seed)
    second_cells = gather(second, most)
    if first_cells is None and second_cells is not None:
        first_cells = gather(first, max_entries // len(second_cells.seed))
    if first_cells is None or second_cells is None:
        raise _too_many(max_entries + 1, max_entries)
    return first_cells, second_cells


def _singles(n: int) -> Cells:
    return Cells(np.arange(n), np.arange(n), 0.0)


def gather_cells(rows: Lengths, most: int, *, tolerance: float, resolution: float) -> Cells | None:
    """Cells of nodes whose distances ``rows [b, n]`` to the boundary are nearly those of the seed.

    They differ by at most ``tolerance`` times the node's distance to the boundary, plus
    ``resolution``; so do distances to all nodes outside of the region. None for more than ``most``.
    """
    height = rows.min(0)
    order = np.argsort(height, kind="stable")
    vectors, height = np.ascontiguousarray(rows.T[order]), height[order]
    allowed = tolerance * height + resolution
    alive, cell = np.ones(len(order), dtype=bool), np.empty(len(order), dtype=np.int64)
    seeds: list[int] = []
    radius = 0.0
    # A few coordinates rule out most nodes.
    shown = np.unique(np.linspace(0, len(rows) - 1, _COORDINATES).astype(np.int64))
    tree = cKDTree(vectors[:, shown])

    def near(center: int, radius: float) -> tuple[Ids, Lengths]:
        """Free nodes about a node, with distances between their vectors."""
        ball = tree.query_ball_point(vectors[center, shown], radius * (1 + 1e-9), p=np.inf)
        nodes = np.sort(np.array(ball, dtype=np.int64))
        nodes = nodes[alive[nodes]]
        return nodes, np.abs(vectors[nodes] - vectors[center]).max(1)

    for start in range(len(order)):
        if not alive[start]:
            continue
        if len(seeds) == most:
            return None
        # The seed lies as far out as it can while its cell still holds the first free node.
        nodes, distance = near(start, allowed[start])
        seed = int(nodes[distance <= allowed[start]][-1])
        # Distances to the boundary itself differ by no more than is allowed, too.
        highest = (height[seed] + resolution) / max(1 - tolerance, 1e-9)
        nodes, distance = near(seed, tolerance * highest + resolution)
        is_member = distance <= allowed[nodes]
        members = nodes[is_member]
        cell[order[members]], alive[members] = len(seeds), False
        radius = max(radius, float(distance[is_member].max()))
        seeds.append(order[seed])
    return Cells(cell, np.array(seeds, dtype=np.int64), radius)


def min_plus(left: Lengths, right: Lengths) -> Lengths:
    """``[a, c]``, the minimum of ``left[z, a] + right[z, c]`` over all z."""
    minimum = np.full((left.shape[1], right.shape[1]), np.inf)
    for left_row, right_row in zip(left, right, strict=True):
        np.minimum(minimum, left_row[:, None] + right_row, out=minimum)
    return minimum


def full(matrix: Lengths) -> csr_matrix:
    """A matrix with all entries stored, zeros too: they are lengths."""
    rows, cols = matrix.shape
    indices, indptr = np.tile(np.arange(cols), rows), cols * np.arange(rows + 1)
    return csr_matrix((matrix.ravel(), indices, indptr), shape=matrix.shape)
