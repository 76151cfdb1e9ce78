"""Transforms of batches, which can be taken apart again afterwards."""

from __future__ import annotations

import copy
import re
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import BaseTransform

from graphmask._checks import type_error

_WALKS = re.compile(r"walk_(index|table)((_\d+)?)")


class Transform(BaseTransform):
    """A transform after which ``Batch.to_data_list()`` gives the graphs as they are now.

    A batch keeps where the attributes of its graphs begin. PyG's transforms leave these numbers as
    they are, so that a batch of new edges is cut where the former ones were.
    """

    def __call__(self, data: Any) -> Any:
        if not isinstance(data, Data):
            raise type_error("data", "a torch_geometric.data.Data", data)
        if not isinstance(data, Batch) or data.batch is None:
            return super().__call__(data)
        own = copy.copy(data)  # with its own dictionaries, which transforms may change
        for name in ("_slice_dict", "_inc_dict"):
            setattr(own, name, dict(getattr(data, name, None) or {}))
        out = super().__call__(own)
        return _slice_again(out, data) if isinstance(out, Batch) else out


def _slice_again(out: Any, before: Any) -> Any:
    """Find where the attributes of graphs begin that are others than before."""
    batch, count = out.batch, before.num_graphs
    if bool((batch[1:] < batch[:-1]).any()):  # nodes in another order cannot be cut
        return out
    ptr = _starts(batch, count)
    is_resized = len(batch) != len(before.batch)
    if is_resized:
        out.ptr = ptr.to(batch.device)
        if "num_nodes" in out:
            out.num_nodes = len(batch)
        if getattr(out, "_num_nodes", None) is not None:
            out._num_nodes = ptr.diff().tolist()
    _sort_edges(out)
    for key, value in out.to_dict().items():
        is_kept = key in out._slice_dict and before.get(key) is value and not is_resized
        if key in ("batch", "ptr", "num_nodes") or is_kept:
            continue
        if isinstance(value, (int, float)):  # one of all graphs
            value = out[key] = torch.full((count,), value)
        graphs = _graphs_of_rows(out, key, value, count)
        if graphs is None:
            continue
        out._slice_dict[key] = _starts(graphs, count)
        out._inc_dict[key] = ptr[:-1] if holds_node_ids(key) else torch.zeros_like(ptr[:-1])
    return out


def holds_node_ids(key: str) -> bool:
    """Tell by its name if an attribute holds node ids, as PyG does.

    What a loader writes for ``follow_batch``, such as ``edge_index_batch`` and ``edge_index_ptr``,
    holds graphs of edges, and places where graphs begin.
    """
    return key == "face" or ("index" in key and "batch" not in key and not key.endswith("_ptr"))


def _sort_edges(data: Any) -> None:
    """Put edges in the order of their graphs."""
    if data.edge_index is None:
        return
    graphs = data.batch[data.edge_index[0]]
    if not bool((graphs[1:] < graphs[:-1]).any()):
        return
    order = torch.argsort(graphs, stable=True)
    for key in data.edge_attrs():
        data[key] = data[key].index_select(data.__cat_dim__(key, data[key]), order)


def _graphs_of_rows(data: Any, key: str, value: Any, count: int) -> Tensor | None:
    """The graph of each row of an attribute; None where it has no rows of graphs."""
    if not isinstance(value, Tensor) or value.dim() == 0:
        return None
    dim = data.__cat_dim__(key, value)
    if isinstance(dim, tuple):  # a matrix, which PyG does not cut
        return None
    batch, rows = data.batch, value.shape[dim or 0]
    if walks := _WALKS.fullmatch(key):
        return batch[data[f"walk_index{walks[2]}"][0]]
    if key == "face":
        return batch[value[0]]
    if data.edge_index is not None and data.is_edge_attr(key):
        return batch[data.edge_index[0]]
    if rows == len(batch):
        return batch
    return torch.arange(count) if rows == count else None


def _starts(graphs: Tensor, count: int) -> Tensor:
    """``[count + 1]``, where each graph begins among rows in their order, on the CPU."""
    sizes = torch.bincount(graphs.cpu(), minlength=count)
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
