"""Nodes renamed so that neighbours lie close in memory, and results given their first names back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import is_sparse

from graphmask._checks import type_error, value_error
from graphmask._walk_storage import stored_pairs

from .orders import CuthillMcKee

NodeOrder: TypeAlias = Callable[[Data], Tensor]

_ORIGINAL = "original_index"


class ReorderNodes(BaseTransform):
    r"""Renames the nodes of a graph so that neighbours lie close in memory.

    Node i is the former node ``order[i]``.

    Masks, layers and models then compute the same for the renamed nodes (as far as nothing in them
    depends on the order of nodes), and on large graphs faster, since attention and sparse products
    read neighbours from the cache. Points in random order gain most; meshes whose files list
    neighbours together gain little.

    Every node-level attribute, as ``data.is_node_attr`` tells, is permuted; every attribute that
    holds node ids by PyG's rule, ``face`` and integers with ``index`` in their name, is renamed.
    Edges stay listed as they are (``data.sort()`` lists them by node), stored walks are sorted by
    their new ids. ``original_index`` [N] is written, the first name of each node, also
    where nodes are reordered again: it batches by PyG's rules, and :meth:`restore` reads it. In a
    batch the nodes of each graph keep the places of that graph.

    Samplers of walks draw for each node in turn, so walks drawn afterwards are others of the same
    law, unless they are exact.

    Args:
        order: ``CuthillMcKee()``, ``Hilbert()`` or a function of the data that returns each node
            once, [N]. (default: :obj:`None`, :class:`~graphmask.transforms.CuthillMcKee`)

    Raises:
        TypeError: an order that cannot be called; attributes of node ids that are no tensors.
        ValueError: an order that does not return each node once; data without nodes to count, with
            sparse matrices such as ``adj_t``, or with node ids out of range.

    Cost: that of the order, and O(N C + E) for all that is moved.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> path = Data(x=torch.tensor([[0.0], [1.0], [2.0]]), edge_index=torch.tensor([[0, 2, 2, 1], [2, 0, 1, 2]]))
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
        """Rename the nodes."""
        _check_data(data)
        order = _within_graphs(_check_order(self.order(data), data), data.batch)
        place = _invert(order)
        held = [key for key, _ in data if key not in ("num_nodes", "ptr")]
        levels = [data.is_node_attr(key) for key in held]
        moved = {
            key: _move(data, key, order, place, level)
            for key, level in zip(held, levels, strict=True)
        }
        moved.setdefault(_ORIGINAL, order)
        if not any(key in data for key in ("num_nodes", "x", "pos", "batch")):
            # The largest id that an edge names need not be the largest any more.
            moved["num_nodes"] = len(order)
        for key, value in moved.items():
            data[key] = value
        return _sort_walks(data)

    @staticmethod
    def restore(out: Tensor, data: Data) -> Tensor:
        """The rows of ``out`` [N, ...], one for each node of reordered data or of a batch of it, in their first order.

        Raises:
            ValueError: ``out`` not of N rows; data that was not reordered, or that has lost nodes
                since.
        """
        original = data.get(_ORIGINAL)
        if original is None:
            raise value_error(
                "data", f"with `{_ORIGINAL}`, which ReorderNodes writes", list(data.keys())
            )
        if not isinstance(out, Tensor) or not out.dim() or len(out) != len(original):
            raise value_error(
                "out", f"of shape [N, ...] with N = {len(original)} (nodes of the data)", out
            )
        if not _is_permutation(original):
            raise value_error(
                "data",
                "with all nodes that it had when it was reordered",
                f"{len(original)} of them",
            )
        return out.index_select(0, _invert(original))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.order!r})"


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
        raise value_error(
            "order", f"a function that returns each of N = {data.num_nodes} nodes once", order
        )
    return order.long()


def _is_permutation(order: Tensor) -> bool:
    return torch.equal(
        order.sort().values, torch.arange(len(order), device=order.device, dtype=order.dtype)
    )


def _within_graphs(order: Tensor, batch: Tensor | None) -> Tensor:
    """The same order within each graph, whose nodes keep the places that the graph has."""
    if batch is None:
        return order
    found = torch.empty_like(order)
    found[batch.argsort(stable=True)] = order[batch[order].argsort(stable=True)]
    return found


def _invert(order: Tensor) -> Tensor:
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device, dtype=order.dtype)
    return place


def _move(data: Data, key: str, order: Tensor, place: Tensor, of_nodes: bool) -> Any:
    """An attribute of the renamed nodes."""
    value = data[key]
    if key != _ORIGINAL and ("index" in key or key == "face"):
        value = _rename(key, value, place)
    return _take(value, order, data.__cat_dim__(key, value)) if of_nodes else value


def _rename(key: str, value: Any, place: Tensor) -> Any:
    """Node ids under their new names."""
    if isinstance(value, (np.ndarray, list, tuple, dict)):
        raise type_error(key, "a tensor of node ids", value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole and (
        not isinstance(value, Tensor) or value.is_floating_point() or value.dtype == torch.bool
    ):
        return value
    ids = torch.as_tensor(value).as_subclass(Tensor)
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < len(place):
        raise value_error(
            key,
            f"node ids from 0 to N - 1 = {len(place) - 1}",
            f"ids from {int(ids.min())} to {int(ids.max())}",
        )
    renamed = place.to(ids.device)[ids.long()].to(ids.dtype)
    if isinstance(value, EdgeIndex):
        return EdgeIndex(
            renamed, sparse_size=value.sparse_size(), is_undirected=value.is_undirected
        )
    return int(renamed) if whole else renamed


def _take(value: Any, order: Tensor, dim: int) -> Any:
    """The slices of a value in another order."""
    if isinstance(value, Tensor):
        return value.index_select(dim, order.to(value.device))
    if isinstance(value, np.ndarray):
        return value.take(order.cpu().numpy(), axis=dim)
    if isinstance(value, (list, tuple)):
        return type(value)(value[number] for number in order.tolist())
    return value[order]


def _sort_walks(data: Data) -> Data:
    """Stored walks by row, then column, then hop, as they are read."""
    if data.get("walk_index") is None or data.get("walk_hop") is None:
        return _sort_pairs(data)
    row, col = data.walk_index
    order = data.walk_hop.argsort(stable=True)
    for key in (col, row):
        order = order[key[order].argsort(stable=True)]
    for name in ("walk_index", "walk_hop", "walk_weight", "walk_set"):
        if data.get(name) is not None:
            data[name] = data[name].index_select(-1, order)
    return data


def _sort_pairs(data: Data) -> Data:
    """The same of walks that are stored by pairs."""
    for index_name, table_name in stored_pairs(data):
        row, col = data[index_name]
        order = col.argsort(stable=True)
        order = order[row[order].argsort(stable=True)]
        data[index_name] = data[index_name].index_select(1, order)
        if data.get(table_name) is not None:
            data[table_name] = data[table_name].index_select(0, order)
    return data
