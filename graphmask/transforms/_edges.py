"""Edges written to a Data, and what they replace."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import type_error, value_error
from graphmask.transforms._points import Period
from graphmask.transforms.neighbours import edge_distance

DistanceWeight: TypeAlias = Callable[[Tensor], Tensor]


def write_edges(data: Data, edge_index: Tensor, weight: Tensor | None) -> Data:
    """Set the edges, and drop what belongs to the edges of an earlier graph.

    Attributes, adjacency, drawn walks.
    """
    for key in [
        key for key, _ in data if key.startswith(("edge_", "walk_")) or key in ("adj", "adj_t")
    ]:
        data[key] = None
    data.edge_index = edge_index
    if weight is not None:
        data.edge_weight = checked_weight(weight, edge_index)
    return data


def distance_weight(
    weight: DistanceWeight | None, pos: Tensor, edge_index: Tensor, period: Period
) -> Tensor | None:
    """``weight`` of the distances [E] along the edges."""
    return None if weight is None else weight(edge_distance(pos, edge_index, period))


def checked_weight(weight: Tensor, edge_index: Tensor) -> Tensor:
    """One finite weight for each edge."""
    if not isinstance(weight, Tensor):
        raise type_error("weight", "a callable that returns a tensor [E]", weight)
    if weight.shape != edge_index.shape[1:]:
        raise value_error(
            "weight", f"a callable that returns shape [E] with E = {edge_index.size(1)}", weight
        )
    bad = ~torch.isfinite(weight)
    if bad.any():
        first = tuple(edge_index[:, bad][:, 0].tolist())
        raise value_error(
            "weight",
            "finite on every edge",
            f"{int(bad.sum())} that are not, first on edge {first}",
        )
    return weight


def check_weight_callable(weight: object) -> None:
    """A callable or None."""
    if weight is not None and not callable(weight):
        raise type_error("weight", "a callable or None", weight)
