"""Edges written to a Data, with their weights, in the place of an earlier graph."""

from __future__ import annotations

import inspect
import zlib
from functools import partial
from types import CodeType, MethodType
from typing import Any

import numpy as np
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
        data.pop(key, None)
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
    values = {item.name: describe_setting(getattr(transform, item.name)) for item in parameters}
    shown = [
        f"{item.name}={values[item.name]}"
        for item in parameters
        if values[item.name] != describe_setting(item.default) or item.name in names
    ]
    return f"{type(transform).__name__}({', '.join(shown)})"


def describe_setting(value: Any) -> str:
    """Print a setting in full, and the same in every process.

    Tensors and arrays by their values; generators by their seed; functions by their name and, those
    written in Python, a checksum of their code, defaults and closure.
    """
    if isinstance(value, (Tensor, np.ndarray)):
        return repr(value.tolist())
    if isinstance(value, torch.Generator):
        return f"Generator(seed={value.initial_seed()})"
    name, code = getattr(value, "__qualname__", None), getattr(value, "__code__", None)
    if isinstance(value, partial):
        parts = value.func, *value.args, *sorted(value.keywords.items())
        return f"partial({', '.join(map(describe_setting, parts))})"
    if isinstance(value, MethodType):
        return f"{describe_setting(value.__self__)}.{value.__name__}"
    if isinstance(value, type) or name is None:
        return repr(value)
    # PyG compares printed forms without what stands between angle brackets.
    name = name.translate({ord("<"): None, ord(">"): None})
    return name if code is None else f"{name}#{_checksum(value, code):08x}"


def _checksum(function: Any, code: CodeType) -> int:
    constants = [
        value.co_code if isinstance(value, CodeType) else value for value in code.co_consts
    ]
    cells = [_describe_cell(cell.cell_contents) for cell in function.__closure__ or ()]
    content = code.co_code, code.co_names, constants, function.__defaults__, cells
    return zlib.crc32(repr(content).encode())


def _describe_cell(value: Any) -> str:
    # A list that a function appends to is no setting.
    is_fixed = callable(value) or isinstance(value, (str, bytes, int, float, tuple, Tensor))
    return describe_setting(value) if is_fixed else type(value).__name__
