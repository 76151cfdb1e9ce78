"""The minimum spanning forest of a weighted graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_matrix, csgraph
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import aminmax, check_finite, type_error, value_error
from graphmask.transforms._batches import Transform
from graphmask.transforms._edges import write_edges


class MinimumSpanningTree(Transform):
    r"""Keep the edges of the minimum spanning forest, the shortest that join the same nodes.

    Lengths are ``data.edge_weight``, all ones where there are none; give affinities as distances
    first. Edges are read as undirected, a pair of nodes is joined at its shortest edge, and
    self-loops are dropped; equal lengths go to the edge of the lower node ids. Each kept edge is
    written in both directions, ordered by source. Edge attributes, by ``data.edge_attrs()``, are
    those of the shortest edge in the same direction, or of the opposite one where there is none;
    ``edge_weight`` is the same in both. All else is kept but drawn walks and ``adj_t``. In a batch
    each graph gets its own forest.

    Cost: O(N + E log E) time, O(E) memory.

    Raises:
        ValueError: if data has no ``edge_index``; lengths are not finite or not ``[E]``; node ids
            are out of range.

    Source: Kruskal, "On the Shortest Spanning Subtree of a Graph" (1956); Choromanski et al., "Fast
    Tree-Field Integrators" (NeurIPS 2024), for the forest's metric in the place of the graph's.

    Example:
        >>> ring = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> length = torch.tensor([1.0, 2.0, 3.0])
        >>> data = Data(edge_index=ring, edge_weight=length, num_nodes=3)
        >>> data = MinimumSpanningTree()(data)
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
        edge_index = data.edge_index[:, kept]
        edge_index, kept = torch.cat([edge_index, edge_index.flip(0)], 1), kept.repeat(2)
        order = torch.argsort(edge_index[0] * data.num_nodes + edge_index[1])
        edge_index, kept = edge_index[:, order], kept[order]
        same_way = _shortest_same_way(data, weight, edge_index, kept)
        attributes = {
            name: _select(data, name, same_way)
            for name in data.edge_attrs()
            if name not in ("edge_index", "edge_weight")
        }
        write_edges(data, edge_index, None if weight is None else weight[kept])
        return data.update(attributes)

    def __repr__(self) -> str:
        return "MinimumSpanningTree()"


def minimum_spanning_tree(edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> Tensor:
    """Find the edges ``[F]`` of the minimum spanning forest.

    One for each pair of nodes that it joins, the shortest between them.

    Args:
        edge_index: ``[2, E]`` edges, read as undirected; self-loops are passed over.
        edge_weight: ``[E]`` lengths; all ones if :obj:`None`. Of equal lengths the edge of the
            lower node ids comes first, then the first in the list.
        num_nodes: N.

    Raises:
        TypeError: if node ids are no integers.
        ValueError: if lengths are not finite or not ``[E]``; edges are not ``[2, E]``, or of nodes
            that do not exist.

    Cost: O(N + E log E) time, O(E) memory.

    Example:
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> minimum_spanning_tree(edge_index, torch.tensor([3.0, 1.0, 2.0]), 3)
        tensor([1, 2])
    """
    _check_edges(edge_index, edge_weight, num_nodes)
    low, high = edge_index.amin(0), edge_index.amax(0)
    by_length = _order(low * num_nodes + high, edge_weight)
    by_length = by_length[(low != high)[by_length]]
    # scipy reads a length of 0 as no edge and adds up parallel ones, so that each pair of nodes
    # gets its first rank instead.
    pair, rank = np.unique((low * num_nodes + high)[by_length].cpu().numpy(), return_index=True)
    graph = coo_matrix((rank + 1.0, (pair // num_nodes, pair % num_nodes)), (num_nodes, num_nodes))
    chosen = np.sort(csgraph.minimum_spanning_tree(graph.tocsr()).data).astype(np.int64) - 1
    return by_length[torch.from_numpy(chosen).to(edge_index.device)].sort().values


def _order(key: Tensor, weight: Tensor | None) -> Tensor:
    """Order edges by weight, those of equal weight by their key, those of equal keys as listed."""
    order = torch.argsort(key, stable=True)
    return order if weight is None else order[torch.argsort(weight.detach()[order], stable=True)]


def _shortest_same_way(
    data: Data, weight: Tensor | None, edge_index: Tensor, fallback: Tensor
) -> Tensor:
    """Find the shortest edge of ``data`` in the direction of each edge, or the fallback."""
    key = data.edge_index[0] * data.num_nodes + data.edge_index[1]
    if not len(key):
        return fallback
    order = _order(key, weight)
    order = order[torch.argsort(key[order], stable=True)]
    wanted = edge_index[0] * data.num_nodes + edge_index[1]
    match = order[torch.searchsorted(key[order], wanted).clamp(max=len(key) - 1)]
    return torch.where(key[match] == wanted, match, fallback)


def _select(data: Data, name: str, edges: Tensor) -> Any:
    value = data[name]
    if not isinstance(value, Tensor):
        return value
    return value.index_select(data.__cat_dim__(name, value), edges)


def _check_edges(edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> None:
    is_tensor = isinstance(edge_index, Tensor)
    if not is_tensor or edge_index.is_floating_point() or edge_index.dtype == torch.bool:
        raise type_error("edge_index", "an integer tensor [2, E]", edge_index)
    if edge_index.dim() != 2 or len(edge_index) != 2:
        raise value_error("edge_index", "of shape [2, E]", edge_index)
    low, high = (int(x) for x in aminmax(edge_index))
    if edge_index.numel() and (low < 0 or high >= num_nodes):
        expected = f"node ids from 0 to N - 1 = {num_nodes - 1}"
        raise value_error("edge_index", expected, f"{low if low < 0 else high}")
    if edge_weight is not None:
        if edge_weight.shape != edge_index.shape[1:]:
            expected = f"of shape [E] with E = {edge_index.shape[1]}"
            raise value_error("edge_weight", expected, edge_weight)
        check_finite("edge_weight", edge_weight)
