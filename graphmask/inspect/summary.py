"""Graphs in numbers: sizes, degrees, components, weights and structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch_geometric.data import Data

from graphmask._precision import to_double


@dataclass(frozen=True)
class GraphSummary:
    """A graph in numbers.

    Args:
        num_nodes: N.
        num_edges: E, every direction counted.
        directed: whether an edge lacks its reverse, or differs from it in weight.
        self_loops: edges from a node to itself.
        multi_edges: edges beyond the first between the same nodes in the same direction.
        degrees: least, mean and largest number of edges that arrive at a node.
        isolated: nodes without any edge.
        components: number of weakly connected components.
        largest_component: nodes of the largest.
        weights: least and largest weight, or :obj:`None`.
        axes: columns of ``pos``, or :obj:`None`.
        shape: rows and columns of the grid that the graph is, nodes row by row, or :obj:`None`.
        made_edges: whether the edges are those of nearest neighbours, made for a file of points.
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
        """True if the graph is undirected and has no cycle."""
        simple = not (self.directed or self.self_loops or self.multi_edges)
        return simple and self.num_edges // 2 == self.num_nodes - self.components

    @property
    def is_path(self) -> bool:
        """True if the nodes form a sequence."""
        return self.shape is not None and 1 in self.shape

    @property
    def has_negative_weights(self) -> bool:
        """True if a weight is below 0."""
        return self.weights is not None and self.weights[0] < 0

    @property
    def has_hubs(self) -> bool:
        """True if a node has far more neighbours than most."""
        return self.degrees[2] > max(50.0 * self.degrees[1], 500.0)

    @property
    def kind(self) -> str:
        """The structure, in words."""
        if self.made_edges:
            return "points; the edges are those of nearest neighbours"
        if self.shape is not None:
            grid = f"a grid of {self.shape[0]} x {self.shape[1]} nodes"
            return "a path" if self.is_path else grid
        return "a forest" if self.is_forest else "a mesh" if self.has_triangles else "a graph"

    def rows(self) -> dict[str, str]:
        """Names and values, as a table shows them."""
        low, mean, high = self.degrees
        edges = f"{self.num_edges:,} {'directed' if self.directed else 'in both directions'}"
        edges += f", {self.self_loops:,} self-loops" if self.self_loops else ""
        edges += f", {self.multi_edges:,} repeated" if self.multi_edges else ""
        largest = f", the largest of {self.largest_component:,} nodes"
        weights = self.weights and "from {:.3g} to {:.3g}".format(*self.weights)
        return {
            "nodes": f"{self.num_nodes:,}",
            "edges": edges,
            "degrees": f"{low:,} to {high:,}, mean {mean:.3g}; {self.isolated:,} isolated nodes",
            "components": f"{self.components:,}{largest if self.components > 1 else ''}",
            "weights": weights or "none",
            "coordinates": "none" if self.axes is None else f"{self.axes} per node",
            "kind": self.kind,
        }


def summarize_graph(data: Data, made_edges: bool = False) -> GraphSummary:
    """Summarize a graph.

    Args:
        data: with ``edge_index``.
        made_edges: whether its edges were made from points. (default: :obj:`False`)

    Cost: O(N + E log E).

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from graphmask.inspect import summarize_graph
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> summary = summarize_graph(Data(edge_index=edge_index, num_nodes=4))
        >>> summary.is_forest, summary.components, summary.isolated, summary.directed
        (True, 2, 1, False)
    """
    edge_index, weight, pos = data.edge_index.cpu(), data.get("edge_weight"), data.get("pos")
    (source, target), num_nodes = edge_index.numpy(), int(data.num_nodes)
    values = np.ones(len(source)) if weight is None else to_double(weight.detach().cpu()).numpy()
    # One more node, so that a graph without nodes is no special case.
    size = (num_nodes + 1, num_nodes + 1)
    adjacency = coo_array((values, (source, target)), shape=size).tocsr()
    label = connected_components(adjacency, directed=True, connection="weak")[1][:num_nodes]
    members = np.unique(label, return_counts=True)[1]
    in_degree = np.bincount(target, minlength=num_nodes)
    asymmetry = abs(adjacency - adjacency.T).max()
    return GraphSummary(
        num_nodes=num_nodes,
        num_edges=len(source),
        directed=bool(asymmetry > 1e-6 * np.abs(values).max(initial=1e-30)),
        self_loops=int((source == target).sum()),
        multi_edges=len(source) - adjacency.nnz,
        degrees=(
            int(in_degree.min(initial=len(source))) if num_nodes else 0,
            len(source) / max(num_nodes, 1),
            int(in_degree.max(initial=0)),
        ),
        isolated=num_nodes - len(np.union1d(source, target)),
        components=len(members),
        largest_component=int(members.max(initial=0)),
        weights=(float(values.min()), float(values.max()))
        if weight is not None and len(values)
        else None,
        axes=None if pos is None else int(pos.shape[1]),
        shape=_grid_shape(edge_index, num_nodes),
        made_edges=made_edges,
        has_triangles=data.get("face") is not None,
    )


def _grid_shape(edge_index: torch.Tensor, num_nodes: int) -> tuple[int, int] | None:
    """Rows and columns of a grid whose nodes come row by row, each joined with up to four others.

    A path has one row. :obj:`None` for another graph.
    """
    if num_nodes < 2 or not edge_index.numel():
        return None
    step = int((edge_index[0] - edge_index[1]).abs().max())
    columns = num_nodes if step == 1 else max(step, 1)
    if num_nodes % columns or edge_index.shape[1] > 4 * num_nodes:
        return None
    index = torch.arange(num_nodes).view(-1, columns)
    horizontal = torch.stack([index[:, :-1].flatten(), index[:, 1:].flatten()])
    vertical = torch.stack([index[:-1].flatten(), index[1:].flatten()])
    one_way = torch.cat([horizontal, vertical], 1)
    grid = torch.cat([one_way, one_way.flip(0)], 1)
    keys = [(ends[0] * num_nodes + ends[1]).sort().values for ends in (grid, edge_index.long())]
    return (num_nodes // columns, columns) if torch.equal(*keys) else None
