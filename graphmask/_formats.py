"""Every way PyG and torch write a graph, read once into edge_index, weights and a number of nodes."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor

from ._checks import type_error, value_error


class Edges(NamedTuple):
    """Row 0 of ``edge_index [2, E]`` holds sources, row 1 targets.

    Weights and N are there if the format carries them.
    """

    edge_index: Tensor
    edge_weight: Tensor | None
    num_nodes: int | None


def read_edges(graph: Any) -> Edges:
    """Edges of an edge_index, an ``EdgeIndex``, a torch COO/CSR/CSC matrix or a ``torch_sparse.SparseTensor``.

    A matrix is read as PyG's ``adj_t``: rows are targets, columns are sources.
    """
    if isinstance(graph, EdgeIndex):
        return Edges(graph.as_tensor(), None, _square(graph.sparse_size()))
    if isinstance(graph, SparseTensor):
        row, col, value = graph.coo()
        return Edges(torch.stack([col, row]), value, _square(tuple(graph.sizes()[:2])))
    if not isinstance(graph, Tensor):
        raise type_error(
            "edge_index", "a tensor, EdgeIndex, torch sparse matrix or SparseTensor", graph
        )
    if is_torch_sparse_tensor(graph):
        return _from_torch_sparse(graph)
    return Edges(_check_index(graph), None, None)


def _from_torch_sparse(graph: Tensor) -> Edges:
    # Coalescing is what lets the values carry a gradient.
    coo = graph.to_sparse_coo().coalesce()
    return Edges(coo.indices().flip(0), coo.values(), _square(tuple(graph.shape)))


def _check_index(index: Tensor) -> Tensor:
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise typed_error("edge_index", "an integer tensor", index)
    if index.dim() != 2 or index.shape[0] != 2:
        raise value_error("edge_index", "of shape [2, E]", index)
    return index.long()


def typed_error(name: str, expected: str, got: Tensor) -> TypeError:
    """The error for a tensor of a wrong dtype."""
    return TypeError(f"`{name}` must be {expected}, got dtype {got.dtype}")


def _square(size: tuple[int | None, ...]) -> int | None:
    known = {n for n in size if n is not None}
    if len(size) != 2 or len(known) > 1:
        raise value_error("edge_index", "a square matrix [N, N]", f"size {list(size)}")
    return known.pop() if known else None
