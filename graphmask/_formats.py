"""Graph formats of PyG and torch, read into edge_index, weights and a number of nodes."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor

from ._checks import dtype_error, is_integral, type_error, value_error


class Edges(NamedTuple):
    """Edges (source, target) ``[2, E]``, with weights and N if the format holds them."""

    edge_index: Tensor
    edge_weight: Tensor | None
    num_nodes: int | None


def read_edges(graph: Any) -> Edges:
    """Edges of an edge_index, ``EdgeIndex``, torch sparse matrix or ``torch_sparse.SparseTensor``.

    A matrix is read as PyG's ``adj_t``: rows are targets, columns are sources.
    """
    if isinstance(graph, EdgeIndex):
        return Edges(graph.as_tensor(), None, _square(graph.sparse_size()))
    if isinstance(graph, SparseTensor):
        row, col, value = graph.coo()
        return Edges(torch.stack([col, row]), value, _square(tuple(graph.sizes()[:2])))
    if not isinstance(graph, Tensor):
        expected = "a tensor, EdgeIndex, torch sparse matrix or SparseTensor"
        raise type_error("edge_index", expected, graph)
    if is_torch_sparse_tensor(graph):
        # Coalescing is what lets the values carry a gradient.
        coo = graph.to_sparse_coo().coalesce()
        # Those of a compressed matrix share its memory, but not the count of its changes.
        value = coo.values() if graph.layout == torch.sparse_coo else coo.values().clone()
        return Edges(coo.indices().flip(0), value, _square(tuple(graph.shape)))
    if not is_integral(graph):
        raise dtype_error("edge_index", "an integer tensor", graph)
    if graph.dim() != 2 or graph.shape[0] != 2:
        raise value_error("edge_index", "of shape [2, E]", graph)
    return Edges(graph.long(), None, None)


def _square(size: tuple[int | None, ...]) -> int | None:
    sizes = {n for n in size if n is not None}
    if len(size) != 2 or len(sizes) > 1:
        raise value_error("edge_index", "a square matrix [N, N]", f"size {list(size)}")
    return sizes.pop() if sizes else None
