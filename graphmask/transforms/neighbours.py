"""Neighbour graphs of point clouds by scipy's k-d tree, without a compiled extension of PyG.

Both functions take the arguments of their namesakes in ``torch_geometric.nn``, accept ``batch`` in
any order and never link two graphs. A graph has the same edges alone and in a batch: the tree
proposes candidates, and squared distances in float64 decide ties and the boundary, whatever the
dtype. The search runs on the host; points of a GPU are copied there and edges back.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from graphmask._checks import check_integer, value_error
from graphmask._deprecation import deprecated_arguments
from graphmask._precision import to_double
from graphmask.transforms._point_search import Cloud, edges_within, nearest_edges
from graphmask.transforms._points import Period, box_lengths, check_length, check_pos, minimal_image

FLOWS = ("source_to_target", "target_to_source")
DEFAULT_LIMIT = 32
DEFAULT_EDGES = 2**27


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
    cloud = Cloud.of(_on_sphere(x, period) if cosine else x, batch, period, num_workers)
    centre, neighbour, _ = nearest_edges(cloud, k, loop)
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
    cloud = Cloud.of(x, batch, period, num_workers)
    if (cloud.period < 2 * r).any():
        raise value_error("r", "at most half of `period`", f"r {r} with period {period}")
    if max_num_neighbors is None:
        centre, neighbour = edges_within(cloud, r, loop, most)
    else:
        centre, neighbour, is_cut = nearest_edges(cloud, max_num_neighbors, loop, r, most)
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
