"""Neighbour search in plain torch, on any device, by a grid of cells no smaller than the radius.

Cost: O(N log N + candidates), where the candidates are the points of the cells around each point:
for a cloud whose density varies little, O(N) times the mean number of neighbours. No N x N table,
and bounded temporaries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from graphmask.transforms._points import Points, by_centre

Pairs = tuple[Tensor, Tensor, Tensor]  # centre i, neighbour j, squared distance

# Rounding must not put two points at distance exactly `radius` two cells apart.
SLACK = 1e-8
# Cells per axis; a wider cloud gets larger cells, which costs candidates and loses nothing.
MAX_CELLS = 2**20
# Axes that are cut; 3^axes cells surround a point.
MAX_AXES = 3
# Candidate pairs held at a time: about 300 MB with their temporaries.
CANDIDATES = 2**21
ROWS = 2**16
# Points whose true neighbour distance sets the first reach of a nearest-neighbour search.
PROBES = 16


@dataclass(frozen=True)
class Grid:
    """Points sorted by cell. ``A`` axes are cut, ``key`` numbers the cells of all the graphs.

    Attributes:
        cell: [N, A] the cell of each point.
        base: [N] the number of the first cell of each point's graph.
        modulus: [A] cells per axis, after which they wrap; an open axis has one more, always empty.
        key: [N] cell numbers in ascending order.
        order: [N] the point of each entry of ``key``.
        offsets: [3^A or fewer, A] steps to the cells around a cell, each cell once.
    """

    cell: Tensor
    base: Tensor
    modulus: Tensor
    key: Tensor
    order: Tensor
    offsets: Tensor

    def ranges(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Start and length [R, 3^A] of the stretches of ``key`` that hold the candidates of each row."""
        around = (self.cell[rows].unsqueeze(1) + self.offsets) % self.modulus
        wanted = self.base[rows].unsqueeze(1) + cell_number(around, self.modulus)
        start = torch.searchsorted(self.key, wanted)
        return start, torch.searchsorted(self.key, wanted, right=True) - start


def cell_number(cell: Tensor, modulus: Tensor) -> Tensor:
    """Row-major number of a cell inside its graph."""
    number = torch.zeros_like(cell[..., 0])
    for axis in range(modulus.numel()):
        number = number * modulus[axis] + cell[..., axis]
    return number


def make_grid(points: Points, radius: float) -> Grid:
    """Cut the longest axes into cells at least ``radius`` wide."""
    low = torch.where(points.period.isfinite(), 0.0, points.pos.amin(0))
    extent = torch.where(points.period.isfinite(), points.period, points.pos.amax(0) - low)
    axes = extent.topk(min(MAX_AXES, extent.numel())).indices
    # Cell numbers of all the graphs together must fit in 62 bits.
    most = min(MAX_CELLS, int((2**62 / points.num_graphs) ** (1 / axes.numel())) - 2)
    count = (extent[axes] / (radius * (1 + SLACK))).clamp(1, max(most, 1)).floor()
    width = torch.where(extent[axes] > 0, extent[axes] / count, 1.0)
    cell = torch.minimum(((points.pos - low)[:, axes] / width).floor(), count - 1).long()
    modulus = count.long() + points.period[axes].isinf()
    base = points.batch * modulus.prod()
    key, order = (base + cell_number(cell, modulus)).sort(stable=True)
    return Grid(cell, base, modulus, key, order, neighbour_offsets(modulus))


def neighbour_offsets(modulus: Tensor) -> Tensor:
    """Steps -1, 0, 1 along each axis, fewer where the axis wraps so soon that two would name one cell."""
    steps = [range(-1, min(size, 3) - 1) for size in modulus.tolist()]
    return torch.tensor(list(product(*steps)), dtype=torch.long, device=modulus.device)


def search(points: Points, rows: Tensor, radius: float) -> Iterator[Pairs]:
    """Pairs within ``radius`` of each row, chunk by chunk.

    The pairs of a row are never split over two chunks.
    """
    grid = make_grid(points, radius)
    for block in rows.split(ROWS):
        start, length = grid.ranges(block)
        heavy = (length.sum(1).cumsum(0) - 1).div(CANDIDATES, rounding_mode="floor")
        sizes = heavy.unique_consecutive(return_counts=True)[1].tolist()
        for part in zip(block.split(sizes), start.split(sizes), length.split(sizes), strict=True):
            i, j = expand(grid, *part)
            squared = points.squared_distance(i, j)
            keep = (squared <= radius * radius) & (i != j)
            yield i[keep], j[keep], squared[keep]


def expand(grid: Grid, rows: Tensor, start: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """The candidate pairs behind stretches of ``key``."""
    i = rows.repeat_interleave(length.sum(1))
    start, length = start.flatten(), length.flatten()
    shift = start - (length.cumsum(0) - length)
    place = torch.arange(i.numel(), device=i.device) + shift.repeat_interleave(length)
    return i, grid.order[place]


def within(points: Points, radius: float) -> tuple[Tensor, Tensor]:
    """All ordered pairs (i, j) of distinct points of a graph at distance at most ``radius``."""
    rows = torch.arange(points.num_points, device=points.pos.device)
    found = [(i, j) for i, j, _ in search(points, rows, radius)]
    return torch.cat([i for i, _ in found]), torch.cat([j for _, j in found])


def nearest(points: Points, k: int, radius: float = math.inf) -> tuple[Tensor, Tensor]:
    """The ``k`` other points nearest to each point, within ``radius``.

    Pairs (i, j), by i, nearest first.

    Searches within a reach that half of the points need, then within twice that for those still
    short of neighbours, and so on.
    """
    wanted = (points.batch.bincount()[points.batch] - 1).clamp(max=k)
    todo = wanted.nonzero().squeeze(1)
    found = [(todo[:0], todo[:0])]
    reach = min(radius, first_reach(points, wanted)) if todo.numel() else 0.0
    while todo.numel():
        i, j = nearest_within(points, todo, k, reach)
        short = i.bincount(minlength=points.num_points) < wanted
        if reach < radius:
            i, j = i[~short[i]], j[~short[i]]
        found.append((i, j))
        todo = todo[short[todo]] if reach < radius else todo[:0]
        reach = min(radius, 2 * reach)
    return by_centre(*(torch.cat(part) for part in zip(*found, strict=True)))


def nearest_within(points: Points, rows: Tensor, k: int, radius: float) -> tuple[Tensor, Tensor]:
    """Pairs of each row with its ``k`` nearest among the points within ``radius``."""
    chunks = [first_k(*pairs, k) for pairs in search(points, rows, radius)]
    return torch.cat([i for i, _ in chunks]), torch.cat([j for _, j in chunks])


def first_k(i: Tensor, j: Tensor, squared: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The first ``k`` pairs of each i, nearest first, equal distances by the lower j."""
    order = j.argsort()
    order = order[squared[order].argsort(stable=True)]
    order = order[i[order].argsort(stable=True)]
    i, j = i[order], j[order]
    rank = torch.arange(i.numel(), device=i.device) - torch.searchsorted(i, i)
    return i[rank < k], j[rank < k]


def first_reach(points: Points, wanted: Tensor) -> float:
    """A little more than the median distance to the last wanted neighbour, over a few points that want any."""
    every = torch.arange(points.num_points, device=points.pos.device)
    rows = wanted.nonzero().squeeze(1)
    rows = rows[:: max(1, rows.numel() // PROBES)]
    squared = points.squared_distance(rows.unsqueeze(1), every)
    squared = (
        squared.masked_fill(points.batch[rows].unsqueeze(1) != points.batch, math.inf)
        .sort(dim=1)
        .values
    )
    # The nearest is the point itself, or one that coincides with it: the wanted-th other one is at
    # that place.
    last = squared.gather(1, wanted[rows].unsqueeze(1)).median()
    # Where most points coincide, start small beside the farthest pair; all distances zero leave
    # nothing to choose.
    far = squared[squared.isfinite()].max()
    reach = 1.25 * last if last > 0 else 1e-6 * far
    return math.sqrt(reach.item()) or 1.0
