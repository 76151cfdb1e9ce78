"""Settings printed in full: PyG compares the transforms of a cached dataset by how they print."""

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

# Numbers of an array that are printed; more are named by a checksum.
_FEW = 100


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
        value = value.to_dense() if isinstance(value, Tensor) else value
        return _describe_numbers(np.asarray(value.tolist()))
    if isinstance(value, torch.Generator):
        return f"Generator(seed={value.initial_seed()})"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(describe, value))})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {describe(item)}' for key, item in value.items())}}}"
    if isinstance(value, partial):
        return f"partial{describe((value.func, *value.args, *sorted(value.keywords.items())))}"
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, MethodType):
        return f"{describe(value.__self__)}.{value.__name__}"
    name, code = getattr(value, "__qualname__", None), getattr(value, "__code__", None)
    if isinstance(value, type) or name is None:
        attributes = getattr(value, "__dict__", {})
        is_whole = isinstance(value, type) or type(value).__module__.startswith("graphmask.")
        return repr(value) if is_whole or not attributes else f"{value!r}{describe(attributes)}"
    # PyG compares printed forms without what stands between angle brackets.
    name = name.translate({ord("<"): None, ord(">"): None})
    if code is None:
        wrapped = getattr(value, "__wrapped__", None)
        return name if wrapped is None else f"{name}({describe(wrapped)})"
    return f"{name}#{zlib.crc32(_describe_function(value, code, describe).encode()):08x}"


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
