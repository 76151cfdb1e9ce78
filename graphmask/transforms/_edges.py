"""Edges written to a Data, with their weights, in the place of an earlier graph."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable
from functools import partial
from types import CodeType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import type_error, value_error
from graphmask._walk_storage import remove_walks

# All that PyG and this library write for the edges of a graph.
_OF_EDGES = ("edge_index", "edge_weight", "edge_attr", "edge_type", "adj", "adj_t")

# Numbers of an array that are printed; more are named by a checksum.
_FEW = 100


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


def describe_setting(value: Any, above: tuple[Any, ...] = ()) -> str:
    """Print a setting in full, and the same in every process.

    Tensors and arrays by their values, or a checksum of many; generators by their seed; functions
    by their name and, those written in Python, a checksum of their code and of what it reads;
    objects that are not of this library, whose printed forms name all settings, by their attributes
    too.

    Args:
        value: the setting.
        above: what it belongs to, which is not described again.
    """
    if any(value is one for one in above):
        return "..."
    describe = partial(describe_setting, above=(*above, value))
    if isinstance(value, (Tensor, np.ndarray)):
        return _describe_numbers(np.asarray(value.tolist()))
    if isinstance(value, torch.Generator):
        return f"Generator(seed={value.initial_seed()})"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(describe, value))})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {describe(item)}' for key, item in value.items())}}}"
    if isinstance(value, partial):
        return f"partial{describe((value.func, *value.args, *sorted(value.keywords.items())))}"
    if isinstance(value, MethodType):
        return f"{describe(value.__self__)}.{value.__name__}"
    name, code = getattr(value, "__qualname__", None), getattr(value, "__code__", None)
    if isinstance(value, (type, ModuleType)) or name is None:
        attributes = getattr(value, "__dict__", {})
        is_told = isinstance(value, (type, ModuleType)) or _module(type(value)) == "graphmask"
        return repr(value) if is_told or not attributes else f"{value!r}{describe(attributes)}"
    # PyG compares printed forms without what stands between angle brackets.
    name = name.translate({ord("<"): None, ord(">"): None})
    if code is None:
        wrapped = getattr(value, "__wrapped__", None)
        return name if wrapped is None else f"{name}({describe(wrapped)})"
    return f"{name}#{zlib.crc32(_describe_function(value, code, describe).encode()):08x}"


def _module(value: Any) -> str:
    return (getattr(value, "__module__", None) or "").partition(".")[0]


def _describe_numbers(value: np.ndarray) -> str:
    """Print an array."""
    if value.size <= _FEW:
        return repr(value.tolist())
    return f"{list(value.shape)}#{zlib.crc32(value.tobytes()):08x}"


def _describe_function(function: Any, code: CodeType, describe: Callable[[Any], str]) -> str:
    """Print the code of a function, and what it reads beside its arguments.

    Of the names of its module these are numbers, texts and functions of the same module. A list
    that a function appends to is no setting.
    """
    cells = [_describe_cell(cell, describe) for cell in function.__closure__ or ()]
    names = {name: function.__globals__.get(name) for name in _names(code)}
    names = {
        name: describe(value)
        for name, value in names.items()
        if isinstance(value, (str, int, float))
        or getattr(value, "__globals__", None) is function.__globals__
    }
    defaults = describe((function.__defaults__, function.__kwdefaults__))
    return repr((_describe_code(code), defaults, cells, names))


def _names(code: CodeType) -> list[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return sorted({*code.co_names, *(name for part in inner for name in _names(part))})


def _describe_code(code: CodeType) -> str:
    constants = [
        _describe_code(value) if isinstance(value, CodeType) else value for value in code.co_consts
    ]
    return repr((code.co_code, code.co_names, constants))


def _describe_cell(cell: Any, describe: Callable[[Any], str]) -> str:
    try:
        value = cell.cell_contents
    except ValueError:  # of a name that has no value yet
        return ""
    is_fixed = callable(value) or isinstance(value, (str, bytes, int, float, tuple, dict, Tensor))
    return describe(value) if is_fixed else type(value).__name__
