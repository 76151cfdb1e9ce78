"""Neighbour graphs of point clouds by scipy's k-d tree, without a compiled extension of PyG.

Both functions take the arguments of their namesakes in ``torch_geometric.nn``, accept ``batch`` in
any order and never link two graphs. A graph has the same edges alone and in a batch: the tree
proposes candidates, and squared distances in float64 decide ties and the boundary, whatever the
dtype. The search runs on the host; points of a GPU are copied there and edges back.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from graphmask._checks import check_integer, value_error
from graphmask._deprecation import deprecated_arguments
from graphmask._precision import to_double
from graphmask.transforms._points import (
    Period,
    box_lengths,
    check_length,
    check_pos,
    graph_numbers,
    minimal_image,
)

FLOWS = ("source_to_target", "target_to_source")
DEFAULT_LIMIT = 32
DEFAULT_EDGES = 2**27

# The rounding of the tree must not lose a pair that lies on the boundary.
_SLACK = 1e-9
# Entries of a candidate table in memory at a time: about 200 MB with its temporaries.
_TABLE = 2**22
# Candidates in the first query when a radius limits them, too.
_FIRST_WIDTH = 32


@deprecated_arguments(pos="x")
def knn_graph(
    x: Tensor,
    k: int,
    batch: Tensor | None = None,
    loop: bool = False,
    flow: str = "source_to_target",
    cosine: bool = False,
    num_workers: int = 1,
    batch_size: int | None = None,
    *,
    period: Period = None,
) -> Tensor:
    r"""Compute the edges to each point i from the ``k`` points of its graph nearest to it.

    .. math:: E = \{(j, i) : j \in \text{the } k \text{ smallest of } (\|p_j - p_i\|, j),\ j \ne i\}

    Equal distances go to the lower index j. In a graph of at most ``k`` points each point gets all
    the others. Points that coincide are neighbours of each other; a point is its own neighbour only
    with ``loop``.

    Cost: O(N log N + N k) time, O(N k) memory. All points that tie for rank k are compared.

    Args:
        x: ``[N, D]`` coordinates, float32 or float64, of any D.
        k: number of neighbours of each point, at least 1.
        batch: ``[N]`` graph of each point. (default: :obj:`None`, one graph)
        loop: whether each point is the first of its own k neighbours. (default: :obj:`False`)
        flow: ``"source_to_target"`` for edges from neighbours to points, or
            ``"target_to_source"`` for their reverse. (default: :obj:`"source_to_target"`)
        cosine: whether to compare angles at the origin instead of distances.
            (default: :obj:`False`)
        num_workers: threads of the search; as many as torch uses, if that is more.
            (default: :obj:`1`)
        batch_size: B, which PyG takes as a hint and this function ignores. (default: :obj:`None`)
        period: length of a periodic box, or one per axis (infinite for an open axis): distances are
            those of the minimal image. (default: :obj:`None`, open space)

    Returns:
        ``[2, E]`` edges ordered by i, then nearest first; E = N k if each graph has more than k
        points.

    Raises:
        TypeError: if an argument has a wrong type.
        ValueError: if ``k`` is below 1; ``x`` is not float32 or float64, not ``[N, D]`` or not
            finite, or has a zero row with ``cosine``; ``batch`` has another shape, is negative or
            on another device; ``period`` is not positive or comes with ``cosine``; ``flow`` is
            unknown.

    Example:
        >>> knn_graph(torch.tensor([[0.0], [1.0], [3.0]]), k=1)
        tensor([[1, 0, 1],
                [0, 1, 2]])
    """
    check_integer("k", k, 1)
    check_flow(flow)
    cloud = _Cloud.of(_on_sphere(x, period) if cosine else x, batch, period, num_workers)
    centre, neighbour, _ = _nearest_edges(cloud, k, loop)
    return _directed(neighbour, centre, flow).to(x.device)


@deprecated_arguments(pos="x", radius="r", max_neighbours="max_num_neighbors")
def radius_graph(
    x: Tensor,
    r: float,
    batch: Tensor | None = None,
    loop: bool = False,
    max_num_neighbors: int | None = DEFAULT_LIMIT,
    flow: str = "source_to_target",
    num_workers: int = 1,
    batch_size: int | None = None,
    *,
    period: Period = None,
    max_edges: int | None = DEFAULT_EDGES,
) -> Tensor:
    r"""Compute the edges between the points of a graph at distance at most ``r``.

    .. math:: E = \{(j, i) : \|p_j - p_i\| \le r,\ j \ne i\}

    Where a point has more than ``max_num_neighbors`` neighbours it keeps the nearest, of equal
    distances those of the lower index, and an edge may lack its reverse; otherwise the graph is
    symmetric. On a lattice, put ``r`` between two of its distances: at a distance itself, rounding
    decides.

    Cost: O(N log N + E) time, O(N + E) memory, where E counts the edges that are kept.

    Args:
        x: ``[N, D]`` coordinates, float32 or float64, of any D.
        r: largest distance of an edge, inclusive.
        batch: as in :func:`knn_graph`.
        loop: as in :func:`knn_graph`.
        max_num_neighbors: limit on the neighbours of a point; :obj:`None` for all of them. The
            default warns where it cuts neighbours off. (default: :obj:`32`, as in PyG)
        flow: as in :func:`knn_graph`.
        num_workers: as in :func:`knn_graph`.
        batch_size: as in :func:`knn_graph`.
        period: as in :func:`knn_graph`.
        max_edges: limit on E, which is counted before edges are stored. A radius in another unit
            than the points would otherwise take all of the memory: about 50 bytes for each of up to
            N^2 edges; :obj:`None` for no limit. (default: :obj:`2**27`)

    Returns:
        ``[2, E]`` edges ordered by i, then j.

    Raises:
        TypeError: if an argument has a wrong type.
        ValueError: if ``r`` is not positive and finite, or over half of ``period`` (where one point
            would be a neighbour twice); ``max_num_neighbors`` is below 1; there are more than
            ``max_edges`` edges; otherwise as :func:`knn_graph`.

    Example:
        >>> radius_graph(torch.tensor([[0.0], [1.0], [3.5]]), r=1.0, period=4.0)
        tensor([[1, 2, 0, 0],
                [0, 0, 1, 2]])
    """
    check_length("r", r)
    check_limit(max_num_neighbors)
    most = math.inf if max_edges is None else check_integer("max_edges", max_edges, 1)
    check_flow(flow)
    cloud = _Cloud.of(x, batch, period, num_workers)
    if (cloud.period < 2 * r).any():
        raise value_error("r", "at most half of `period`", f"r {r} with period {period}")
    if max_num_neighbors is None:
        centre, neighbour = _edges_within(cloud, r, loop, most)
    else:
        centre, neighbour, is_cut = _nearest_edges(cloud, max_num_neighbors, loop, r, most)
        if is_cut and max_num_neighbors == DEFAULT_LIMIT:
            warnings.warn(
                f"some points have more than max_num_neighbors={DEFAULT_LIMIT} neighbours within "
                f"r={r} and keep the nearest: pass max_num_neighbors=None for all of them",
                stacklevel=3,
            )
    order = (centre * len(cloud.pos) + neighbour).argsort()
    return _directed(neighbour[order], centre[order], flow).to(x.device)


def edge_distance(pos: Tensor, edge_index: Tensor, period: Period = None) -> Tensor:
    """Compute the distances ``[E]`` along edges, by minimal image in a periodic box.

    Differentiable in ``pos``, in its dtype.

    Example:
        >>> edge_distance(torch.tensor([[0.0], [3.5]]), torch.tensor([[0], [1]]), period=4.0)
        tensor([0.5000])
    """
    source, target = edge_index
    lengths = box_lengths(period, pos.size(1)).tolist()
    gaps = [
        minimal_image(x[source] - x[target], length)
        for x, length in zip(pos.unbind(1), lengths, strict=True)
    ]
    return torch.linalg.vector_norm(torch.stack(gaps, dim=1), dim=1)


def check_flow(flow: str) -> str:
    """Check the direction of edges."""
    if flow not in FLOWS:
        raise value_error("flow", " or ".join(map(repr, FLOWS)), repr(flow))
    return flow


def check_limit(max_num_neighbors: int | None) -> int | None:
    """Check the limit on the neighbours of a point."""
    if max_num_neighbors is None:
        return None
    return check_integer("max_num_neighbors", max_num_neighbors, 1)


def _directed(neighbour: Tensor, centre: Tensor, flow: str) -> Tensor:
    ends = (neighbour, centre) if flow == "source_to_target" else (centre, neighbour)
    return torch.stack(ends)


def _on_sphere(pos: Tensor, period: Period) -> Tensor:
    """Project points onto the unit sphere, where the order of distances is that of angles."""
    check_pos(pos)
    if period is not None:
        raise value_error("period", "None for cosine distances", period)
    norm = torch.linalg.vector_norm(to_double(pos.detach()), dim=1, keepdim=True)
    if not norm.all():
        row = int((norm == 0).nonzero()[0, 0])
        raise value_error("x", "without zero rows for cosine distances", f"zeros in row {row}")
    return to_double(pos.detach()) / norm


@dataclass(frozen=True)
class _Cloud:
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
    def of(cls, x: Tensor, batch: Tensor | None, period: Period, num_workers: int) -> _Cloud:
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

    def __init__(self, cloud: _Cloud, radius: float, index: Tensor) -> None:
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


def _edges_within(
    cloud: _Cloud, radius: float, loop: bool, max_edges: float
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


def _nearest_edges(
    cloud: _Cloud, k: int, loop: bool, radius: float = math.inf, max_edges: float = math.inf
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


def _without_copies(cloud: _Cloud, limit: int) -> Tensor:
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
    cloud: _Cloud, rows: Tensor, table: Tensor, k: int, radius: float
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
