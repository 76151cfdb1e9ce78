"""Masks, feature maps, convolutions and pools as JSON, and back.

Public names and constructor arguments, from a closed list.

Nothing that a file names is imported or called, but public classes of the packages below and PyG's
global pooling functions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial, singledispatch
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg_nn
from torch_geometric.nn.dense.linear import is_uninitialized_parameter

from graphmask._recipes import Numbers, Recipe, Recorded, Unknown, note, recipe_of

# Where public names are looked up; of what is found there, only modules and parts of masks are
# made. Of PyG these alone: other classes, such as its Sequential, evaluate strings that they are
# given.
PACKAGES = (
    "graphmask.masks",
    "graphmask.features",
    "graphmask.walks",
    "graphmask.nn",
    "torch_geometric.nn",
    "torch.nn",
)

PYG = {
    *pyg_nn.conv.__all__,
    *pyg_nn.aggr.__all__,
    *pyg_nn.norm.__all__,
    "JumpingKnowledge",
    "Linear",
    "MLP",
}

POOLS = {
    f"torch_geometric.nn.{name}": getattr(pyg_nn, name)
    for name in pyg_nn.pool.__all__
    if name.startswith("global_")
}


class CannotDescribeError(ValueError):
    """An object without a description that it could be made from again."""


@singledispatch
def describe(value: Any) -> Any:
    """A value as JSON.

    Raises:
        CannotDescribeError: for what is neither plain nor made of public classes of the known
            packages.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    names = [name for name, pool in POOLS.items() if pool is value]
    if not names:
        raise CannotDescribeError(
            f"{getattr(value, '__qualname__', type(value).__qualname__)} has no description"
        )
    return {"function": names[0]}


@describe.register
def _(value: Recipe) -> dict[str, Any]:
    return {
        "class": public_name(value.kind),
        "arguments": {name: describe(each) for name, each in value.arguments.items()},
    }


@describe.register
def _(value: Recorded) -> dict[str, Any]:
    return describe(recipe_of(value))


@describe.register
def _(value: nn.Module) -> dict[str, Any]:
    return describe(observe(value))


@describe.register
def _(value: Unknown) -> Any:
    raise CannotDescribeError(f"{value.what} has no description")


@describe.register
def _(value: Tensor) -> dict[str, Any]:
    return describe(note(value))


@describe.register
def _(value: Numbers) -> dict[str, Any]:
    return {"tensor": value.values, "dtype": value.dtype, "learned": value.learned}


@describe.register
def _(value: type) -> dict[str, Any]:
    return {"type": public_name(value)}


@describe.register
def _(value: partial) -> dict[str, Any]:
    return {
        "partial": describe(value.func),
        "args": describe(list(value.args)),
        "keywords": describe(value.keywords),
    }


@describe.register
def _(value: list) -> list[Any]:
    return [describe(each) for each in value]


@describe.register
def _(value: tuple) -> dict[str, Any]:
    return {"tuple": describe(list(value))}


@describe.register
def _(value: dict) -> dict[str, Any]:
    return {"dict": {key: describe(each) for key, each in value.items()}}


def build(described: Any) -> Any:
    """What was described.

    Raises:
        ValueError: for names out of the known packages, and what is no description.
    """
    if isinstance(described, list):
        return [build(each) for each in described]
    if not isinstance(described, dict):
        return described
    kind = next(iter(described), None)
    if kind not in _MAKERS:
        raise ValueError(f"a description starts with one of {', '.join(_MAKERS)}, got {kind!r}")
    return _MAKERS[kind](*described.values())


def call(kind: type, arguments: dict[str, Any]) -> Any:
    """An object of a class, from described arguments."""
    given = {name: build(each) for name, each in arguments.items()}
    signature = inspect.signature(kind.__init__)  # type: ignore[misc]
    bound = inspect.BoundArguments(signature, {"self": None, **given})
    return kind(*bound.args[1:], **bound.kwargs)


def public_name(kind: type) -> str:
    """The name under which a class is public.

    Raises:
        CannotDescribeError: where it is not.
    """
    for package in PACKAGES:
        if _look_up(package, kind.__name__) is kind:
            return f"{package}.{kind.__name__}"
    raise CannotDescribeError(
        f"{kind.__module__}.{kind.__qualname__} is no public class of {', '.join(PACKAGES)}"
    )


def _find(name: str) -> type:
    package, _, last = name.rpartition(".")
    found = _look_up(package, last)
    if found is None:
        raise ValueError(f"{name!r} is no public class of {', '.join(PACKAGES)}")
    return found


def _look_up(package: str, name: str) -> type | None:
    if package not in PACKAGES or (package == "torch_geometric.nn" and name not in PYG):
        return None
    found = getattr(import_module(package), name, None)
    return found if inspect.isclass(found) and issubclass(found, (nn.Module, Recorded)) else None


def _tensor(values: Any, dtype: str, learned: bool) -> Tensor:
    kind = getattr(torch, dtype.removeprefix("torch."), None)
    if not isinstance(kind, torch.dtype):
        raise ValueError(f"{dtype!r} is no type of tensors")
    made = torch.tensor(values, dtype=kind)
    return nn.Parameter(made) if learned else made


_MAKERS: dict[Any, Callable[..., Any]] = {
    "class": lambda name, arguments: call(_find(name), arguments),
    "type": _find,
    "partial": lambda function, args, keywords: partial(
        build(function), *build(args), **build(keywords)
    ),
    "function": lambda name: POOLS[name],
    "tensor": _tensor,
    "tuple": lambda items: tuple(build(items)),
    "dict": lambda items: {key: build(each) for key, each in items.items()},
}


def observe(module: nn.Module) -> Recipe:
    """The recipe of a module of torch or PyG, read from its attributes.

    A module made from it is compared with this one.

    Raises:
        CannotDescribeError: where the attributes do not tell all that the constructor was given.
    """
    name = public_name(type(module))
    found = dict(_arguments(module))
    options = {
        each: getattr(module, each)
        for each in ("aggr", "flow", "node_dim")
        if hasattr(module, each)
    }
    rest = {each: value for each, value in options.items() if each not in found}
    for arguments in (found, {**found, "kwargs": rest}):
        if _is_made_from(module, arguments):
            return Recipe(type(module), arguments)
    raise CannotDescribeError(f"the attributes of this {name} do not tell how it was made")


def _arguments(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """The constructor's arguments as far as attributes of the same names tell them."""
    if isinstance(module, (nn.Sequential, nn.ModuleList)):
        yield (
            ("args", tuple(module))
            if isinstance(module, nn.Sequential)
            else ("modules", list(module))
        )
    if isinstance(module, (pyg_nn.GINConv, pyg_nn.GINEConv)):
        yield from {
            "eps": module.initial_eps,
            "train_eps": isinstance(module.eps, nn.Parameter),
        }.items()
    lin = getattr(module, "lin", None)
    if isinstance(module, pyg_nn.GINEConv) and lin is not None:
        yield "edge_dim", lin.in_channels if hasattr(lin, "in_channels") else lin.in_features
    for name, parameter in inspect.signature(type(module).__init__).parameters.items():
        value = getattr(module, name, None)
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or not hasattr(
            module, name
        ):
            continue
        if name == "bias":
            yield name, value is not None and value is not False
        elif not isinstance(value, Tensor):
            yield name, value


def _is_made_from(module: nn.Module, arguments: dict[str, Any]) -> bool:
    """Whether these arguments make a module that is, with the same parameters, the same in all that can be compared."""
    try:
        described = {name: describe(value) for name, value in arguments.items()}
        with torch.random.fork_rng(devices=[]):
            made = call(type(module), described)
        made.load_state_dict(module.state_dict())
    except CannotDescribeError:
        raise
    except Exception:  # whatever a constructor makes of arguments that are not those it was given
        return False
    return _trace(made) == _trace(module)


def _trace(module: nn.Module) -> dict[str, Any]:
    """Types, plain attributes and shapes of parameters of a module and of all within it."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    shapes = {
        name: None if is_uninitialized_parameter(each) else (type(each), each.shape)
        for name, each in tensors.items()
    }
    parts = {name: (type(part), _plain_attributes(part)) for name, part in module.named_modules()}
    return {"": shapes, **{f".{name}": part for name, part in parts.items()}}


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    kept = {
        name: value for name, value in vars(module).items() if name[0] != "_" and name != "training"
    }
    return {
        name: _comparable(value) for name, value in kept.items() if not isinstance(value, Tensor)
    }


def _comparable(value: Any) -> Any:
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [_comparable(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _comparable(each) for key, each in value.items()}
    return getattr(value, "__qualname__", type(value).__qualname__)
