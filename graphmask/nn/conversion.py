"""Existing GPS models under topological masks."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GPSConv
from torch_geometric.nn.attention import PerformerAttention

from graphmask._checks import type_error, value_error
from graphmask.features import FeatureMap
from graphmask.masks import TopologicalMask

from .gps import TopologicalGPS


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
        TypeError: for an argument of another class.
        ValueError: where the model has no ``GPSConv``, or one whose attention has no counterpart;
            for a mask with another number of heads.

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
    model = deepcopy(model)
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
        gps.attn.qkv, gps.attn.out = _multihead_projections(name, layer.attn)
        gps.attn.dropout.p = layer.attn.dropout
    elif isinstance(layer.attn, PerformerAttention):
        gps.attn.qkv, gps.attn.out = _performer_projections(layer.attn)
        gps.attn.dropout.p = layer.attn.dropout.p
    else:
        expected = "a GPSConv of multihead or performer attention"
        raise value_error(name, expected, type(layer.attn).__name__)
    gps.attn.to(gps.attn.qkv.weight.device, gps.attn.qkv.weight.dtype)
    for module in (gps.attn.mask, gps.attn.feature_map, gps.attn.dropout, gps.attn):
        module.train(layer.training)
    gps.training = layer.training
    return gps


def _multihead_projections(name: str, attn: nn.MultiheadAttention) -> tuple[nn.Linear, nn.Linear]:
    """The projections of queries, keys and values together, and of outputs."""
    if not attn._qkv_same_embed_dim or attn.bias_k is not None or attn.add_zero_attn:
        expected = "a GPSConv whose attention has neither kdim, vdim, add_bias_kv nor add_zero_attn"
        raise value_error(name, expected, repr(attn))
    qkv = _make_linear(attn.in_proj_weight, attn.in_proj_bias)
    return qkv, _make_linear(attn.out_proj.weight, attn.out_proj.bias)


def _performer_projections(attn: PerformerAttention) -> tuple[nn.Linear, nn.Linear]:
    projections = (attn.q, attn.k, attn.v)
    weight = torch.cat([linear.weight for linear in projections]).detach()
    bias = None
    if attn.q.bias is not None:
        bias = torch.cat([linear.bias for linear in projections]).detach()
    trained = attn.q.weight.requires_grad
    qkv = _make_linear(weight, bias)
    return qkv.requires_grad_(trained), attn.attn_out


def _make_linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer that shares these parameters."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight = nn.Parameter(weight, weight.requires_grad)
    if bias is not None:
        linear.bias = nn.Parameter(bias, bias.requires_grad)
    return linear
