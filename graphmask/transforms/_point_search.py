"""Pairs of near points by scipy's k-d tree, with ties and the boundary decided in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from graphmask._checks import check_integer
from graphmask._precision import to_double
from graphmask.transforms._points import (
    Period,
    box_lengths,
    check_pos,
    graph_numbers,
    minimal_image,
)

# The rounding of the tree must not lose a pair that lies on the boundary.
_SLACK = 1e-9
# Entries of a candidate table in memory at a time: about 200 MB with its temporaries.
_TABLE = 2**22
# Candidates in the first query when a radius limits them, too.
_FIRST_WIDTH = 32


@dataclass(frozen=True)
class Cloud:
    """Points of all graphs, on the host.

    Attributes:
        pos: ``[N, D]`` float64 coordinates, wrapped into [0, L) along periodic axes.
        batch: ``[N]`` graph of each point, numbered 0 to B - 1.
        period: ``[D]`` box lengths L, infinite along open axes.
        num_workers: threads of a query.
    """

    pos: Tensor
    batch: Tensor
    period: Tensor
    num_workers: int

    @classmethod
    def of(cls, x: Tensor, batch: Tensor | None, period: Period, num_workers: int) -> Cloud:
        """Check the arguments of a search."""
        check_pos(x)
        lengths, graphs = box_lengths(period, x.size(1)), graph_numbers(x, batch)
        # A worker of a data loader has one thread.
        workers = max(check_integer("num_workers", num_workers, 1), torch.get_num_threads())
        pos = to_double(x.detach().cpu())
        inside = pos.remainder(lengths)
        # The remainder of a tiny negative number rounds to L itself.
        inside = torch.where(inside < lengths, inside, torch.zeros_like(inside))
        return cls(torch.where(lengths.isfinite(), inside, pos), graphs.cpu(), lengths, workers)

    def squared_distance(self, i: Tensor, j: Tensor) -> Tensor:
        """Compute squared distances by minimal image, for index shapes that broadcast."""
        total = torch.zeros((), dtype=self.pos.dtype)
        # Axis by axis: a reduction may sum in another order and so break ties differently.
        for x, length in zip(self.pos.unbind(1), self.period.tolist(), strict=True):
            total = total + minimal_image(x[i] - x[j], length).square()
        return total


class _Tree:
    """k-d tree over the points ``index`` (ascending) of all graphs.

    An extra axis keeps graphs farther apart than any search reaches.
    """

    def __init__(self, cloud: Cloud, radius: float, index: Tensor) -> None:
        pos, batch = cloud.pos, cloud.batch
        box = torch.where(cloud.period.isfinite(), cloud.period, 0.0).tolist()
        span = (pos.amax(0) - pos.amin(0)).norm().item()
        self.reach = radius * (1 + _SLACK) if math.isfinite(radius) else 2 * span + 1
        if batch.any():
            height = batch.to(pos.dtype).unsqueeze(1) * (2 * self.reach)
            pos, box = torch.cat([pos, height], dim=1), [*box, 0.0]
        self.tree = cKDTree(pos[index].numpy(), boxsize=box if any(box) else None)
        self.pos, self.index, self.num_workers = pos, index, cloud.num_workers

    def num_pairs(self) -> int:
        """Count the ordered pairs of points within reach, each point with itself included."""
        return int(self.tree.count_neighbors(self.tree, self.reach))

    def pairs(self) -> Tensor:
        """Return the unordered pairs ``[P, 2]`` of points within reach."""
        pairs = self.tree.query_pairs(self.reach, output_type="ndarray")
        return self.index[torch.from_numpy(pairs)]

    def query(self, rows: Tensor, width: int) -> Tensor:
        """Return the ``width`` points nearest to each row, itself included, by index.

        Absent points are N.
        """
        points = self.pos[rows].numpy()
        _, position = self.tree.query(
            points, k=width, distance_upper_bound=self.reach, workers=self.num_workers
        )
        index = torch.cat([self.index, self.index.new_tensor([len(self.pos)])])
        return index[torch.from_numpy(position)].sort(dim=1).values

    def rows(self) -> Tensor:
        """Return all points, those of the tree in the order of its leaves.

        A million queries take a third of the time in this order.
        """
        rest = torch.ones(len(self.pos), dtype=torch.bool).index_fill(0, self.index, False)
        return torch.cat([self.index[torch.from_numpy(self.tree.indices)], rest.nonzero()[:, 0]])


def edges_within(
    cloud: Cloud, radius: float, loop: bool, max_edges: float
) -> tuple[Tensor, Tensor]:
    """Return the ordered pairs of points of a graph at distance at most ``radius``."""
    points = torch.arange(len(cloud.pos))
    own = points if loop else points[:0]
    if len(points) < 2:
        return own, own
    tree = _Tree(cloud, radius, points)
    # Few points cannot have too many edges.
    if len(points) ** 2 > max_edges:
        _check_edges(tree.num_pairs() - (0 if loop else len(points)), radius, max_edges)
    i, j = tree.pairs().unbind(1)
    is_close = cloud.squared_distance(i, j) <= radius * radius
    i, j = i[is_close], j[is_close]
    return torch.cat([own, i, j]), torch.cat([own, j, i])


def _check_edges(num_edges: int, radius: float, max_edges: float, least: str = "") -> None:
    """Check the number of edges of a radius before they are stored."""
    if num_edges > max_edges:
        raise ValueError(
            f"the radius {radius} would make {least}{num_edges:,} edges, and `max_edges` is "
            f"{max_edges:,}: choose a smaller radius, in the unit of the points, pass "
            "`max_num_neighbors`, or raise `max_edges`"
        )


def nearest_edges(
    cloud: Cloud, k: int, loop: bool, radius: float = math.inf, max_edges: float = math.inf
) -> tuple[Tensor, Tensor, bool]:
    """Return the pairs of points with their ``k`` nearest, and whether some had more in reach.

    Pairs are ordered by centre, nearest first.
    """
    points = torch.arange(len(cloud.pos))
    pairs = [(points, points)] if loop else [(points[:0], points[:0])]
    is_cut, k, num_edges = False, k - loop, len(pairs[0][0])
    if len(points) > 1 and k:
        index = _without_copies(cloud, k + 1)
        tree, max_width = _Tree(cloud, radius, index), len(index) + 1
        # One more than the point and its k neighbours shows whether the k-th ties; a radius may
        # leave far fewer.
        width = min(k + 2 if math.isinf(radius) else min(k + 2, _FIRST_WIDTH), max_width)
        rows = tree.rows()
        while rows.numel():
            open_rows = []
            for block in rows.split(max(1, _TABLE // width)):
                i, j, is_final, more = _choose(cloud, block, tree.query(block, width), k, radius)
                pairs.append((i, j))
                num_edges += len(i)
                _check_edges(num_edges, radius, max_edges, "at least ")
                open_rows.append(block[~is_final])
                is_cut |= more
            rows, width = torch.cat(open_rows), min(2 * width, max_width)
    centre, neighbour = (torch.cat(ends) for ends in zip(*pairs, strict=True))
    order = centre.argsort(stable=True)
    return centre[order], neighbour[order], is_cut


def _without_copies(cloud: Cloud, limit: int) -> Tensor:
    """Return the points but those that coincide with ``limit`` others of lower index.

    Nobody's nearest are among those, and with them a cloud padded with N equal points would cost
    N^2.
    """
    points = torch.arange(len(cloud.pos))
    x = cloud.pos[:, 0].sort().values
    if (x[limit:] != x[:-limit]).all():
        return points
    rows = torch.cat([cloud.pos, cloud.batch.to(cloud.pos.dtype).unsqueeze(1)], dim=1)
    group = rows.unique(dim=0, return_inverse=True)[1]
    order = group.argsort(stable=True)
    rank = points - torch.searchsorted(group[order], group[order])
    return order[rank < limit].sort().values


def _choose(
    cloud: Cloud, rows: Tensor, table: Tensor, k: int, radius: float
) -> tuple[Tensor, Tensor, Tensor, bool]:
    """Choose the ``k`` nearest candidates of each row.

    A row is final when a candidate lies strictly behind its k-th neighbour, or no candidate is
    missing; otherwise the tree may have left out points as near as the k-th, and equal distances go
    to the lower index.

    Returns:
        The pairs of the final rows, which rows are final, and whether one of them has more than
        ``k`` candidates within the radius.
    """
    num_points, centre = len(cloud.pos), rows.unsqueeze(1)
    is_absent = table == num_points
    squared = cloud.squared_distance(centre, table.clamp(max=num_points - 1))
    squared = squared.masked_fill(is_absent, math.inf)
    behind = squared.amax(dim=1)
    squared, order = squared.masked_fill(table == centre, math.inf).sort(dim=1, stable=True)
    last = squared[:, min(k, squared.size(1)) - 1]
    is_final = is_absent.any(dim=1) | (last < behind * (1 - _SLACK))
    keep = (squared <= radius * radius) & squared.isfinite() & is_final.unsqueeze(1)
    has_more = bool(keep[:, k:].any())
    keep, neighbour = keep[:, :k], table.gather(1, order)[:, :k]
    return centre.expand_as(keep)[keep], neighbour[keep], is_final, has_more
