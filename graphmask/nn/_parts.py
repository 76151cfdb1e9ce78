"""Modules that users pass as parts of layers and models."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import BatchNorm
from torch_geometric.nn.resolver import normalization_resolver

from graphmask._checks import dtype_error, type_error, value_error


def make_norm(norm: str | None, channels: int) -> nn.Module:
    """A normalisation that reads features alone, by the name that PyG's resolver knows."""
    if norm is None:
        return nn.LayerNorm(channels)
    if not isinstance(norm, str):
        raise type_error("norm", "the name of a normalisation, such as 'batch_norm'", norm)
    try:
        module = normalization_resolver(norm, channels)
    except (TypeError, ValueError) as error:
        raise value_error("norm", "a normalisation of C channels that PyG knows", norm) from error
    if isinstance(module, BatchNorm):  # a single node is normalised as in evaluation
        module.allow_single_element = True
    if "batch" in inspect.signature(module.forward).parameters:
        raise value_error("norm", "a normalisation that reads no `batch`, or None", norm)
    return module


def check_module(name: str, module: nn.Module) -> nn.Module:
    """A module, and no class or function."""
    if not isinstance(module, nn.Module):
        raise type_error(name, "a module, such as torch.nn.Linear(C, C)", module)
    return module


def check_precision(x: Tensor, layer: Any) -> None:
    """Features in the precision of the linear layer that reads them, unless autocast converts."""
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor) or x.dtype == weight.dtype:
        return
    if not torch.is_autocast_enabled(x.device.type):
        remedy = "convert one by `x.to(dtype)` or `model.to(dtype)`, or use torch.autocast"
        raise dtype_error("x", f"{weight.dtype}, as the parameters ({remedy})", x)


def check_output(name: str, out: Any, shape: Sequence[int]) -> Tensor:
    """Check that the output of a user's module has the expected shape, and return it."""
    if not isinstance(out, Tensor) or out.shape != torch.Size(shape):
        got = out if isinstance(out, Tensor) else type(out).__name__
        raise value_error(name, f"a module whose output has the shape {list(shape)}", got)
    return out
