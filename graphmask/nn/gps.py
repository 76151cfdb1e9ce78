"""PyG's GPS layer under topological masks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn.inits import reset
from torch_geometric.nn.resolver import activation_resolver, normalization_resolver

from graphmask._checks import check_integer, check_probability, value_error
from graphmask.features import FeatureMap
from graphmask.masks import TopologicalMask, WalkMask
from graphmask.topology import Topology

from ._convolutions import convolve, edge_arguments, edge_features
from ._parts import check_precision
from .attention import TopologicalAttention


class TopologicalGPS(nn.Module):
    r"""PyG's ``GPSConv`` under a topological mask: a convolution beside attention, then an MLP.

    .. math::
        h_1 &= \text{norm}_1(x + \text{conv}(x, E)) \\
        h_2 &= \text{norm}_2(x + \text{attn}(x, M)) \\
        x' &= \text{norm}_3(h_1 + h_2 + \text{mlp}(h_1 + h_2))

    Arguments, attributes (``conv``, ``attn``, ``mlp``, ``norm1`` to ``norm3``) and the order of
    operations are those of ``torch_geometric.nn.GPSConv``, with ``mask`` and ``feature_map`` in
    place of ``attn_type`` and ``attn_kwargs``. Nothing is padded: nodes of a batch come in any
    order, and the output of a graph is the same alone and in any batch, as far as it is for the
    norms: for batch normalisation in evaluation, for layer, graph and instance normalisation
    always.

    Args:
        channels: C, of input and output.
        conv: the local message passing layer from C to C channels, or :obj:`None`.
        heads: H, a divisor of C. (default: :obj:`1`)
        dropout: after convolution and attention, and in the feed-forward network. (default:
            :obj:`0.0`)
        act: activation of the feed-forward network, as PyG resolves it. (default: :obj:`"relu"`)
        act_kwargs: its arguments. (default: :obj:`None`)
        norm: normalisation, as PyG resolves it, or :obj:`None` for none. (default:
            :obj:`"batch_norm"`)
        norm_kwargs: its arguments. (default: :obj:`None`)
        mask: M, of H heads or one. (default: :obj:`None`, ``WalkMask(heads=H)``)
        feature_map: phi of the attention. (default: :obj:`None`, :class:`~graphmask.features.ReLU`)

    Shapes:
        - **input:** node features ``[N, C]``, ``edge_index [2, E]`` or a
          :class:`~graphmask.Topology`, ``batch [N]`` in any order, and keywords of ``conv``
        - **output:** ``[N, C]``

    Raises:
        ValueError: as :class:`TopologicalAttention` does.

    Cost: that of its attention, of its convolution, and O(N C^2). From a raw ``edge_index`` a mask
    on walks draws them in every call; draw them once per graph with
    :class:`~graphmask.transforms.AddWalks`, and pass ``Topology.from_data(data)`` in place of
    ``edge_index``.

    Source: Rampasek et al., "Recipe for a General, Powerful, Scalable Graph Transformer" (NeurIPS
    2022).

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.nn import GINConv
        >>> conv = GINConv(torch.nn.Linear(8, 8))
        >>> layer = gm.nn.TopologicalGPS(8, conv, heads=2, mask=gm.masks.WalkMask(hops=2, heads=2))
        >>> x, edge_index = torch.randn(3, 8), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> layer(x, edge_index, batch=torch.tensor([0, 0, 0])).shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        channels: int,
        conv: nn.Module | None,
        heads: int = 1,
        dropout: float = 0.0,
        act: str | Callable[..., Any] = "relu",
        act_kwargs: dict[str, Any] | None = None,
        norm: str | Callable[..., Any] | None = "batch_norm",
        norm_kwargs: dict[str, Any] | None = None,
        mask: TopologicalMask | None = None,
        feature_map: FeatureMap | None = None,
    ) -> None:
        super().__init__()
        self.channels = check_integer("channels", channels, 1)
        self.heads = check_integer("heads", heads, 1)
        self.dropout = check_probability("dropout", dropout)
        self.attn = TopologicalAttention(
            channels, heads, WalkMask(heads=heads) if mask is None else mask, feature_map
        )
        mlp = nn.Sequential(
            nn.Linear(channels, channels * 2),
            activation_resolver(act, **(act_kwargs or {})),
            nn.Dropout(dropout),
            nn.Linear(channels * 2, channels),
            nn.Dropout(dropout),
        )
        norms = (normalization_resolver(norm, channels, **(norm_kwargs or {})) for _ in range(3))
        self._set_parts(conv, mlp, *norms)

    def _set_parts(self, conv: nn.Module | None, mlp: nn.Module, *norms: nn.Module | None) -> None:
        """Set all submodules but the attention."""
        self.conv, self.mlp = conv, mlp
        self.norm1, self.norm2, self.norm3 = norms
        self._conv_takes = edge_arguments(conv)
        parameters = {} if conv is None else inspect.signature(conv.forward).parameters
        kinds = [parameter.kind for parameter in parameters.values()]
        self._conv_takes_any = inspect.Parameter.VAR_KEYWORD in kinds
        self._norm_arguments = {"batch", "batch_size"} & set(_arguments(self.norm1))

    def reset_parameters(self) -> None:
        """Reset all learnable parameters, the mask's included."""
        for module in (self.conv, self.attn, self.mlp, self.norm1, self.norm2, self.norm3):
            reset(module)

    def forward(
        self,
        x: Tensor,
        edge_index: Topology | Any,
        batch: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """``[N, C] -> [N, C]``, as PyG's layer, or ``layer(x, topology, **kwargs)``.

        Keyword arguments reach the convolution; ``edge_weight`` and ``edge_attr`` reach the mask,
        and the convolution if it was made for them. A topology has its own; ``batch`` may be passed
        beside a topology where it is that of the topology, as models written for PyG's layer do.
        """
        edge_attr = kwargs.get("edge_attr")
        if isinstance(edge_index, Topology):
            batch = None if batch is edge_index.batch else batch
            edge_attr = None
        topology = Topology.of(x, edge_index, kwargs.get("edge_weight"), batch, edge_attr)
        if x.shape[1] != self.channels:
            raise value_error("x", f"of shape [N, C] with C = {self.channels}", x)
        check_precision(x, self.attn.qkv)
        topology.part.check_modules(self)
        wide, graph = topology.gather(x)
        if isinstance(edge_index, Topology):
            edge_index = graph
        local = None if self.conv is None else self._convolve(wide, edge_index, graph, kwargs)
        if local is not None:
            local = self._normalize(self.norm1, topology.release(local) + x, topology)
        attended = topology.release(self.attn(wide, graph))
        out = self._normalize(self.norm2, self._drop(attended) + x, topology)
        out = out if local is None else local + out
        return self._normalize(self.norm3, out + self.mlp(out), topology)

    def _convolve(
        self, x: Tensor, edges: Any, topology: Topology, kwargs: dict[str, Any]
    ) -> Tensor:
        conv: Any = self.conv
        kwargs = {name: value for name, value in kwargs.items() if name != "edge_weight"}
        # Sparse matrices bring their weights along.
        is_index = isinstance(edges, Topology) or (
            isinstance(edges, Tensor) and edges.layout == torch.strided
        )
        if "edge_weight" in self._conv_takes and is_index:
            kwargs["edge_weight"] = topology.edge_weight
        if "edge_attr" in self._conv_takes:
            edge_attr = kwargs.get("edge_attr")
            edge_attr = topology.edge_attr if edge_attr is None else edge_attr
            kwargs["edge_attr"] = edge_features(conv, edge_attr, self.channels)
        elif not self._conv_takes_any:
            kwargs.pop("edge_attr", None)
        return self._drop(convolve(conv, x, edges, **kwargs))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, p=self.dropout, training=self.training)

    def _normalize(self, norm: nn.Module | None, x: Tensor, topology: Topology) -> Tensor:
        if norm is None:
            return x
        # Without a batch PyG's layer normalisation has a formula that differs by 1e-5.
        batch = x.new_zeros(len(x), dtype=torch.long) if topology.batch is None else topology.batch
        arguments = {"batch": batch, "batch_size": topology.num_graphs}
        return norm(x, **{name: arguments[name] for name in self._norm_arguments})

    def __repr__(self) -> str:
        parts = f"conv={self.conv}, heads={self.heads}, mask={self.attn.mask!r}"
        return f"TopologicalGPS({self.channels}, {parts})"


def _arguments(module: nn.Module | None) -> tuple[str, ...]:
    """Names of the arguments of the forward method."""
    return () if module is None else tuple(inspect.signature(module.forward).parameters)
