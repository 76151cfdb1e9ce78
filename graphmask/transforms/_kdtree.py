"""Neighbour search on the host, by a KD-tree.

The tree only proposes candidates; distances, ties and the boundary are decided by
`Points.squared_distance`, so that this search and the one of `_cells` return the same pairs, and a
graph the same pairs alone or in a batch.
"""

from __future__ import annotations

import math

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from graphmask.transforms._points import Points, by_centre

# The tree's own rounding must not lose a pair that lies on the boundary.
SLACK = 1e-9
# Entries of a candidate table held at a time: about 200 MB with its temporaries.
TABLE = 2**22
# Candidates first asked for when a radius, too, limits them.
FIRST_WIDTH = 32


class Tree:
    """A KD-tree over the points ``held`` (in ascending order) of all graphs.

    Each graph is lifted to its own height along an extra axis, farther from the others than any
    search reaches.
    """

    def __init__(self, points: Points, radius: float, held: Tensor) -> None:
        span = (points.pos.amax(0) - points.pos.amin(0)).norm().item()
        self.reach = radius * (1 + SLACK) if math.isfinite(radius) else 2 * span + 1
        self.pos, box = (
            points.pos,
            torch.where(points.period.isfinite(), points.period, 0.0).tolist(),
        )
        if points.num_graphs > 1:
            height = points.batch.double().unsqueeze(1) * (2 * self.reach)
            self.pos, box = torch.cat([points.pos, height], dim=1), [*box, 0.0]
        self.tree = cKDTree(self.pos[held].numpy(), boxsize=box if any(box) else None)
        self.held = held

    def pairs(self) -> Tensor:
        """Every unordered pair [P, 2] within reach."""
        return self.held[torch.from_numpy(self.tree.query_pairs(self.reach, output_type="ndarray"))]

    def table(self, rows: Tensor, width: int) -> Tensor:
        """The ``width`` points nearest to each row, itself included, by index.

        N where there are no more.
        """
        # As many threads as torch may use, hence one in a data loader's worker.
        workers = torch.get_num_threads()
        asked = self.pos[rows].numpy()
        _, place = self.tree.query(asked, k=width, distance_upper_bound=self.reach, workers=workers)
        named = torch.cat([self.held, self.held.new_tensor([len(self.pos)])])
        return named[torch.from_numpy(place)].sort(dim=1).values

    def rows(self) -> Tensor:
        """All points in the order of the tree's leaves.

        A million queries so ordered take a third of the time.
        """
        rest = torch.ones(len(self.pos), dtype=torch.bool).index_fill(0, self.held, False)
        return torch.cat(
            [self.held[torch.from_numpy(self.tree.indices)], rest.nonzero().squeeze(1)]
        )


def within(points: Points, radius: float) -> tuple[Tensor, Tensor]:
    """All ordered pairs (i, j) of distinct points of a graph at distance at most ``radius``."""
    i, j = Tree(points, radius, torch.arange(points.num_points)).pairs().unbind(1)
    close = points.squared_distance(i, j) <= radius * radius
    i, j = i[close], j[close]
    return torch.cat([i, j]), torch.cat([j, i])


def nearest(points: Points, k: int, radius: float = math.inf) -> tuple[Tensor, Tensor]:
    """The ``k`` other points nearest to each point, within ``radius``.

    Pairs (i, j), by i, nearest first.
    """
    held = first_copies(points, k + 1)
    tree, most = Tree(points, radius, held), len(held) + 1
    # One more than the point and its k neighbours shows whether the k-th ties; a radius may well
    # hold far fewer.
    todo, width = tree.rows(), min(k + 2 if math.isinf(radius) else min(k + 2, FIRST_WIDTH), most)
    found: list[tuple[Tensor, Tensor]] = []
    while todo.numel():
        left = []
        for rows in todo.split(max(1, TABLE // width)):
            i, j, settled = choose(points, rows, tree.table(rows, width), k, radius)
            found.append((i, j))
            left.append(rows[~settled])
        todo, width = torch.cat(left), min(2 * width, most)
    return by_centre(*(torch.cat(part) for part in zip(*found, strict=True)))


def first_copies(points: Points, most: int) -> Tensor:
    """The points without those that coincide with ``most`` others of lower index.

    These are nobody's neighbours.

    Without it a cloud padded with N equal points would cost N^2.
    """
    every = torch.arange(points.num_points)
    x = points.pos[:, 0].sort().values
    if (x[most:] != x[:-most]).all():
        return every
    place = torch.cat([points.pos, points.batch.double().unsqueeze(1)], dim=1).unique(
        dim=0, return_inverse=True
    )[1]
    order = place.argsort(stable=True)
    rank = every - torch.searchsorted(place[order], place[order])
    return order[rank < most].sort().values


def choose(
    points: Points, rows: Tensor, table: Tensor, k: int, radius: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The ``k`` nearest of the candidates of each row, and whether that row is settled.

    A row is settled when a candidate lies strictly behind its k-th neighbour, or no candidate is
    missing; otherwise the tree may have left out points as near as the k-th, and equal distances go
    to the lower index.
    """
    centre, absent = rows.unsqueeze(1), table == points.num_points
    squared = points.squared_distance(centre, table.clamp(max=points.num_points - 1)).masked_fill(
        absent, math.inf
    )
    behind = squared.amax(dim=1)
    squared, order = squared.masked_fill(table == centre, math.inf).sort(dim=1, stable=True)
    settled = absent.any(dim=1) | (squared[:, min(k, squared.size(1)) - 1] < behind * (1 - SLACK))
    keep = (squared <= radius * radius) & squared.isfinite() & settled.unsqueeze(1)
    keep, neighbour = keep[:, :k], table.gather(1, order)[:, :k]
    return centre.expand_as(keep)[keep], neighbour[keep], settled
