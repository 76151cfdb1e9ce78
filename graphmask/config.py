"""Masks, samplers, feature maps and PyG modules as JSON, and back, from a closed list of classes.

A config names public classes of the packages below and PyG's global pooling functions. Nothing else
that a file names is imported or called.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial, wraps
from importlib import import_module
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric import nn as pyg_nn

from graphmask._checks import value_error

PACKAGES = (
    "graphmask.masks",
    "graphmask.features",
    "graphmask.normalizers",
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

# The least limit of integers in a file: constructors may make lists of this length.
_LARGEST_COUNT = 2**16

# Names of integers that nothing is made of: seeds and limits.
_COUNTLESS = re.compile("seed$|max_")

# Flags of a constructor that are tried where no attribute holds them.
_MAX_FLAGS = 4

_PLAIN = (bool, int, float, str, type(None))


class ConfigError(ValueError):
    """An object that no config describes."""


class Bound(TorchDispatchMode):
    """Limits what is allocated within a block to what a model with these tensors may need.

    No tensor has more than 4 n + ``slack`` numbers and all have no more than 16 times as many, of
    n that these T tensors hold, in at most 64 T + ``slack`` / 512 calls.

    Raises:
        ValueError: before more is allocated.

    Example:
        >>> import torch
        >>> from graphmask.config import Bound
        >>> with Bound([torch.ones(3)], slack=100):
        ...     torch.empty(10**9)
        Traceback (most recent call last):
        ...
        ValueError: more is made than weights of 1 tensors and 3 numbers need
    """

    def __init__(self, tensors: Iterable[Tensor], slack: int) -> None:
        super().__init__()
        sizes = [tensor.numel() for tensor in tensors]
        self.tensors, self.held = len(sizes), sum(sizes)
        self.largest = 4 * self.held + slack
        self.left, self.calls = 16 * self.largest, 64 * self.tensors + slack // 512

    def check(self, config: Mapping[str, Any]) -> None:
        """Refuse integers beyond what lists and loops of constructors may count up to."""
        largest, items = max(self.held, _LARGEST_COUNT), list(config.items())
        while items:
            name, value = items.pop()
            if isinstance(value, dict) and "tensor" not in value:
                items += value.items()
            elif isinstance(value, list):
                items += ((name, item) for item in value)
            elif isinstance(value, int) and abs(value) > largest and not _COUNTLESS.match(name):
                expected = f"at most {largest:,}, by the size of the weights"
                raise value_error(name, expected, value)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        schema, kwargs = func._schema, kwargs or {}
        names = [argument.name for argument in schema.arguments]
        self.calls -= 1
        if "device" in names:  # of a function that makes a tensor
            self._spend(_numbers({**dict(zip(names, args, strict=False)), **kwargs}))
        result = func(*args, **kwargs)
        if all(value.alias_info is None for value in schema.returns):
            values = result if isinstance(result, (tuple, list)) else (result,)
            self._spend(sum(value.numel() for value in values if isinstance(value, Tensor)))
        return result

    def _spend(self, count: int) -> None:
        self.left -= count
        if count > self.largest or self.left < 0 or self.calls < 0:
            held = f"{self.tensors:,} tensors and {self.held:,} numbers"
            raise ValueError(f"more is made than weights of {held} need")


def _numbers(values: Mapping[str, Any]) -> int:
    """How many numbers a function that makes a tensor is asked for."""
    if "end" in values and "steps" not in values:
        span = values["end"] - values.get("start", 0)
        return max(0, math.ceil(span / values.get("step", 1)))
    sizes = (values[name] for name in ("size", "steps", "n", "m") if name in values)
    return math.prod(math.prod(x) if isinstance(x, (tuple, list)) else x for x in sizes)


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
    if isinstance(value, _PLAIN):
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
    for arguments in _candidates(module):
        config = {key: _snapshot(value, read_modules=True) for key, value in arguments.items()}
        named = _name_classes(config)
        try:
            with torch.random.fork_rng(devices=[]):
                copy = _call(type(module), named)
            copy.load_state_dict(module.state_dict())
        except Exception:  # a constructor may raise anything for wrong arguments
            continue
        if _trace(copy) == _trace(module):
            return config
    parameters, held = (
        inspect.signature(type(module).__init__).parameters,
        dict(_attributes(module)),
    )
    lost = [
        key
        for key, parameter in list(parameters.items())[1:]
        if parameter.default is parameter.empty and key not in {"args", "kwargs", *held}
    ]
    named = f", as of {', '.join(lost)}" if lost else ""
    raise ConfigError(f"the attributes of this {name} do not hold all of its arguments{named}")


def _candidates(module: nn.Module) -> Iterator[dict[str, Any]]:
    """Arguments that may have made a module, the likeliest first."""
    values = dict(_attributes(module))
    parameters = inspect.signature(type(module).__init__).parameters
    # Convolutions take options of message passing as keywords, or fix them.
    names = [name for name in ("aggr", "flow", "node_dim") if name not in parameters]
    options = {name: getattr(module, name) for name in names if hasattr(module, name)}
    aggregations: list[dict[str, Any]] = [{}]
    if isinstance(module, pyg_nn.MessagePassing) and module.aggr_module is not None:
        # The name of an aggregation does not tell its arguments.
        aggregations.append({"aggr": module.aggr_module})
    flags = [
        name
        for name, parameter in parameters.items()
        if isinstance(parameter.default, bool) and name not in values
    ][:_MAX_FLAGS]
    defaults = [parameters[name].default for name in flags]
    for aggregation, changes in product(aggregations, product((False, True), repeat=len(flags))):
        unknown = {
            name: default != change
            for name, default, change in zip(flags, defaults, changes, strict=True)
        }
        known = {name: value for name, value in aggregation.items() if name in parameters}
        arguments = {**values, **(unknown if any(changes) else {}), **known}
        yield arguments
        if "kwargs" in parameters:
            yield {**arguments, "kwargs": {**options, **aggregation} if not known else options}


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """What a module holds of the arguments of its constructor."""
    if isinstance(module, nn.Sequential):
        yield "args", tuple(module)
    if isinstance(module, nn.ModuleList):
        yield "modules", list(module)
    unnamed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    empty = inspect.Parameter.empty
    for name, parameter in inspect.signature(type(module).__init__).parameters.items():
        # PyG's norms wrap those of torch, and its aggregations keep MLPs under names of their own.
        wrapped, other = getattr(module, "module", None), name.replace("nn", "mlp")
        places = ((module, name), (module, other), (wrapped, name))
        values = [getattr(place, key) for place, key in places if hasattr(place, key)]
        value = next((item for item in values if item is not None), None if values else empty)
        if parameter.kind in unnamed or value is empty or inspect.ismethod(value):
            continue
        if name == "bias":
            yield name, value is not None and value is not False
        elif isinstance(value, nn.ModuleList):
            yield name, list(value)
        elif not isinstance(value, Tensor) and not isinstance(module, pyg_nn.MLP):
            yield name, value
    if isinstance(module, pyg_nn.MLP):
        yield from _mlp_attributes(module)
    if isinstance(module, pyg_nn.InstanceNorm):
        yield "in_channels", module.num_features
    if isinstance(module, pyg_nn.ChebConv):
        yield "K", len(module.lins)
    if type(module) is pyg_nn.QuantileAggregation:
        yield "q", module._q
    if isinstance(module, pyg_nn.GENConv):
        yield from _gen_attributes(module)
    if isinstance(module, (pyg_nn.GINConv, pyg_nn.GINEConv)):
        yield "eps", module.initial_eps
        yield "train_eps", isinstance(module.eps, nn.Parameter)
    if isinstance(module, pyg_nn.GINEConv) and module.lin is not None:
        yield "edge_dim", vars(module.lin).get("in_channels") or module.lin.in_features


def _mlp_attributes(mlp: pyg_nn.MLP) -> Iterator[tuple[str, Any]]:
    for name in ("channel_list", "dropout", "act", "act_first", "plain_last"):
        yield name, getattr(mlp, name)
    yield "bias", [linear.bias is not None for linear in mlp.lins]
    norm = mlp.norms[0] if len(mlp.norms) else None
    if norm is None or isinstance(norm, nn.Identity):
        yield "norm", None
    else:
        yield "norm", type(norm).__name__
        # The first argument is the number of channels.
        yield "norm_kwargs", dict(list(_attributes(norm))[1:])


def _gen_attributes(conv: pyg_nn.GENConv) -> Iterator[tuple[str, Any]]:
    sizes = [module.out_channels for module in conv.mlp if isinstance(module, pyg_nn.Linear)]
    kinds = [type(module).__name__.partition("Norm") for module in conv.mlp]
    norms = [name.lower() for name, is_norm, _ in kinds if is_norm]
    message_norm = getattr(conv, "msg_norm", None)
    yield "num_layers", len(sizes)
    yield "expansion", sizes[0] // conv.out_channels if len(sizes) > 1 else 2
    yield "norm", norms[0] if norms else None
    yield "msg_norm", message_norm is not None
    yield "learn_msg_scale", message_norm is not None and message_norm.scale.requires_grad
    if hasattr(conv, "lin_edge"):
        yield "edge_dim", conv.lin_edge.in_channels


def _trace(module: nn.Module) -> list[Any]:
    """The types and plain attributes of all submodules, and the types of their parameters."""
    trace: list[Any] = [(name, type(value)) for name, value in module.named_parameters()]
    for name, submodule in module.named_modules():
        # The aggregation is a submodule, beside its name.
        names = [key for key in vars(submodule) if not key.startswith("_")]
        attributes = {
            key: _plain(getattr(submodule, key)) for key in names if key not in ("training", "aggr")
        }
        trace.append((name, type(submodule), attributes))
    return trace


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, _PLAIN) else getattr(value, "__qualname__", type(value))
