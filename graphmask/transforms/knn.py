"""The k-nearest-neighbour graph of a point cloud."""

from __future__ import annotations

from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import to_undirected

from graphmask._checks import check_integer
from graphmask.transforms._edges import (
    DistanceWeight,
    check_weight_callable,
    distance_weight,
    write_edges,
)
from graphmask.transforms._points import Period, positions
from graphmask.transforms.neighbours import knn_graph


class KNNGraph(BaseTransform):
    r"""Links each point of ``data.pos`` to the ``k`` points nearest to it.

    Edges j -> i, see :func:`knn_graph`.

    Writes ``edge_index`` [2, E] and, with ``weight``, ``edge_weight`` [E]; drops edge attributes
    and walks of an earlier graph. Graphs are told apart by ``data.batch``. In a cloud of at most
    ``k`` points each point gets all the others, and equal distances go to the lower index.

    Cost: O(N log N + N k) time, O(N k) memory.

    Args:
        k: Neighbours of each point.
        loop: Let each point be the first of its own k neighbours.
        force_undirected: Add the reverse of each edge. Edges are then ordered by source; otherwise
            by target, nearest first.
        period: Length of a periodic box, or one per axis (infinite for an open axis): distances by
            minimal image.
        weight: Weight of an edge, a function of the distances [E] such as ``Gaussian(scale)``.

    Raises:
        ValueError: ``k`` below 1; ``pos`` missing, not float32 or float64, not [N, D], not finite;
            ``period`` not positive; a weight that is not finite or not [E].

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
        period: Period = None,
        weight: DistanceWeight | None = None,
    ) -> None:
        check_weight_callable(weight)
        self.k = check_integer("k", k, 1)
        self.loop = loop
        self.force_undirected = force_undirected
        self.period = period
        self.weight = weight

    def forward(self, data: Data) -> Data:
        """Write the edges."""
        pos = positions(data)
        edge_index = knn_graph(pos, self.k, data.batch, self.loop, self.period)
        if self.force_undirected:
            edge_index = to_undirected(edge_index, num_nodes=pos.size(0))
        return write_edges(
            data, edge_index, distance_weight(self.weight, pos, edge_index, self.period)
        )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(k={self.k}, loop={self.loop}, force_undirected={self.force_undirected}, "
            f"period={self.period}, weight={self.weight})"
        )
