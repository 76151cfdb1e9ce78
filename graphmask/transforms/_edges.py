"""Edges written to a Data, with their weights, in the place of an earlier graph."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import type_error, value_error


def write_edges(data: Data, edge_index: Tensor, weight: Tensor | None) -> Data:
    """Set the edges, and drop attributes, adjacency and walks of an earlier graph."""
    for key, _ in list(data):
        if key.startswith(("edge_", "walk_")) or key in ("adj", "adj_t"):
            data[key] = None
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


def repr_of(transform: object, *names: str) -> str:
    """Format a transform with these arguments, and others that are not at their defaults."""
    parameters = inspect.signature(type(transform)).parameters.values()
    shown = [
        f"{parameter.name}={value}"
        for parameter in parameters
        if (value := getattr(transform, parameter.name)) != parameter.default
        or parameter.name in names
    ]
    return f"{type(transform).__name__}({', '.join(shown)})"
