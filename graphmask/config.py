"""Masks, samplers, feature maps and PyG modules as JSON, and back, from a closed list of classes.

A config names public classes of the packages below and PyG's global pooling functions. Nothing else
that a file names is imported or called.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, partial, wraps
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg_nn

from graphmask._module_arguments import PLAIN, candidates, lost_arguments, trace

PACKAGES = (
    "graphmask.masks",
    "graphmask.features",
    "graphmask.normalizers",
    "graphmask.values",
    "graphmask.walks",
    "graphmask.nn",
    "torch_geometric.nn",
    "torch.nn",
)

# Of torch_geometric.nn these alone: other classes, such as its Sequential, evaluate strings.
PYG_CLASSES = {"JumpingKnowledge", "Linear", "MLP"}
PYG_CLASSES |= {*pyg_nn.conv.__all__, *pyg_nn.aggr.__all__, *pyg_nn.norm.__all__}

POOLS = {
    f"torch_geometric.nn.{name}": getattr(pyg_nn, name)
    for name in pyg_nn.pool.__all__
    if name.startswith("global_")
}

# Larger tensors are data, not arguments.
_MAX_VALUES = 4096


class ConfigError(ValueError):
    """An object that no config describes."""


class ConfigMixin:
    """Keeps the arguments of the constructor, whatever the constructors of subclasses take."""

    _config: dict[str, Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = _keep_arguments(cls.__init__)  # type: ignore[method-assign]


def _keep_arguments(init: Callable[..., None]) -> Callable[..., None]:
    @wraps(init)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        # An object that compiled code makes serves a single call.
        if not torch.compiler.is_compiling():
            _, *arguments = _signature(init).bind(None, *args, **kwargs).arguments.items()
            config = {name: _snapshot(value) for name, value in arguments}
            # The outermost constructor ends last. It may be that of a frozen dataclass.
            object.__setattr__(self, "_config", config)

    return wrapper


@cache
def _signature(init: Callable[..., None]) -> inspect.Signature:
    return inspect.signature(init)


def to_config(value: Any) -> Any:
    """Describe a value as JSON.

    Raises:
        ConfigError: for a value that is neither plain nor made of public classes of
            :data:`PACKAGES`.

    Example:
        >>> import graphmask as gm
        >>> from graphmask.config import from_config, to_config
        >>> config = to_config(gm.masks.WalkMask(hops=3, heads=2))
        >>> config
        {'class': 'graphmask.masks.WalkMask', 'arguments': {'hops': 3, 'heads': 2}}
        >>> from_config(config)
        WalkMask(hops=3, heads=2, alpha=Free)
    """
    return _name_classes(_snapshot(value, read_modules=True))


def from_config(config: Any) -> Any:
    """Make the object that a config describes.

    Raises:
        ValueError: for names outside of :data:`PACKAGES`, and for another structure.
    """
    if isinstance(config, list):
        return [from_config(item) for item in config]
    if not isinstance(config, dict):
        return config
    key = next(iter(config), None)
    if key not in _BUILDERS:
        raise ValueError(f"a config starts with one of {', '.join(_BUILDERS)}, got {key!r}")
    return _BUILDERS[key](*config.values())


def public_name(cls: type) -> str:
    """The name under which a class is public.

    Raises:
        ConfigError: for a class of another package.
    """
    for package in PACKAGES:
        if _look_up(package, cls.__name__) is cls:
            return f"{package}.{cls.__name__}"
    raise ConfigError(
        f"{cls.__module__}.{cls.__qualname__} is no public class of {', '.join(PACKAGES)}"
    )


def _snapshot(value: Any, read_modules: bool = False) -> Any:
    """A config whose classes are not yet names; it can be pickled, and nothing in it changes later.

    Modules of torch and PyG are read only on request: until then they may change.
    """
    snapshot = partial(_snapshot, read_modules=read_modules)
    if isinstance(value, (np.integer, np.floating, np.bool_)):
        value = value.item()
    if isinstance(value, PLAIN):
        return value
    if inspect.isclass(value):
        return {"type": value}
    if isinstance(value, ConfigMixin):
        return {"class": type(value), "arguments": getattr(value, "_config", {})}
    if isinstance(value, Tensor) and value.numel() <= _MAX_VALUES:
        learned = isinstance(value, nn.Parameter)
        return {"tensor": value.detach().tolist(), "dtype": str(value.dtype), "learned": learned}
    if type(value) is list:
        return [snapshot(item) for item in value]
    if type(value) in (tuple, torch.Size):
        return {"tuple": snapshot(list(value))}
    if type(value) is dict:
        return {"dict": {key: snapshot(item) for key, item in value.items()}}
    if isinstance(value, partial) and inspect.isclass(value.func):
        args, keywords = snapshot(list(value.args)), snapshot(value.keywords)
        return {"partial": {"type": value.func}, "args": args, "keywords": keywords}
    for name, pool in POOLS.items():
        if pool is value:
            return {"function": name}
    if isinstance(value, nn.Module) and read_modules:
        return {"class": type(value), "arguments": _read_arguments(value)}
    # No config describes it: a tuple with its name, for the error that says so.
    return (getattr(value, "__qualname__", type(value).__qualname__),)


def _name_classes(config: Any) -> Any:
    if inspect.isclass(config):
        return public_name(config)
    if isinstance(config, list):
        return [_name_classes(item) for item in config]
    if isinstance(config, tuple):
        raise ConfigError(f"{config[0]} has no config")
    if not isinstance(config, dict):
        return config
    return {key: _name_classes(item) for key, item in config.items()}


def _find(name: str) -> type:
    package, _, last = name.rpartition(".")
    cls = _look_up(package, last)
    if cls is None:
        raise ValueError(f"{name!r} is no public class of {', '.join(PACKAGES)}")
    return cls


def _look_up(package: str, name: str) -> type | None:
    if package not in PACKAGES or (package == "torch_geometric.nn" and name not in PYG_CLASSES):
        return None
    cls = getattr(import_module(package), name, None)
    return cls if inspect.isclass(cls) and issubclass(cls, (nn.Module, ConfigMixin)) else None


def _call(cls: type, arguments: dict[str, Any]) -> Any:
    values = {name: from_config(value) for name, value in arguments.items()}
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]
    bound = inspect.BoundArguments(signature, {"self": None, **values})
    # The constructor knows former names of its arguments, and refuses others.
    former = {name: values[name] for name in values.keys() - signature.parameters.keys()}
    return cls(*bound.args[1:], **bound.kwargs, **former)


def _make_tensor(values: Any, dtype: str, learned: bool) -> Tensor:
    torch_dtype = getattr(torch, dtype.removeprefix("torch."), None)
    if not isinstance(torch_dtype, torch.dtype):
        raise ValueError(f"{dtype!r} is no dtype of torch")
    tensor = torch.tensor(values, dtype=torch_dtype)
    return nn.Parameter(tensor) if learned else tensor


_BUILDERS: dict[Any, Callable[..., Any]] = {
    "class": lambda name, arguments: _call(_find(name), arguments),
    "type": _find,
    "partial": lambda function, args, keywords: partial(
        from_config(function), *from_config(args), **from_config(keywords)
    ),
    "function": lambda name: POOLS[name],
    "tensor": _make_tensor,
    "tuple": lambda items: tuple(from_config(items)),
    "dict": lambda items: {key: from_config(item) for key, item in items.items()},
}


def _read_arguments(module: nn.Module) -> dict[str, Any]:
    """The constructor's arguments of a module of torch or PyG, read from its attributes.

    Attributes need not hold all arguments: a module made from them is compared with this one.

    Raises:
        ConfigError: where it differs.
    """
    name = public_name(type(module))
    for arguments in candidates(module):
        config = {key: _snapshot(value, read_modules=True) for key, value in arguments.items()}
        named = _name_classes(config)
        try:
            with torch.random.fork_rng(devices=[]):
                copy = _call(type(module), named)
            copy.load_state_dict(module.state_dict())
        except Exception:  # a constructor may raise anything for wrong arguments
            continue
        if trace(copy) == trace(module):
            return config
    lost = lost_arguments(module)
    named = f", as of {', '.join(lost)}" if lost else ""
    raise ConfigError(f"the attributes of this {name} do not hold all of its arguments{named}")
