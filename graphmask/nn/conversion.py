"""Existing GPS models under topological masks."""

from __future__ import annotations

from copy import deepcopy

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
    r"""A copy of a GPS model whose attention is masked.

    Each ``GPSConv`` in it becomes a :class:`TopologicalGPS`.

    Convolutions, norms, feed-forward networks and the projections of queries, keys, values and
    outputs are carried over as they were trained, and everything around the layers stays as it is.
    Every layer gets its own copy of the mask and the feature map.

    What cannot be carried over is the softmax between all pairs, or the performer's random
    projection: a feature map takes their place, so that a trained model wants fine-tuning.
    ``SoftmaxScores()`` keeps the softmax, exactly, on the support of a
    sparse mask: where that is the whole graph and all entries are 1, the converted model is the
    original. Dropout of attention weights becomes dropout of the attention's output.

    The model is called as before. In the place of ``edge_index`` it takes a
    :class:`~graphmask.Topology`, too, as long as it only hands ``edge_index`` to its GPS layers:
    then walks that :class:`~graphmask.transforms.AddWalks` stored are read, and none are drawn in
    forward.

    Args:
        model: any module that holds ``GPSConv`` layers, or is one; left as it is.
        mask: of one head, or of as many as each layer.
        feature_map: phi. (default: :obj:`None`, :class:`~graphmask.features.ReLU`)

    Raises:
        TypeError: where the model is no module, the mask no mask, or the feature map none.
        ValueError: where the model has no ``GPSConv``, or one whose attention has no counterpart;
            for a mask of other heads.

    Source: asked for in PyG issue 9511, "GPSConv structural encodings".

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
    found = [name for name, module in model.named_modules() if isinstance(module, GPSConv)]
    if not found:
        raise value_error(
            "model",
            "a model with torch_geometric.nn.GPSConv layers",
            f"{type(model).__name__} without any",
        )
    model = deepcopy(model)
    if isinstance(model, GPSConv):
        return _convert("model", model, mask, feature_map)
    made: dict[GPSConv, TopologicalGPS] = {}
    for parent_name, parent in list(model.named_modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, GPSConv):
                if child not in made:
                    made[child] = _convert(
                        f"{parent_name}.{name}".lstrip("."), child, mask, feature_map
                    )
                setattr(parent, name, made[child])
    return model


def _convert(
    name: str, layer: GPSConv, mask: TopologicalMask, feature_map: FeatureMap | None
) -> TopologicalGPS:
    if isinstance(mask, TopologicalMask) and mask.heads not in (1, layer.heads):
        raise value_error(
            "mask", f"of one head or {layer.heads}, as `{name}`", f"{mask.heads} heads"
        )
    mask, feature_map = deepcopy((mask, feature_map))
    with torch.random.fork_rng(devices=[]):  # for parameters that are not kept
        made = TopologicalGPS(
            layer.channels,
            None,
            layer.heads,
            layer.dropout,
            norm=None,
            mask=mask,
            feature_map=feature_map,
        )
    made._take(layer.conv, layer.mlp, layer.norm1, layer.norm2, layer.norm3)
    if isinstance(layer.attn, nn.MultiheadAttention):
        made.attn.qkv, made.attn.out = _of_multihead(name, layer.attn)
        made.attn.dropout.p = layer.attn.dropout
    elif isinstance(layer.attn, PerformerAttention):
        made.attn.qkv, made.attn.out = _of_performer(layer.attn)
        made.attn.dropout.p = layer.attn.dropout.p
    else:
        raise value_error(
            name, "a GPSConv of multihead or performer attention", type(layer.attn).__name__
        )
    made.attn.to(made.attn.qkv.weight.device, made.attn.qkv.weight.dtype)
    for module in (made.attn.mask, made.attn.feature_map, made.attn.dropout, made.attn):
        module.train(layer.training)
    made.training = layer.training
    return made


def _of_multihead(name: str, attn: nn.MultiheadAttention) -> tuple[nn.Linear, nn.Linear]:
    """Its projections of queries, keys and values, and of outputs."""
    if not attn._qkv_same_embed_dim or attn.bias_k is not None or attn.add_zero_attn:
        raise value_error(
            name,
            "a GPSConv whose attention has neither kdim, vdim, add_bias_kv nor add_zero_attn",
            repr(attn),
        )
    return _linear(attn.in_proj_weight, attn.in_proj_bias), _linear(
        attn.out_proj.weight, attn.out_proj.bias
    )


def _of_performer(attn: PerformerAttention) -> tuple[nn.Linear, nn.Linear]:
    parts = (attn.q, attn.k, attn.v)
    with torch.no_grad():
        weight = torch.cat([part.weight for part in parts])
        bias = None if attn.q.bias is None else torch.cat([part.bias for part in parts])
    trained = attn.q.weight.requires_grad
    joined = (
        None if each is None else nn.Parameter(each, requires_grad=trained)
        for each in (weight, bias)
    )
    return _linear(*joined), attn.attn_out  # type: ignore[arg-type]


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer of these parameters, not of copies."""
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    made.weight, made.bias = nn.Parameter(weight, weight.requires_grad), bias  # type: ignore[assignment]
    return made
