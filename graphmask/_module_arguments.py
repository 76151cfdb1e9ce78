"""The constructors' arguments of modules of torch and PyG, read from their attributes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import product
from typing import Any

from torch import Tensor, nn
from torch_geometric import nn as pyg_nn

PLAIN = (bool, int, float, str, type(None))

# Flags of a constructor that are tried where no attribute holds them.
_MAX_FLAGS = 4


def candidates(module: nn.Module) -> Iterator[dict[str, Any]]:
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


def lost_arguments(module: nn.Module) -> list[str]:
    """Arguments without a default that no attribute of a module holds."""
    held = {"self", "args", "kwargs", *dict(_attributes(module))}
    parameters = inspect.signature(type(module).__init__).parameters.items()
    return [name for name, each in parameters if each.default is each.empty and name not in held]


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Attributes of a module that hold the arguments of its constructor."""
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


def trace(module: nn.Module) -> list[Any]:
    """The types and plain attributes of all submodules, and the types of their parameters."""
    entries: list[Any] = [(name, type(value)) for name, value in module.named_parameters()]
    for name, submodule in module.named_modules():
        entries.append((name, *settings_of(submodule)))
    return entries


def settings_of(module: nn.Module) -> tuple[type, dict[str, Any]]:
    """The type and the plain attributes of one module."""
    # The aggregation is a submodule, beside its name.
    names = [key for key in vars(module) if not key.startswith("_")]
    attributes = {key: _plain(getattr(module, key)) for key in names}
    return type(module), {key: attributes[key] for key in names if key not in ("training", "aggr")}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, PLAIN) else getattr(value, "__qualname__", type(value))
