"""The minimum spanning forest of a weighted graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_matrix, csgraph
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from graphmask._checks import aminmax, check_finite, type_error, value_error
from graphmask.transforms._edges import write_edges


class MinimumSpanningTree(BaseTransform):
    r"""Keeps the edges of the minimum spanning forest, whose lengths sum to the least among all that join as much.

    Lengths are ``data.edge_weight``, all ones where there are none; give affinities as distances
    first. Edges are read as undirected, a pair of nodes is joined at its shortest edge, and
    self-loops are dropped; equal lengths go to the edge of the lower node ids. Each kept edge is
    written in both directions, ordered by source. Attributes of edges, as ``data.edge_attrs()``
    tells, go along: those of the shortest edge in the same direction, or of the opposite one where
    there is none; ``edge_weight`` is the same in both. All else is kept but drawn walks and
    ``adj_t``. In a batch each graph gets its own forest.

    Cost: O(N + E log E) time, O(E) memory.

    Raises:
        ValueError: data without ``edge_index``; lengths that are not finite or not [E]; node ids
            out of range.

    Source: Kruskal, "On the Shortest Spanning Subtree of a Graph" (1956); Choromanski et al., "Fast
    Tree-Field Integrators" (NeurIPS 2024), for its metric in the place of a graph's.

    Example:
        >>> ring = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> data = MinimumSpanningTree()(Data(edge_index=ring, edge_weight=torch.tensor([1.0, 2.0, 3.0]), num_nodes=3))
        >>> data.edge_index
        tensor([[0, 1, 1, 2],
                [1, 0, 2, 1]])
        >>> data.edge_weight
        tensor([1., 1., 2., 2.])
    """

    def forward(self, data: Data) -> Data:
        """Write the edges."""
        if data.edge_index is None:
            raise value_error("data", "a graph with `edge_index`", list(data.keys()))
        weight = data.get("edge_weight")
        kept = minimum_spanning_tree(data.edge_index, weight, data.num_nodes)
        ends = data.edge_index[:, kept]
        ends, kept = torch.cat([ends, ends.flip(0)], 1), kept.repeat(2)
        order = torch.argsort(ends[0] * data.num_nodes + ends[1])
        ends, kept = ends[:, order], kept[order]
        followed = _own_direction(data.edge_index, weight, ends, kept, data.num_nodes)
        names = [name for name in data.edge_attrs() if name not in ("edge_index", "edge_weight")]
        carried = {name: _taken(data, name, followed) for name in names}
        write_edges(data, ends, None if weight is None else weight[kept])
        for name, value in carried.items():
            data[name] = value
        return data

    def __repr__(self) -> str:
        return "MinimumSpanningTree()"


def minimum_spanning_tree(edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> Tensor:
    """Edges [F] of the minimum spanning forest.

    One for each pair of nodes that it joins, the shortest between them.

    Args:
        edge_index: edges [2, E], read as undirected; self-loops are passed over.
        edge_weight: lengths [E]; all ones if None. Of equal lengths the edge of the lower node ids
            is taken, then the first.
        num_nodes: N.

    Raises:
        TypeError: edges that are no integers.
        ValueError: lengths that are not finite or not [E]; edges that are not [2, E], or of nodes
            that do not exist.

    Cost: O(N + E log E) time, O(E) memory.

    Example:
        >>> minimum_spanning_tree(torch.tensor([[0, 1, 2], [1, 2, 0]]), torch.tensor([3.0, 1.0, 2.0]), 3)
        tensor([1, 2])
    """
    _check_edges(edge_index, edge_weight, num_nodes)
    low, high = edge_index.amin(0), edge_index.amax(0)
    by_length = _sorted(low * num_nodes + high, edge_weight)
    by_length = by_length[(low != high)[by_length]]
    # scipy reads a length of 0 as no edge and adds up parallel ones, so that each pair of nodes
    # gets its first rank instead.
    pair, rank = np.unique((low * num_nodes + high)[by_length].cpu().numpy(), return_index=True)
    graph = coo_matrix((rank + 1.0, (pair // num_nodes, pair % num_nodes)), (num_nodes, num_nodes))
    chosen = np.sort(csgraph.minimum_spanning_tree(graph.tocsr()).data).astype(np.int64) - 1
    return by_length[torch.from_numpy(chosen).to(edge_index.device)].sort().values


def _sorted(key: Tensor, weight: Tensor | None) -> Tensor:
    """Edges by length, those of equal length by their key, and those of equal keys as they come."""
    order = torch.argsort(key, stable=True)
    return order if weight is None else order[torch.argsort(weight.detach()[order], stable=True)]


def _own_direction(
    edge_index: Tensor, weight: Tensor | None, ends: Tensor, kept: Tensor, nodes: int
) -> Tensor:
    """For each of the edges ``ends`` the shortest edge of the graph in the same direction, or ``kept`` where there is none."""
    key = edge_index[0] * nodes + edge_index[1]
    order = _sorted(key, weight)
    order = order[torch.argsort(key[order], stable=True)]
    wanted = ends[0] * nodes + ends[1]
    place = torch.searchsorted(key[order], wanted).clamp(max=max(0, len(key) - 1))
    found = order[place] if len(key) else place
    return torch.where(key[found] == wanted, found, kept) if len(key) else kept


def _taken(data: Data, name: str, edges: Tensor) -> Any:
    value = data[name]
    return (
        value.index_select(data.__cat_dim__(name, value), edges)
        if isinstance(value, Tensor)
        else value
    )


def _check_edges(edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> None:
    if (
        not isinstance(edge_index, Tensor)
        or edge_index.is_floating_point()
        or edge_index.dtype == torch.bool
    ):
        raise type_error("edge_index", "an integer tensor [2, E]", edge_index)
    if edge_index.dim() != 2 or len(edge_index) != 2:
        raise value_error("edge_index", "of shape [2, E]", edge_index)
    low, high = (int(x) for x in aminmax(edge_index))
    if edge_index.numel() and (low < 0 or high >= num_nodes):
        raise value_error(
            "edge_index",
            f"node ids from 0 to N - 1 = {num_nodes - 1}",
            f"{low if low < 0 else high}",
        )
    if edge_weight is not None:
        if edge_weight.shape != edge_index.shape[1:]:
            raise value_error(
                "edge_weight", f"of shape [E] with E = {edge_index.shape[1]}", edge_weight
            )
        check_finite("edge_weight", edge_weight)
