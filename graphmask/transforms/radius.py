"""The epsilon graph of a point cloud."""

from __future__ import annotations

from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from graphmask._checks import check_integer
from graphmask.transforms._edges import (
    DistanceWeight,
    check_weight_callable,
    distance_weight,
    write_edges,
)
from graphmask.transforms._points import Period, check_length, positions
from graphmask.transforms.neighbours import radius_graph


class RadiusGraph(BaseTransform):
    r"""Links all the points of ``data.pos`` at distance at most ``radius``.

    See :func:`radius_graph`.

    Writes ``edge_index`` [2, E] and, with ``weight``, ``edge_weight`` [E]; drops edge attributes
    and walks of an earlier graph. Graphs are told apart by ``data.batch``. The graph is symmetric
    unless ``max_neighbours`` cuts it.

    Cost: O(N log N + E) time, O(N + E) memory.

    Args:
        radius: Largest distance of an edge, inclusive.
        loop: Link each point to itself too, as the first of its ``max_neighbours``.
        max_neighbours: Keep only that many nearest neighbours of each point; all if left out.
        period: Length of a periodic box, or one per axis (infinite for an open axis): distances by
            minimal image.
        weight: Weight of an edge, a function of the distances [E] such as ``Gaussian(scale)``.

    Raises:
        ValueError: ``radius`` not positive and finite, or over half of ``period``;
            ``max_neighbours`` below 1; ``pos`` missing, not float32 or float64, not [N, D], not
            finite; a weight that is not finite or not [E].

    Example:
        >>> import torch
        >>> data = Data(pos=torch.tensor([[0.0], [1.0], [3.5]]))
        >>> RadiusGraph(radius=1.0, period=4.0)(data).edge_index
        tensor([[1, 2, 0, 0],
                [0, 0, 1, 2]])
    """

    def __init__(
        self,
        radius: float,
        loop: bool = False,
        max_neighbours: int | None = None,
        period: Period = None,
        weight: DistanceWeight | None = None,
    ) -> None:
        check_weight_callable(weight)
        self.radius = check_length("radius", radius)
        self.loop = loop
        self.max_neighbours = (
            None if max_neighbours is None else check_integer("max_neighbours", max_neighbours, 1)
        )
        self.period = period
        self.weight = weight

    def forward(self, data: Data) -> Data:
        """Write the edges."""
        pos = positions(data)
        edge_index = radius_graph(
            pos, self.radius, data.batch, self.loop, self.max_neighbours, self.period
        )
        return write_edges(
            data, edge_index, distance_weight(self.weight, pos, edge_index, self.period)
        )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(radius={self.radius}, loop={self.loop}, max_neighbours={self.max_neighbours}, "
            f"period={self.period}, weight={self.weight})"
        )
