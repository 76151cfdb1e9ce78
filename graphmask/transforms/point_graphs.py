"""Transforms that link points to their neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphmask._checks import check_integer
from graphmask._deprecation import deprecated_arguments
from graphmask._settings import repr_of
from graphmask.transforms._batches import Transform
from graphmask.transforms._edges import check_weight_callable, write_edges
from graphmask.transforms._points import Period, check_length, positions
from graphmask.transforms.neighbours import (
    DEFAULT_EDGES,
    DEFAULT_LIMIT,
    check_flow,
    check_limit,
    edge_distance,
    knn_graph,
    radius_graph,
)

DistanceWeight: TypeAlias = Callable[[Tensor], Tensor]


class KNNGraph(Transform):
    r"""Link each point of ``data.pos`` to the ``k`` points nearest to it.

    Takes the arguments of PyG's ``KNNGraph`` and writes its edges, see :func:`knn_graph`, without a
    compiled package. Writes ``edge_index [2, E]`` and, with ``weight``, ``edge_weight [E]``; drops
    edge attributes and walks of an earlier graph, and no other attribute. Graphs are those of
    ``data.batch``. In a cloud of at most ``k`` points each point gets all the others, and equal
    distances go to the lower index.

    Cost: O(N log N + N k) time, O(N k) memory.

    Args:
        k, loop, flow, cosine, num_workers, period: as in :func:`knn_graph`. (default of ``k``:
            :obj:`6`)
        force_undirected: whether to add the reverse of each edge. Edges are then ordered by source;
            otherwise by point, nearest first. (default: :obj:`False`)
        weight: function from the distances ``[E]`` along edges to their weights, such as
            ``Gaussian(scale)``. (default: :obj:`None`, no weights)

    Raises:
        TypeError: if an argument has a wrong type.
        ValueError: if ``pos`` is missing or a weight is not finite or not ``[E]``; otherwise as
            :func:`knn_graph`.

    Example:
        >>> import torch
        >>> data = Data(pos=torch.tensor([[0.0], [1.0], [3.0]]))
        >>> KNNGraph(k=1)(data).edge_index
        tensor([[1, 0, 1],
                [0, 1, 2]])
    """

    def __init__(
        self,
        k: int = 6,
        loop: bool = False,
        force_undirected: bool = False,
        flow: str = "source_to_target",
        cosine: bool = False,
        num_workers: int = 1,
        *,
        period: Period = None,
        weight: DistanceWeight | None = None,
    ) -> None:
        check_weight_callable(weight)
        self.k = check_integer("k", k, 1)
        self.loop = loop
        self.force_undirected = force_undirected
        self.flow = check_flow(flow)
        self.cosine = cosine
        self.num_workers = check_integer("num_workers", num_workers, 1)
        self.period = period
        self.weight = weight

    def forward(self, data: Data) -> Data:
        """Write the edges."""
        pos, options = positions(data), (self.loop, self.flow, self.cosine, self.num_workers)
        edge_index = knn_graph(pos, self.k, data.batch, *options, period=self.period)
        if self.force_undirected:
            edge_index = to_undirected(edge_index, num_nodes=pos.size(0))
        return _write_weighted(data, edge_index, self.weight, self.period)

    def __repr__(self) -> str:
        return repr_of(self, "k")


@deprecated_arguments(radius="r", max_neighbours="max_num_neighbors")
class RadiusGraph(Transform):
    r"""Link all the points of ``data.pos`` at distance at most ``r``.

    Takes the arguments of PyG's ``RadiusGraph`` and writes its edges, see :func:`radius_graph`,
    without a compiled package. Writes ``edge_index [2, E]`` and, with ``weight``,
    ``edge_weight [E]``; drops edge attributes and walks of an earlier graph. Graphs are those of
    ``data.batch``.

    A point with more than ``max_num_neighbors`` neighbours keeps the nearest. A graph that is not
    cut is symmetric; pass ``max_num_neighbors=None`` for one that is never cut.

    Cost: O(N log N + E) time, O(N + E) memory.

    Args:
        r, loop, max_num_neighbors, flow, num_workers, period, max_edges: as in
            :func:`radius_graph`.
        weight: as in :class:`KNNGraph`. (default: :obj:`None`, no weights)

    Raises:
        TypeError: if an argument has a wrong type.
        ValueError: if ``pos`` is missing or a weight is not finite or not ``[E]``; otherwise as
            :func:`radius_graph`.

    Example:
        >>> import torch
        >>> data = Data(pos=torch.tensor([[0.0], [1.0], [3.5]]))
        >>> RadiusGraph(r=1.0, period=4.0)(data).edge_index
        tensor([[1, 2, 0, 0],
                [0, 0, 1, 2]])
    """

    def __init__(
        self,
        r: float,
        loop: bool = False,
        max_num_neighbors: int | None = DEFAULT_LIMIT,
        flow: str = "source_to_target",
        num_workers: int = 1,
        *,
        period: Period = None,
        weight: DistanceWeight | None = None,
        max_edges: int | None = DEFAULT_EDGES,
    ) -> None:
        check_weight_callable(weight)
        self.r = check_length("r", r)
        self.loop = loop
        self.max_num_neighbors = check_limit(max_num_neighbors)
        self.flow = check_flow(flow)
        self.num_workers = check_integer("num_workers", num_workers, 1)
        self.period = period
        self.weight = weight
        if max_edges is not None:
            check_integer("max_edges", max_edges, 1)
        self.max_edges = max_edges

    def forward(self, data: Data) -> Data:
        """Write the edges."""
        pos, options = positions(data), (self.loop, self.max_num_neighbors, self.flow)
        edge_index = radius_graph(
            pos,
            self.r,
            data.batch,
            *options,
            self.num_workers,
            period=self.period,
            max_edges=self.max_edges,
        )
        return _write_weighted(data, edge_index, self.weight, self.period)

    def __repr__(self) -> str:
        return repr_of(self, "r")


def _write_weighted(
    data: Data, edge_index: Tensor, weight: DistanceWeight | None, period: Period
) -> Data:
    if weight is None:
        return write_edges(data, edge_index, None)
    return write_edges(data, edge_index, weight(edge_distance(data.pos, edge_index, period)))
