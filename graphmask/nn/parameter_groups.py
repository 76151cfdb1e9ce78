"""Parameters for an optimiser, apart by what weight decay would do to them."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch_geometric.nn.dense.linear import is_uninitialized_parameter

from graphmask._checks import check_number, type_error, value_error
from graphmask.features import FeatureMap
from graphmask.masks import Coefficients, TopologicalMask
from graphmask.normalizers import Normalizer
from graphmask.values import ValueMap


def parameter_groups(
    model: nn.Module, lr: float, mask_lr: float | None = None, weight_decay: float = 0.01
) -> list[dict[str, Any]]:
    r"""The parameters of a model in at most three groups for an optimiser, each once.

    ===========  ========  ==================  ===================================================
    ``"name"``   ``"lr"``  ``"weight_decay"``  parameters
    ===========  ========  ==================  ===================================================
    ``weights``  lr        weight_decay        matrices, and tensors of more axes
    ``vectors``  lr        0                   biases, scales of norms, and maps of values
    ``masks``    mask_lr   0                   masks, and gains of feature maps and normalizers
    ===========  ========  ==================  ===================================================

    Weight decay pulls a coefficient of hops towards a mask that keeps no hop, and a gain towards
    one that is off: both are few numbers that mean something.

    Args:
        model: any module; masks are found wherever they are.
        lr: learning rate of weights and vectors.
        mask_lr: learning rate of masks. (default: :obj:`None`, ``lr``)
        weight_decay: of the weights. (default: :obj:`0.01`)

    Returns:
        Groups that ``torch.optim`` takes in the place of ``model.parameters()``. Groups without
        parameters are left out.

    Raises:
        TypeError: where the model is no module.
        ValueError: for negative rates, and for lazy parameters that have seen no input.

    Example:
        >>> import torch, graphmask as gm
        >>> mask = gm.masks.PowerSeriesMask(hops=2, heads=2)
        >>> layer = gm.nn.TopologicalAttention(8, heads=2, mask=mask)
        >>> groups = gm.nn.parameter_groups(layer, lr=1e-3, mask_lr=1e-2)
        >>> [(group["name"], len(group["params"]), group["lr"]) for group in groups]
        [('weights', 2, 0.001), ('vectors', 2, 0.001), ('masks', 1, 0.01)]
        >>> optimizer = torch.optim.AdamW(groups)
    """
    if not isinstance(model, nn.Module):
        raise type_error("model", "a torch.nn.Module", model)
    mask_lr = check_number("lr", lr, 0) if mask_lr is None else check_number("mask_lr", mask_lr, 0)
    decay = check_number("weight_decay", weight_decay, 0)
    kinds = _kinds_by_module(model)
    groups: dict[str, dict[str, Any]] = {
        "weights": {"params": [], "lr": lr, "weight_decay": decay},
        "vectors": {"params": [], "lr": lr, "weight_decay": 0.0},
        "masks": {"params": [], "lr": mask_lr, "weight_decay": 0.0},
    }
    for name, parameter in model.named_parameters():
        if is_uninitialized_parameter(parameter):
            raise value_error("model", f"called once, so that `{name}` has a size", "a lazy model")
        kind = "weights" if parameter.dim() > 1 else "vectors"
        groups[kinds.get(id(parameter), kind)]["params"].append(parameter)
    return [{"name": name, **group} for name, group in groups.items() if group["params"]]


def _kinds_by_module(model: nn.Module) -> dict[int, str]:
    """Groups of the parameters of masks, and of those that maps hold outside of layers."""
    kinds: dict[int, str] = {}
    for module in model.modules():
        if isinstance(module, (TopologicalMask, Coefficients)):
            kinds.update((id(parameter), "masks") for parameter in module.parameters())
        for parameter in module.parameters(recurse=False):
            if isinstance(module, ValueMap):
                kinds.setdefault(id(parameter), "vectors")
            if isinstance(module, (FeatureMap, Normalizer)):
                kinds.setdefault(id(parameter), "masks")
    return kinds
