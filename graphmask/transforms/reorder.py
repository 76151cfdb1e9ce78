"""Nodes renumbered so that neighbours lie close in memory, and results in their first order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.utils import is_sparse

from graphmask._checks import type_error, value_error
from graphmask._identity import identify
from graphmask._settings import describe_setting
from graphmask._walk_storage import has_walks, walk_ids, write_walks
from graphmask.topology import Topology
from graphmask.transforms._batches import Transform, holds_node_ids
from graphmask.transforms._points import is_of_nodes

from .orders import CuthillMcKee

NodeOrder: TypeAlias = Callable[[Data], Tensor]

_ORIGINAL = "original_index"


class ReorderNodes(Transform):
    r"""Renumber the nodes of a graph so that neighbours lie close in memory.

    Node i is the former node ``order[i]``. Masks, layers and models then compute the same for the
    renumbered nodes (unless they depend on the order of nodes), and on large graphs faster, since
    attention and sparse products read neighbours from the cache. Points in random order gain most;
    meshes whose files list neighbours together gain little.

    Node-level attributes, by ``data.is_node_attr``, are permuted; attributes that hold node ids by
    PyG's rule, ``face`` and integers with ``index`` in their name, are renumbered. Edges stay
    listed as they are (``data.sort()`` lists them by node), stored walks are sorted by their new
    ids. ``original_index [N]`` is written, the first id of each node, also where nodes are
    reordered again: it batches by PyG's rules, and :meth:`restore` reads it. In a batch the nodes
    of each graph stay within the graph.

    Samplers of walks draw node after node, so walks drawn afterwards differ from those drawn
    before, with the same law, unless they are exact.

    Args:
        order: ``CuthillMcKee()``, ``Hilbert()`` or a function of the data that returns each node
            once, ``[N]``. (default: :obj:`None`, :class:`~graphmask.transforms.CuthillMcKee`)

    Raises:
        TypeError: if ``order`` cannot be called, or attributes of node ids are no tensors.
        ValueError: if ``order`` does not return each node once; data has no number of nodes, sparse
            matrices such as ``adj_t``, node ids out of range, or stored walks of another graph.

    Cost: that of the order, and O(N C + E) to permute the attributes.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> edge_index = torch.tensor([[0, 2, 2, 1], [2, 0, 1, 2]])
        >>> path = Data(x=torch.tensor([[0.0], [1.0], [2.0]]), edge_index=edge_index)
        >>> near = gm.transforms.ReorderNodes()(path)
        >>> near.original_index, near.edge_index[:, 0]
        (tensor([1, 2, 0]), tensor([2, 1]))
        >>> gm.transforms.ReorderNodes.restore(near.x, near).tolist()
        [[0.0], [1.0], [2.0]]
    """

    def __init__(self, order: NodeOrder | None = None) -> None:
        if order is not None and not callable(order):
            raise type_error("order", "CuthillMcKee(), Hilbert() or a function of the data", order)
        self.order = CuthillMcKee() if order is None else order

    def forward(self, data: Data) -> Data:
        """Renumber the nodes."""
        _check_data(data)
        order = _within_graphs(_check_order(self.order(data), data), data.batch)
        rank = _invert(order)
        names = [key for key, _ in data if key not in ("num_nodes", "ptr")]
        # All levels are read before any attribute changes: PyG infers them from the others.
        levels = {key: is_of_nodes(data, key) for key in names}
        fixed = {_ORIGINAL, *walk_ids(data)}
        values = {key: _reorder(data, key, order, rank, levels[key], fixed) for key in names}
        values.setdefault(_ORIGINAL, order)
        if not any(key in data for key in ("num_nodes", "x", "pos", "batch")):
            # The largest id of an edge need not be the largest any more.
            values["num_nodes"] = len(order)
        for key, value in values.items():
            data[key] = value
        if has_walks(data):
            topology = Topology.from_data(data)
            graph = identify(topology.edge_index, topology.edge_weight, topology.local_index)
            normalization = data.walk_normalization
            write_walks(data, topology.walk_sets, graph)
            data.walk_normalization = normalization  # a batch has one per graph
        return data

    @staticmethod
    def restore(out: Tensor, data: Data) -> Tensor:
        """Return the rows of ``out [N, ...]``, one for each node of ``data``, in their first order.

        ``data`` is reordered data, or a batch of it.

        Raises:
            ValueError: if ``out`` does not have N rows; data was not reordered, or has lost nodes
                since.
        """
        original = data.get(_ORIGINAL)
        if original is None:
            expected = f"with `{_ORIGINAL}`, which ReorderNodes writes"
            raise value_error("data", expected, list(data.keys()))
        if not isinstance(out, Tensor) or not out.dim() or len(out) != len(original):
            expected = f"of shape [N, ...] with N = {len(original)} (nodes of the data)"
            raise value_error("out", expected, out)
        if not _is_permutation(original):
            expected = "with all nodes that it had when it was reordered"
            raise value_error("data", expected, f"{len(original)} of them")
        return out.index_select(0, _invert(original))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({describe_setting(self.order)})"


def _check_data(data: Data) -> None:
    if not isinstance(data, Data):
        raise type_error("data", "a torch_geometric.data.Data", data)
    if data.num_nodes is None:
        raise value_error("data", "of known num_nodes", list(data.keys()))
    for key, value in data:
        if is_sparse(value):
            raise value_error("data", "without sparse matrices (use `edge_index`)", f"`{key}`")


def _check_order(order: Tensor, data: Data) -> Tensor:
    if not isinstance(order, Tensor):
        raise type_error("order", "a function that returns a tensor [N]", order)
    if order.is_floating_point() or order.shape != (data.num_nodes,) or not _is_permutation(order):
        expected = f"a function that returns each of N = {data.num_nodes} nodes once"
        raise value_error("order", expected, order)
    return order.long()


def _is_permutation(order: Tensor) -> bool:
    index = torch.arange(len(order), device=order.device, dtype=order.dtype)
    return torch.equal(order.sort().values, index)


def _within_graphs(order: Tensor, batch: Tensor | None) -> Tensor:
    """Keep the nodes of each graph in the rows of that graph."""
    if batch is None:
        return order
    within = torch.empty_like(order)
    within[batch.argsort(stable=True)] = order[batch[order].argsort(stable=True)]
    return within


def _invert(order: Tensor) -> Tensor:
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device, dtype=order.dtype)
    return rank


def _reorder(
    data: Data, key: str, order: Tensor, rank: Tensor, is_node_attr: bool, fixed: set[str]
) -> Any:
    """Permute the rows of nodes, and renumber ids except those that name nodes as before."""
    value = data[key]
    if key not in fixed and holds_node_ids(key):
        value = _renumber(key, value, rank)
    return _select(value, order, data.__cat_dim__(key, value)) if is_node_attr else value


def _renumber(key: str, value: Any, rank: Tensor) -> Any:
    """Replace node ids by their new ones."""
    if isinstance(value, (np.ndarray, list, tuple, dict)):
        raise type_error(key, "a tensor of node ids", value)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    is_tensor = isinstance(value, Tensor) and not value.is_floating_point()
    if not is_number and (not is_tensor or value.dtype == torch.bool):
        return value
    ids = torch.as_tensor(value).as_subclass(Tensor)
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < len(rank):
        got = f"ids from {int(ids.min())} to {int(ids.max())}"
        raise value_error(key, f"node ids from 0 to N - 1 = {len(rank) - 1}", got)
    ids = rank.to(ids.device)[ids.long()].to(ids.dtype)
    if isinstance(value, EdgeIndex):
        size, is_undirected = value.sparse_size(), value.is_undirected
        return EdgeIndex(ids, sparse_size=size, is_undirected=is_undirected)
    return int(ids) if is_number else ids


def _select(value: Any, order: Tensor, dim: int) -> Any:
    """Return the slices of a value in another order."""
    if isinstance(value, Tensor):
        return value.index_select(dim, order.to(value.device))
    if isinstance(value, np.ndarray):
        return value.take(order.cpu().numpy(), axis=dim)
    if isinstance(value, (list, tuple)):
        return type(value)(value[index] for index in order.tolist())
    return value[order]
