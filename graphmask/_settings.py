"""Settings printed in full: PyG compares the transforms of a cached dataset by how they print."""

from __future__ import annotations

import datetime
import inspect
import random
import re
import zlib
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import is_dataclass
from enum import Enum
from functools import partial
from numbers import Number
from pathlib import PurePath
from types import CodeType, MappingProxyType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from torch import Tensor
from torch_geometric.data import Data, Dataset

# Numbers of an array that are printed; more are named by a checksum.
_FEW = 100

# What a function reads by its value.
_VALUES = (
    *(str, bytes, bool, Number, tuple, frozenset, dict, range, slice, Enum, PurePath, re.Pattern),
    *(Namespace, SimpleNamespace, MappingProxyType, datetime.date, datetime.timedelta),
    *(Tensor, Data, torch.dtype, torch.device, torch.Generator),
    *(np.ndarray, np.generic, np.dtype, np.random.Generator, random.Random),
)

# Attributes of datasets that hold what was read already.
_CACHES = {"_data_list"}

# Attributes that datasets of this library do not print: what they hold is compared beside.
_OF_DATASETS = {"transform", "_indices", "plan", "shards"}

# Methods by which functions change lists and sets.
_CHANGES = {"append", "extend", "insert", "add"}


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
    too, and datasets by what they choose and change. Addresses are left out.

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
    if isinstance(value, np.random.Generator):
        return f"Generator(seed={describe(value.bit_generator.seed_seq)})"
    if isinstance(value, random.Random):
        return f"Random({describe(value.getstate())})"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(describe, value))})"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(describe, value)))}}}"
    if isinstance(value, (dict, MappingProxyType)):
        return f"{{{', '.join(f'{key!r}: {describe(item)}' for key, item in value.items())}}}"
    if isinstance(value, partial):
        return f"partial{describe((value.func, *value.args, *sorted(value.keywords.items())))}"
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, MethodType):
        return f"{describe(value.__self__)}.{value.__name__}"
    name, code = getattr(value, "__qualname__", None), getattr(value, "__code__", None)
    if isinstance(value, type) or name is None:
        printed = re.sub(r" at 0x\w+", "", repr(value))
        is_whole = isinstance(value, type) or type(value).__module__.startswith("graphmask.")
        attributes = {} if is_whole else _attributes(value)
        if is_whole and isinstance(value, Dataset):
            attributes = {name: item for name, item in vars(value).items() if name in _OF_DATASETS}
        return f"{printed}{describe(attributes)}" if attributes else printed
    # PyG compares printed forms without what stands between angle brackets.
    name = name.translate({ord("<"): None, ord(">"): None})
    if code is None:
        wrapped = getattr(value, "__wrapped__", None)
        return name if wrapped is None else f"{name}({describe(wrapped)})"
    return f"{name}#{zlib.crc32(_describe_function(value, code, describe).encode()):08x}"


def _attributes(value: Any) -> dict[str, Any]:
    """The attributes of an object, those in slots where it does not print itself."""
    slots: list[str] = []
    if type(value).__repr__ is object.__repr__:
        for base in type(value).__mro__:
            names = vars(base).get("__slots__", ())
            slots += [names] if isinstance(names, str) else names
    found = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    found.update(getattr(value, "__dict__", {}))
    return {name: item for name, item in found.items() if name not in _CACHES}


def _describe_numbers(value: np.ndarray) -> str:
    """Print an array."""
    if value.size <= _FEW:
        return repr(value.tolist())
    return f"{list(value.shape)}#{zlib.crc32(value.tobytes()):08x}"


def _describe_function(function: Any, code: CodeType, describe: Callable[[Any], str]) -> str:
    """Print the code of a function, and what it reads beside its arguments.

    Of the names of its module these are values and functions of the same module; of other objects
    the attributes that it names, as ``options.k``. A list or a set that a function adds to is no
    setting.
    """
    used = _names(code)
    is_value = partial(_is_value, is_changed=not _CHANGES.isdisjoint(used))
    read = partial(_describe_read, used=used, is_value=is_value, describe=describe)
    cells = [_describe_cell(cell, is_value, describe, read) for cell in function.__closure__ or ()]
    found = {name: function.__globals__.get(name) for name in used}
    names = {
        name: describe(value)
        if is_value(value) or getattr(value, "__globals__", None) is function.__globals__
        else read(value)
        for name, value in found.items()
    }
    names = {name: text for name, text in names.items() if text}
    defaults = describe((function.__defaults__, function.__kwdefaults__))
    return repr((_describe_code(code), defaults, cells, names))


def _names(code: CodeType) -> list[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return sorted({*code.co_names, *(name for part in inner for name in _names(part))})


def _describe_code(code: CodeType) -> str:
    constants = [
        _describe_code(value) if isinstance(value, CodeType) else describe_setting(value)
        for value in code.co_consts
    ]
    return repr((code.co_code, code.co_names, constants))


def _describe_read(
    value: Any,
    used: Collection[str],
    is_value: Callable[[Any], bool],
    describe: Callable[[Any], str],
    depth: int = 3,
) -> str:
    """Print the values among the attributes of an object that have one of these names."""
    if isinstance(value, (type, ModuleType)) or callable(value) or not depth:
        return ""
    attributes = {name: item for name, item in _attributes(value).items() if name in used}
    texts = {
        name: describe(item)
        if is_value(item)
        else _describe_read(item, used, is_value, describe, depth - 1)
        for name, item in attributes.items()
    }
    return repr({name: text for name, text in texts.items() if text}) if any(texts.values()) else ""


def _describe_cell(
    cell: Any,
    is_value: Callable[[Any], bool],
    describe: Callable[[Any], str],
    read: Callable[[Any], str],
) -> str:
    try:
        value = cell.cell_contents
    except ValueError:  # of a name that has no value yet
        return ""
    is_described = callable(value) or is_value(value)
    return describe(value) if is_described else type(value).__name__ + read(value)


def _is_value(value: Any, is_changed: bool) -> bool:
    """True for what has the same value as long as the function does not change it."""
    if isinstance(value, (list, set, deque, bytearray)):
        return not is_changed
    return isinstance(value, _VALUES) or is_dataclass(value) or issparse(value)
