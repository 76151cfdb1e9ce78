"""Facts of a graph that tell which masks serve it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch_geometric.data import Data


@dataclass(frozen=True)
class GraphFacts:
    """A graph in numbers.

    Args:
        num_nodes: N.
        num_edges: E, every direction counted.
        directed: whether an edge lacks its opposite, or has another weight than it.
        self_loops: edges from a node to itself.
        multi_edges: edges beyond the first between the same nodes in the same direction.
        degrees: least, mean and largest number of edges that arrive at a node.
        isolated: nodes without any edge.
        components: number of weakly connected parts.
        largest_component: nodes of the largest.
        weights: least and largest weight, or :obj:`None`.
        axes: columns of ``pos``, or :obj:`None`.
        shape: of the grid that the graph is, nodes row by row, or :obj:`None`.
        made_edges: whether edges were made here, since the file has points alone.
        has_triangles: whether it is a mesh.
    """

    num_nodes: int
    num_edges: int
    directed: bool
    self_loops: int
    multi_edges: int
    degrees: tuple[int, float, int]
    isolated: int
    components: int
    largest_component: int
    weights: tuple[float, float] | None
    axes: int | None
    shape: tuple[int, int] | None
    made_edges: bool
    has_triangles: bool

    @property
    def is_forest(self) -> bool:
        """Whether the graph is undirected and has no cycle."""
        plain = not (self.directed or self.self_loops or self.multi_edges)
        return plain and self.num_edges // 2 == self.num_nodes - self.components

    @property
    def is_path(self) -> bool:
        """Whether the nodes form a sequence."""
        return self.shape is not None and 1 in self.shape

    @property
    def has_negative_weights(self) -> bool:
        """Whether a weight is below 0."""
        return self.weights is not None and self.weights[0] < 0

    @property
    def has_hubs(self) -> bool:
        """Whether some node has far more neighbours than most."""
        return self.degrees[2] > max(50.0 * self.degrees[1], 500.0)

    def rows(self) -> dict[str, str]:
        """As a table shows it."""
        low, mean, high = self.degrees
        weights = (
            "none"
            if self.weights is None
            else f"from {self.weights[0]:.3g} to {self.weights[1]:.3g}"
        )
        extra = [
            f"{count:,} {what}"
            for count, what in ((self.self_loops, "self-loops"), (self.multi_edges, "repeated"))
            if count
        ]
        parts = (
            f"{self.components:,}"
            if self.components == 1
            else f"{self.components:,}, the largest of {self.largest_component:,} nodes"
        )
        return {
            "nodes": f"{self.num_nodes:,}",
            "edges": ", ".join(
                [
                    f"{self.num_edges:,} {'directed' if self.directed else 'in both directions'}",
                    *extra,
                ]
            ),
            "degrees": f"{low:,} to {high:,}, mean {mean:.3g}; {self.isolated:,} isolated nodes",
            "components": parts,
            "weights": weights,
            "coordinates": "none" if self.axes is None else f"{self.axes} per node",
            "kind": self._kind(),
        }

    def _kind(self) -> str:
        if self.made_edges:
            return "points; the edges are those of nearest neighbours"
        if self.shape is not None:
            return (
                "a path" if self.is_path else f"a grid of {self.shape[0]} x {self.shape[1]} nodes"
            )
        return "a forest" if self.is_forest else "a mesh" if self.has_triangles else "a graph"


def describe_graph(data: Data, made_edges: bool = False) -> GraphFacts:
    """The facts of a graph.

    Args:
        data: with ``edge_index``.
        made_edges: whether its edges were made from points. (default: :obj:`False`)

    Cost: O(N + E log E).

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from graphmask.facts import describe_graph
        >>> facts = describe_graph(Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=4))
        >>> facts.is_forest, facts.components, facts.isolated, facts.directed
        (True, 2, 1, False)
    """
    source, target = data.edge_index.cpu().numpy()
    count = int(data.num_nodes)
    weight = data.get("edge_weight")
    numbers = np.ones(len(source)) if weight is None else weight.detach().double().cpu().numpy()
    shape = (count, count)
    summed = coo_array((numbers, (source, target)), shape=shape).tocsr()
    links = coo_array((np.ones(len(source)), (source, target)), shape=shape).tocsr()
    parts, label = (
        connected_components(links, directed=True, connection="weak")
        if count
        else (0, np.zeros(0, int))
    )
    arriving = np.bincount(target, minlength=count) if count else np.zeros(1, int)
    touched = arriving + np.bincount(source, minlength=count) if count else arriving
    pos = data.get("pos")
    return GraphFacts(
        num_nodes=count,
        num_edges=len(source),
        directed=bool(abs(summed - summed.T).max() > 1e-6 * max(1e-30, np.abs(numbers).max()))
        if len(source)
        else False,
        self_loops=int((source == target).sum()),
        multi_edges=len(source) - links.nnz,
        degrees=(int(arriving.min()), float(arriving.mean()), int(arriving.max())),
        isolated=int((touched == 0).sum()) if count else 0,
        components=int(parts),
        largest_component=int(np.bincount(label).max()) if count else 0,
        weights=None
        if weight is None or not len(numbers)
        else (float(numbers.min()), float(numbers.max())),
        axes=None if pos is None else int(pos.shape[1]),
        shape=find_grid(data.edge_index, count),
        made_edges=made_edges,
        has_triangles=data.get("face") is not None,
    )


def find_grid(edge_index: torch.Tensor, num_nodes: int) -> tuple[int, int] | None:
    """Rows and columns of a grid whose nodes come row by row, each joined with up to four others.

    A path has one row.

    Example:
        >>> import torch
        >>> from graphmask.facts.graph import find_grid
        >>> find_grid(torch.tensor([[0, 2, 1, 3, 0, 1, 2, 3], [2, 0, 3, 1, 1, 0, 3, 2]]), 4)
        (2, 2)
    """
    if num_nodes < 2 or not edge_index.numel():
        return None
    low, high = edge_index.min(0).values, edge_index.max(0).values
    step = int((high - low).max())
    columns = num_nodes if step == 1 else step
    if num_nodes % columns or edge_index.shape[1] > 4 * num_nodes:
        return None
    place = torch.arange(num_nodes).view(-1, columns)
    along = torch.stack([place[:, :-1].flatten(), place[:, 1:].flatten()])
    down = torch.stack([place[:-1].flatten(), place[1:].flatten()])
    both = torch.cat([along, down, along.flip(0), down.flip(0)], 1)
    same = torch.equal(
        (both[0] * num_nodes + both[1]).sort().values,
        (edge_index[0] * num_nodes + edge_index[1]).sort().values,
    )
    return (num_nodes // columns, columns) if same else None
