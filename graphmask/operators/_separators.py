"""Graphs split by small separators, again and again, with exact distances across every split.

A region is a part of a connected graph, with the boundary of nodes that its edges lead to. Every
path out of a region passes its boundary, so that distances within it, along paths through the whole
graph, are those of a small graph: the region, its boundary, and one shortcut between any two nodes
of the boundary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import bmat, csr_matrix, hstack
from scipy.sparse.csgraph import connected_components, dijkstra

from graphmask._checks import value_error

Ids: TypeAlias = NDArray[np.int64]
Lengths: TypeAlias = NDArray[np.float64]

# The smaller side of a split holds at least this share of the nodes, where any separator leaves it
# that many.
_BALANCE = 0.2


class Region(NamedTuple):
    """Nodes ``own [n]`` and ``boundary [b]``, the edges within and between, and the lengths from the boundary on."""

    own: Ids
    boundary: Ids
    inner: csr_matrix  # [n, n] lengths of edges
    outer: csr_matrix  # [n, b] lengths of edges to the boundary
    rows: Lengths  # [b, n] distances from the boundary
    between: Lengths  # [b, b] distances within the boundary

    def distances(self, sources: Ids) -> Lengths:
        """``[s, n]``, lengths of the shortest paths in the whole graph from some of its nodes to all of its nodes."""
        graph = self.inner
        if len(self.boundary):
            graph = bmat(
                [[self.inner, self.outer], [self.outer.T, full(self.between)]], format="csr"
            )
        return dijkstra(graph, indices=sources)[:, : len(self.own)]


class Cells(NamedTuple):
    """Nodes of a region that stand in for those near them.

    Of each node the number of its cell, of each cell its seed.
    """

    cell: Ids  # [n]
    seed: Ids  # [c]
    radius: float  # largest difference of distances to anything outside, of a node and its seed


class Split(NamedTuple):
    """A separator of a region and the two sides that it leaves, with their cells, and distances between all three."""

    separator: Ids
    sides: tuple[Region, Region]
    cells: tuple[Cells, Cells]
    across: Lengths  # [c, c'] from seeds to seeds
    through: tuple[Lengths, Lengths]  # [s, c] from the separator to seeds
    within: Lengths  # [s, s] in the separator


class Leaf(NamedTuple):
    """A region that is not split, with all its distances."""

    own: Ids
    within: Lengths


def decompose(
    graph: csr_matrix, tolerance: float, resolution: float, leaf_size: int, max_entries: int
) -> Iterator[Split | Leaf]:
    """The splits and leaves of all components of a symmetric graph.

    Raises:
        ValueError: where more than ``max_entries`` distances would be found at a time.

    Cost: with separators of about sqrt(n) nodes O(N^1.5 log N), by Dijkstra's algorithm from each
    of them.
    """
    waiting = [_component(graph, own) for own in _components(graph)[::-1]]
    while waiting:
        region = waiting.pop()
        side = _sides(region.inner) if len(region.own) > leaf_size else None
        sources = len(region.own) if side is None else int((side == 1).sum()) + len(region.boundary)
        check_entries(sources * len(region.own), max_entries)
        if side is None:
            yield Leaf(region.own, region.distances(np.arange(len(region.own))))
            continue
        split = _split(region, side, tolerance, resolution)
        waiting.extend(split.sides[::-1])
        yield split


def check_entries(entries: int, max_entries: int) -> None:
    """No more distances than are allowed."""
    if entries > max_entries:
        raise value_error(
            "max_entries",
            "at least the distances that are stored, or found at a time (a larger tolerance stores fewer; "
            "graphs without small separators store all)",
            f"{max_entries}, of {entries} or more",
        )


def _component(graph: csr_matrix, own: Ids) -> Region:
    n = len(own)
    return Region(
        own, own[:0], graph[own][:, own], csr_matrix((n, 0)), np.empty((0, n)), np.empty((0, 0))
    )


def _components(graph: csr_matrix) -> list[Ids]:
    """The nodes of each component, ascending."""
    count, label = connected_components(graph, directed=False)
    order = np.argsort(label, kind="stable")
    return np.split(order, np.cumsum(np.bincount(label, minlength=count))[:-1]) if count else []


def _sides(graph: csr_matrix) -> NDArray[np.int8] | None:
    """0 and 2 for the two sides and 1 for what separates them, or None where nothing does."""
    parts = _components(graph)
    if len(parts) > 1:
        return _pack(parts, graph.shape[0])
    far = int(np.argmax(dijkstra(graph, indices=0, unweighted=True)))
    level = dijkstra(graph, indices=far, unweighted=True).astype(np.int64)
    cut = _cut(np.bincount(level))
    if cut is None:
        return None
    # Of the level, only nodes with an edge onwards are needed.
    onwards = np.diff(graph[:, np.flatnonzero(level == cut + 1)].indptr) > 0
    return np.where(level > cut, 2, (level == cut) & onwards).astype(np.int8)


def _pack(parts: list[Ids], n: int) -> NDArray[np.int8]:
    """Parts without edges between them on two sides of about equal size."""
    side, sizes = np.zeros(n, dtype=np.int8), [0, 0]
    for part in sorted(parts, key=len, reverse=True):
        smaller = int(sizes[1] < sizes[0])
        side[part] = 2 * smaller
        sizes[smaller] += len(part)
    return side


def _cut(sizes: Ids) -> int | None:
    """The smallest level of those that leave enough on both sides, else the most even."""
    before = np.cumsum(sizes) - sizes
    least = np.minimum(before, sizes.sum() - before - sizes)[1:-1]
    if not len(least):
        return None
    enough = least >= min(_BALANCE * sizes.sum(), least.max())
    return 1 + int(np.argmin(np.where(enough, sizes[1:-1], sizes.sum() + 1)))


def _split(region: Region, side: NDArray[np.int8], tolerance: float, resolution: float) -> Split:
    separator = np.flatnonzero(side == 1)
    table = region.distances(separator) if len(separator) else np.empty((0, len(region.own)))
    rows = np.concatenate([table, region.rows])
    near = np.concatenate([table[:, separator], region.rows[:, separator]])
    gates = Region(
        region.own,
        np.concatenate([region.own[separator], region.boundary]),
        region.inner,
        hstack([region.inner[:, separator], region.outer], format="csr"),
        rows,
        np.concatenate(
            [near, np.concatenate([region.rows[:, separator].T, region.between])], axis=1
        ),
    )
    places = [np.flatnonzero(side == number) for number in (0, 2)]
    first, second = (_side(gates, place) for place in places)
    cells = (
        gather_cells(first.rows, tolerance, resolution),
        gather_cells(second.rows, tolerance, resolution),
    )
    seeds = [place[each.seed] for place, each in zip(places, cells, strict=True)]
    used = np.flatnonzero(np.isin(gates.boundary, min(first.boundary, second.boundary, key=len)))
    across = min_plus(rows[used][:, seeds[0]], rows[used][:, seeds[1]])
    through = table[:, seeds[0]], table[:, seeds[1]]
    return Split(
        region.own[separator], (first, second), cells, across, through, table[:, separator]
    )


def _side(gates: Region, place: Ids) -> Region:
    """One side of a split, behind those nodes of the separator and the old boundary that its edges lead to."""
    outer = gates.outer[place]
    touched = np.unique(outer.indices)
    return Region(
        gates.own[place],
        gates.boundary[touched],
        gates.inner[place][:, place],
        outer[:, touched],
        gates.rows[touched][:, place],
        gates.between[np.ix_(touched, touched)],
    )


def gather_cells(rows: Lengths, tolerance: float, resolution: float) -> Cells:
    """Cells of nodes whose distances ``rows [b, n]`` to the boundary differ little from those of their seed.

    By ``tolerance`` times the node's distance to the boundary, plus ``resolution``, at most: so
    much do their distances to anything outside of the region differ, too.
    """
    height = rows.min(0)
    order = np.argsort(height, kind="stable")
    vectors, height = np.ascontiguousarray(rows.T[order]), height[order]
    allowed = tolerance * height + resolution
    alive, cell = np.ones(len(order), dtype=bool), np.empty(len(order), dtype=np.int64)
    seeds: list[int] = []
    radius = 0.0
    # Distances to the boundary, as all others, differ by no more than is allowed.
    ends = np.searchsorted(
        height, (height + resolution) / max(1 - tolerance, 1e-9) * (1 + 1e-9), "right"
    )
    for start in range(len(order)):
        if not alive[start]:
            continue
        # The seed lies as far out as it can without losing the node that the cell is made for.
        near = _near(
            vectors, start, start + np.flatnonzero(alive[start : ends[start]]), allowed[start]
        )[0]
        seed = near[-1]
        some = start + np.flatnonzero(alive[start : ends[seed]])
        some, differ = _near(vectors, seed, some, allowed[some])
        cell[order[some]], alive[some], radius = len(seeds), False, max(radius, float(differ.max()))
        seeds.append(order[seed])
    return Cells(cell, np.array(seeds, dtype=np.int64), radius)


def _near(
    vectors: Lengths, center: int, some: Ids, allowed: Lengths | float
) -> tuple[Ids, Lengths]:
    """Those of some vectors that differ from one of them by no more than is allowed, and by how much they do."""
    nearest = int(np.argmin(vectors[center]))
    likely = np.abs(vectors[some, nearest] - vectors[center, nearest]) <= allowed
    some, allowed = some[likely], np.broadcast_to(allowed, likely.shape)[likely]
    differ = np.abs(vectors[some] - vectors[center]).max(1)
    return some[differ <= allowed], differ[differ <= allowed]


def min_plus(left: Lengths, right: Lengths) -> Lengths:
    """``[a, c]``, the least ``left[z, a] + right[z, c]`` over all z."""
    least = np.full((left.shape[1], right.shape[1]), np.inf)
    for one, other in zip(left, right, strict=True):
        np.minimum(least, one[:, None] + other, out=least)
    return least


def full(matrix: Lengths) -> csr_matrix:
    """A dense matrix with all entries stored, zeros too: they are lengths."""
    rows, cols = matrix.shape
    return csr_matrix(
        (matrix.ravel(), np.tile(np.arange(cols), rows), cols * np.arange(rows + 1)),
        shape=matrix.shape,
    )
