"""The attributes of edges that reach a local convolution."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg

from graphmask._checks import dtype_error, type_error, value_error
from graphmask.topology import Topology

_OF_EDGES = {"edge_weight", "edge_attr"}
_FLOW = "source_to_target"

# Attributes of PyG's convolutions, and of SupportMax, that hold hops.
_HOPS = ("K", "num_layers", "num_iters", "powers", "hops")

# Convolutions that make their own edges, or read them in both directions, and modules inside
# convolutions that read all nodes.
_WITHOUT_HOPS = {
    "DynamicEdgeConv", "GravNetConv", "XConv", "DirGNNConv", "HypergraphConv",
    "MultilevelAttention", "GPSConv", "MultiheadAttention", "PerformerAttention", "SGFormer",
    "SGFormerAttention", "Polynormer", "PolynormerAttention", "GraphUNet", "TopKPooling",
    "SAGPooling", "ASAPooling", "PANPooling", "EdgePooling", "ClusterPooling", "MemPooling",
}  # fmt: skip


def edge_arguments(conv: nn.Module | None) -> tuple[str, ...]:
    """Arguments among ``edge_weight`` and ``edge_attr`` that a convolution was made for.

    PyG's convolutions read features of edges where their constructor was told so. One of this
    library that reads the topology gets none.

    Example:
        >>> from torch_geometric.nn import GATv2Conv, GCNConv
        >>> from graphmask.nn._convolutions import edge_arguments
        >>> edge_arguments(GCNConv(8, 8)), edge_arguments(GATv2Conv(8, 8))
        (('edge_weight',), ())
        >>> edge_arguments(GATv2Conv(8, 8, edge_dim=3))
        ('edge_attr',)
    """
    if conv is None or getattr(conv, "reads_topology", False):
        return ()
    if not isinstance(conv, nn.Module):
        raise type_error("conv", "a module, such as GCNConv(C, C)", conv)
    parameters = inspect.signature(conv.forward).parameters
    names = [name for name in ("edge_weight", "edge_attr") if name in parameters]
    return tuple(name for name in names if name == "edge_weight" or _width(conv, 1) != 0)


def edge_features(conv: nn.Module, edge_attr: Tensor | None, channels: int) -> Tensor | None:
    """The features of edges for a convolution on ``channels``.

    Raises:
        TypeError: for features that are no floating-point numbers.
        ValueError: for none, or another number than that the convolution was made for.
    """
    width = _width(conv, channels)
    if width is None:
        return edge_attr
    is_optional = isinstance(conv, pyg.GENConv) and not hasattr(conv, "lin_edge")
    if edge_attr is None or (is_optional and edge_attr.shape[1:] != (width,)):
        if is_optional:
            return None
        raise value_error("edge_attr", f"given, since {conv} reads it", "None")
    features = edge_attr[:, None] if edge_attr.dim() == 1 else edge_attr
    if width != -1 and features.shape[1] != width:
        raise value_error("edge_attr", f"of shape [E, D] with D = {width}, as {conv}", edge_attr)
    if not features.is_floating_point():
        raise dtype_error("edge_attr", f"a floating-point tensor, as {conv} reads it", edge_attr)
    return features


def convolve_on(topology: Topology, conv: nn.Module, takes: Sequence[str], x: Tensor) -> Tensor:
    """The output of a convolution that reads the attributes ``takes`` of the edges."""
    arguments = {name: getattr(topology, name) for name in takes}
    if "edge_attr" in arguments:
        arguments["edge_attr"] = edge_features(conv, topology.edge_attr, x.shape[1])
    return convolve(conv, x, topology, **arguments)


def convolve(conv: nn.Module, x: Tensor, edges: Any, **arguments: Any) -> Tensor:
    """The output of a convolution from C to C channels, on edges or on a topology.

    A convolution of this library that ``reads_topology`` gets it as it is, others its edges.

    Raises:
        ValueError: for an output of another shape, which a sum with ``x`` might broadcast.
    """
    for name in _OF_EDGES & arguments.keys():
        arguments[name] = _astype(arguments[name], x.dtype)
    if isinstance(edges, Topology):
        edges.part.check_hops("conv", conv, count_hops(conv))
        given = edges if getattr(conv, "reads_topology", False) else edges.edge_index
        out = edges.part.convolve(conv, x, given, edges, **arguments)
    else:
        out = conv(x, edges, **arguments)
    if not isinstance(out, Tensor) or out.shape != x.shape:
        raise value_error("conv", f"from C to C channels with C = {x.shape[1]}", f"{conv}")
    return out


def _astype(value: Any, dtype: torch.dtype) -> Any:
    """Numbers of edges in the type of the features, as parameters of convolutions are."""
    is_real = isinstance(value, Tensor) and value.is_floating_point()
    return value.to(dtype) if is_real else value


def count_hops(conv: nn.Module) -> int | None:
    """Count the hops within which a convolution reads features of nodes.

    :obj:`None` for one that makes its own edges, follows them backwards, or reads all nodes.

    Example:
        >>> from torch_geometric.nn import GCNConv, GraphSAGE, SGConv
        >>> from graphmask.nn._convolutions import count_hops
        >>> count_hops(GCNConv(8, 8)), count_hops(SGConv(8, 8, K=3)), count_hops(GraphSAGE(8, 8, 2))
        (1, 3, 2)
    """
    layers = list(conv.modules())
    if any(type(layer).__name__ in _WITHOUT_HOPS for layer in layers):
        return None
    if any(getattr(layer, "flow", _FLOW) != _FLOW for layer in layers):
        return None
    return max(1, sum(map(_own_hops, layers)))


def _own_hops(layer: nn.Module) -> int:
    """Hops of one layer without those inside."""
    if not isinstance(layer, pyg.MessagePassing) and not getattr(layer, "reads_topology", False):
        return 0
    counts = [getattr(layer, name, 1) for name in _HOPS]
    return max(count if isinstance(count, int) else max(count, default=1) for count in (1, *counts))


def _width(conv: nn.Module, channels: int) -> int | None:
    """D of the features of edges: 0 for none, -1 before the first, None where it is not known."""
    if isinstance(conv, pyg.models.basic_gnn.BasicGNN):
        return _width(conv.convs[0], channels) if conv.supports_edge_attr else 0
    if isinstance(conv, (pyg.GINEConv, pyg.GENConv)):
        linear = getattr(conv, "lin" if isinstance(conv, pyg.GINEConv) else "lin_edge", None)
        return channels if linear is None else _in_channels(linear)
    if isinstance(conv, pyg.NNConv):
        widths = map(_in_channels, conv.nn.modules())
        return next((width for width in widths if width is not None), None)
    if isinstance(conv, (pyg.CGConv, pyg.GMMConv, pyg.SplineConv)):
        return conv.dim
    for name in ("edge_dim", "in_edge_channels"):
        if hasattr(conv, name):
            return getattr(conv, name) or 0
    return None


def _in_channels(module: nn.Module) -> int | None:
    return getattr(module, "in_channels", getattr(module, "in_features", None))
