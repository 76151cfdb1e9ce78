"""Neighbour graphs of point clouds without a compiled extension.

Both functions return edges j -> i (row 0 the neighbour j, row 1 the centre i: PyG's
``source_to_target``), never link two graphs of a batch, accept ``batch`` in any order, and give a
graph the same edges alone, in a batch, on the CPU (scipy's KD-tree) and under CUDA (a grid of cells
in torch). Distances are compared in float64, whatever the dtype.
"""

from __future__ import annotations

import math
from types import ModuleType

import torch
from torch import Tensor

from graphmask._checks import check_integer, value_error
from graphmask.transforms import _cells, _kdtree
from graphmask.transforms._points import (
    Period,
    Points,
    box_lengths,
    by_centre,
    check_length,
    collect,
    minimal_image,
)


def knn_graph(
    pos: Tensor, k: int, batch: Tensor | None = None, loop: bool = False, period: Period = None
) -> Tensor:
    r"""Edges to each point i from the ``k`` points of its graph nearest to it.

    .. math:: E = \{(j, i) : j \in \text{the } k \text{ smallest of } (\|p_j - p_i\|, j),\ j \ne i\}

    Equal distances go to the lower index j. In a graph of at most ``k`` points each point gets all
    the others. Points that coincide are neighbours of each other; a point is its own neighbour only
    with ``loop``.

    Cost: O(N log N + N k) time, O(N k) memory. Points that tie for the k-th place are all looked
    at.

    Args:
        pos: Coordinates [N, D], float32 or float64, any D.
        k: Neighbours of each point, at least 1.
        batch: Graph of each point [N]; one graph if left out.
        loop: Let each point be the first of its own k neighbours.
        period: Length of a periodic box, or one per axis (infinite for an open axis): distances by
            minimal image.

    Returns:
        ``edge_index`` [2, E] ordered by i, then nearest first; E = N k if each graph has more than
        k points.

    Raises:
        ValueError: ``k`` below 1; ``pos`` not float, not [N, D], not finite; ``batch`` of another
            shape, negative or on another device; ``period`` not positive.
        TypeError: An argument of a wrong type.

    Example:
        >>> knn_graph(torch.tensor([[0.0], [1.0], [3.0]]), k=1)
        tensor([[1, 0, 1],
                [0, 1, 2]])
    """
    check_integer("k", k, 1)
    return _nearest_edges(collect(pos, batch, period), k, loop).to(pos.device)


def radius_graph(
    pos: Tensor,
    radius: float,
    batch: Tensor | None = None,
    loop: bool = False,
    max_neighbours: int | None = None,
    period: Period = None,
) -> Tensor:
    r"""Edges between the points of a graph at distance at most ``radius``, the epsilon graph.

    .. math:: E = \{(j, i) : \|p_j - p_i\| \le \text{radius},\ j \ne i\}

    Symmetric, unless ``max_neighbours`` cuts it: then each point keeps its nearest ones, equal
    distances by the lower index, and an edge may lack its reverse. On a lattice, put ``radius``
    between two of its distances: at a distance itself, rounding decides.

    Cost: O(N log N + E) time, O(N + E) memory; with ``max_neighbours`` E counts the edges that are
    kept.

    Args:
        pos: Coordinates [N, D], float32 or float64, any D.
        radius: Largest distance of an edge, inclusive.
        batch: Graph of each point [N]; one graph if left out.
        loop: Link each point to itself too, as the first of its ``max_neighbours``.
        max_neighbours: Most neighbours of a point; all if left out.
        period: Length of a periodic box, or one per axis (infinite for an open axis): distances by
            minimal image.

    Returns:
        ``edge_index`` [2, E] ordered by i, then j.

    Raises:
        ValueError: ``radius`` not positive and finite, or over half of ``period`` (where one point
            would be a neighbour twice); ``max_neighbours`` below 1; otherwise as :func:`knn_graph`.
        TypeError: An argument of a wrong type.

    Example:
        >>> radius_graph(torch.tensor([[0.0], [1.0], [3.5]]), radius=1.0, period=4.0)
        tensor([[1, 2, 0, 0],
                [0, 0, 1, 2]])
    """
    check_length("radius", radius)
    points = collect(pos, batch, period)
    if (points.period < 2 * radius).any():
        raise value_error(
            "radius", "at most half of `period`", f"radius {radius} with period {period}"
        )
    if max_neighbours is None:
        edge_index = _edges_within(points, radius, loop)
    else:
        edge_index = _nearest_edges(
            points, check_integer("max_neighbours", max_neighbours, 1), loop, radius
        )
    source, target = edge_index
    return edge_index[:, (target * points.num_points + source).argsort()].to(pos.device)


def edge_distance(pos: Tensor, edge_index: Tensor, period: Period = None) -> Tensor:
    """Distances [E] along edges, by minimal image in a periodic box.

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


def _nearest_edges(points: Points, k: int, loop: bool, radius: float = math.inf) -> Tensor:
    """Edges from the ``k`` nearest points within ``radius``, by centre.

    With ``loop`` the point itself comes first.
    """
    own = _own(points, loop)
    if points.num_points < 2 or k == loop:
        return torch.stack([own, own])
    centre, neighbour = _engine(points).nearest(points, k - loop, radius)
    centre, neighbour = by_centre(torch.cat([own, centre]), torch.cat([own, neighbour]))
    return torch.stack([neighbour, centre])


def _edges_within(points: Points, radius: float, loop: bool) -> Tensor:
    """Edges between points at distance at most ``radius``, in any order."""
    own = _own(points, loop)
    if points.num_points < 2:
        return torch.stack([own, own])
    centre, neighbour = _engine(points).within(points, radius)
    return torch.stack([torch.cat([own, neighbour]), torch.cat([own, centre])])


def _own(points: Points, loop: bool) -> Tensor:
    """The points that get a self-loop: all or none."""
    return torch.arange(points.num_points if loop else 0, device=points.pos.device)


def _engine(points: Points) -> ModuleType:
    """The module that searches: on the GPU where the points are there, else the KD-tree."""
    return _cells if points.pos.is_cuda else _kdtree
