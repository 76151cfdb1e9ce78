"""Edges written to a Data, with their weights, in the place of an earlier graph."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import type_error, value_error
from graphmask._walk_storage import remove_walks

# All that PyG and this library write for the edges of a graph.
_OF_EDGES = ("edge_index", "edge_weight", "edge_attr", "edge_type", "adj", "adj_t")


def write_edges(data: Data, edge_index: Tensor, weight: Tensor | None) -> Data:
    """Set the edges, and drop attributes, adjacency and walks of an earlier graph.

    An attribute belongs to the edges by its exact name, or because it has as many rows as there
    were edges, and not as many as there are nodes. All others stay.
    """
    if "walk_index" in data:
        remove_walks(data)
    if data.edge_index is not None and data.edge_index.size(1) not in (0, data.num_nodes):
        for key in data.edge_attrs():
            data[key] = None
    for key in _OF_EDGES:
        # With what a loader wrote for `follow_batch`.
        for name in (key, f"{key}_batch", f"{key}_ptr"):
            data.pop(name, None)
    data.edge_index = edge_index
    if weight is not None:
        data.edge_weight = _check_weight(weight, edge_index)
    return data


def _check_weight(weight: Tensor, edge_index: Tensor) -> Tensor:
    if not isinstance(weight, Tensor):
        raise type_error("weight", "a callable that returns a tensor [E]", weight)
    if weight.shape != edge_index.shape[1:]:
        expected = f"a callable that returns shape [E] with E = {edge_index.size(1)}"
        raise value_error("weight", expected, weight)
    bad = ~torch.isfinite(weight)
    if bad.any():
        first = tuple(edge_index[:, bad][:, 0].tolist())
        got = f"{int(bad.sum())} that are not, first on edge {first}"
        raise value_error("weight", "finite on every edge", got)
    return weight


def check_weight_callable(weight: object) -> None:
    """Check that edge weights are computed by a callable, or by none."""
    if weight is not None and not callable(weight):
        raise type_error("weight", "a callable or None", weight)
