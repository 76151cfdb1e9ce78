"""Existing GPS models under topological masks."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch_geometric.nn import GPSConv
from torch_geometric.nn.attention import PerformerAttention

from graphmask._checks import type_error, value_error
from graphmask.features import FeatureMap
from graphmask.masks import TopologicalMask

from .gps import TopologicalGPS

_PARTS = {"conv", "attn", "mlp", "norm1", "norm2", "norm3"}


def to_masked(
    model: nn.Module, mask: TopologicalMask, feature_map: FeatureMap | None = None
) -> nn.Module:
    r"""Convert a GPS model: each ``GPSConv`` in a copy of it becomes a :class:`TopologicalGPS`.

    Convolutions, norms, feed-forward networks and the projections of queries, keys, values and
    outputs keep their trained parameters, and the modules around the layers stay as they are. Every
    layer gets its own copy of the mask and the feature map.

    The softmax between all pairs, or the random projection of the performer, becomes a feature map,
    so that a trained model needs fine-tuning. ``SoftmaxScores()`` keeps the softmax exactly on the
    support of a sparse mask: where that is the whole graph and all entries are 1, the converted
    model equals the original. Dropout of attention weights becomes dropout of the attention's
    output.

    The model is called as before. In place of ``edge_index`` it also takes a
    :class:`~graphmask.Topology`, as long as it only passes ``edge_index`` to its GPS layers: then
    the walks that :class:`~graphmask.transforms.AddWalks` stored are read, and none are drawn in
    ``forward``.

    Args:
        model: any module that has ``GPSConv`` layers, or is one; it is not changed.
        mask: of one head, or of as many as each layer.
        feature_map: phi. (default: :obj:`None`, :class:`~graphmask.features.ReLU`)

    Raises:
        TypeError: for an argument of another class; for layers and attention of classes derived
            from PyG's and torch's, parametrized ones included, whose methods would be lost.
        ValueError: where the model has no ``GPSConv``, or one whose attention has no counterpart,
            or one with hooks, a ``forward`` or tensors of its own, which would be lost; where a
            module holds a layer, or a method of one, outside ``nn.ModuleList`` and
            ``nn.ModuleDict``, which would stay as it is; for a mask with another number of heads.

    Source: PyG issue 9511, "GPSConv structural encodings".

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.nn import GCNConv, GPSConv
        >>> layers = torch.nn.ModuleList([GPSConv(8, GCNConv(8, 8), heads=2) for _ in range(2)])
        >>> masked = gm.nn.to_masked(layers, gm.masks.WalkMask(hops=3, heads=2))
        >>> [type(layer).__name__ for layer in masked]
        ['TopologicalGPS', 'TopologicalGPS']
        >>> bool((masked[0].attn.out.weight == layers[0].attn.out_proj.weight).all())
        True
    """
    if not isinstance(model, nn.Module):
        raise type_error("model", "a torch.nn.Module", model)
    if not any(isinstance(module, GPSConv) for module in model.modules()):
        expected = "a model with torch_geometric.nn.GPSConv layers"
        raise value_error("model", expected, f"{type(model).__name__} without any")
    for path, layer in model.named_modules():
        if isinstance(layer, GPSConv):
            _check_layer(path or "model", layer)
        _check_attributes(path or "model", layer)
    try:
        model = deepcopy(model)
    except RuntimeError as error:
        expected = "a model that can be copied (see torch.nn.utils.prune.remove)"
        raise value_error("model", expected, str(error)) from error
    if isinstance(model, GPSConv):
        return _convert("model", model, mask, feature_map)
    # A layer that the model has under several names is converted once.
    converted: dict[nn.Module, TopologicalGPS] = {}
    for path, layer in list(model.named_modules(remove_duplicate=False)):
        if isinstance(layer, GPSConv):
            if layer not in converted:
                converted[layer] = _convert(path, layer, mask, feature_map)
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, converted[layer])
    return model


def _convert(
    name: str, layer: GPSConv, mask: TopologicalMask, feature_map: FeatureMap | None
) -> TopologicalGPS:
    if isinstance(mask, TopologicalMask) and mask.heads not in (1, layer.heads):
        expected = f"of one head or {layer.heads}, as `{name}`"
        raise value_error("mask", expected, f"{mask.heads} heads")
    mask, feature_map = deepcopy((mask, feature_map))
    options: dict[str, Any] = {"norm": None, "mask": mask, "feature_map": feature_map}
    # The parameters that are drawn here are replaced below.
    with torch.random.fork_rng(devices=[]):
        gps = TopologicalGPS(layer.channels, None, layer.heads, layer.dropout, **options)
    gps._set_parts(layer.conv, layer.mlp, layer.norm1, layer.norm2, layer.norm3)
    if isinstance(layer.attn, nn.MultiheadAttention):
        gps.attn.qkv, gps.attn.out = _multihead_projections(layer.attn)
        gps.attn.dropout.p = layer.attn.dropout
    else:
        gps.attn.qkv, gps.attn.out = _performer_projections(layer.attn)
        gps.attn.dropout.p = layer.attn.dropout.p
    gps.attn.to(gps.attn.qkv.weight.device, gps.attn.qkv.weight.dtype)
    gps.attn.train(layer.attn.training)
    gps.training = layer.training
    return gps


def _check_layer(name: str, layer: GPSConv) -> None:
    """A layer that a TopologicalGPS replaces without loss."""
    _check_plain(name, layer, GPSConv)
    own = [*layer._parameters, *(layer._modules.keys() - _PARTS)]
    if own:
        raise value_error(name, "a GPSConv without further parameters and modules", own)
    attn, name = layer.attn, f"{name}.attn"
    if isinstance(attn, nn.MultiheadAttention):
        _check_plain(name, attn, nn.MultiheadAttention)
        _check_plain(f"{name}.out_proj", attn.out_proj, NonDynamicallyQuantizableLinear)
        if not attn._qkv_same_embed_dim or attn.bias_k is not None or attn.add_zero_attn:
            expected = "attention with neither kdim, vdim, add_bias_kv nor add_zero_attn"
            raise value_error(name, expected, repr(attn))
        return
    _check_plain(name, attn, PerformerAttention)
    projections = [getattr(attn, key) for key in "qkv"]
    for key, linear in zip("qkv", projections, strict=True):
        _check_plain(f"{name}.{key}", linear, nn.Linear)
    for key in ("weight", "bias"):
        parameters = [getattr(linear, key) for linear in projections]
        if len({parameter.requires_grad for parameter in parameters if parameter is not None}) > 1:
            expected = "attention whose q, k and v are trained, or frozen, together"
            raise value_error(name, expected, f"some {key} frozen")


def _check_attributes(name: str, module: nn.Module) -> None:
    """Modules of layers are found in lists of modules; in plain lists they would stay as they are.

    So would methods of a layer that a module keeps.
    """
    for key, value in vars(module).items():
        if key in ("_modules", "_forward_hooks", "_forward_pre_hooks"):
            continue
        items = value.values() if isinstance(value, dict) else value
        for item in items if isinstance(value, (dict, list, tuple)) else [value]:
            if isinstance(getattr(item, "__self__", item), GPSConv):
                expected = "a module that holds layers in nn.ModuleList or nn.ModuleDict alone"
                raise value_error(name, expected, f"a GPSConv, or a method of one, in `{key}`")


def _check_plain(name: str, module: nn.Module, cls: type[nn.Module]) -> None:
    """A module that is its class and parameters, and nothing else."""
    if type(module) is not cls:
        raise type_error(name, f"a {cls.__name__}, and of no class derived from it", module)
    own = [key for key, value in vars(module).items() if key.endswith("_hooks") and value]
    own += [*module._buffers, *({"forward"} & vars(module).keys())]
    if own:
        raise value_error(name, f"a {cls.__name__} without hooks, `forward` and buffers", own)


def _multihead_projections(attn: nn.MultiheadAttention) -> tuple[nn.Linear, nn.Linear]:
    """The projections of queries, keys and values together, and of outputs."""
    qkv = _make_linear(attn.in_proj_weight, attn.in_proj_bias)
    return qkv, _make_linear(attn.out_proj.weight, attn.out_proj.bias)


def _performer_projections(attn: PerformerAttention) -> tuple[nn.Linear, nn.Linear]:
    parts = [(attn.q.weight, attn.k.weight, attn.v.weight)]
    if attn.q.bias is not None:
        parts.append((attn.q.bias, attn.k.bias, attn.v.bias))
    joined = [nn.Parameter(torch.cat(part).detach(), part[0].requires_grad) for part in parts]
    return _make_linear(*joined), attn.attn_out


def _make_linear(weight: Any, bias: Any = None) -> nn.Linear:
    """A linear layer of these parameters."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight, linear.bias = weight, bias
    return linear
