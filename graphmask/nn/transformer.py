"""Transformer blocks and models under topological masks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import Aggregation

from graphmask._checks import check_integer, check_probability, refuse, refuse_type
from graphmask.features import FeatureMap
from graphmask.masks import TopologicalMask
from graphmask.topology import Topology

from .attention import TopologicalAttention


class TopologicalTransformerLayer(nn.Module):
    r"""A pre-norm transformer block: masked attention, a local convolution beside it, or both; then a feed-forward network.

    .. math::
        h &= x + \text{Attention}(\text{LN}(x)) + \text{Conv}(\text{LN}(x)) \\
        x' &= h + \text{MLP}(\text{LN}(h))

    Args:
        channels: C.
        heads: H, a divisor of C.
        mask: of the attention; :obj:`None` leaves attention out. (default: :obj:`None`)
        conv: a PyG convolution from C to C channels, such as ``GCNConv(C, C)``; the edge weights reach it if its ``forward``
            takes ``edge_weight``. :obj:`None` leaves it out. (default: :obj:`None`)
        feature_map: phi of the attention. (default: :obj:`None`, :class:`~graphmask.features.ReLU`)
        dropout: of both branches and of the feed-forward network. (default: :obj:`0.0`)
        expansion: hidden channels of the feed-forward network, as a multiple of C. (default: :obj:`2`)

    Raises:
        ValueError: with neither mask nor convolution, and as :class:`TopologicalAttention` does.

    Cost: that of its attention, of its convolution, and O(N C^2).

    Source: Rampasek et al., "Recipe for a General, Powerful, Scalable Graph Transformer" (NeurIPS 2022), for the two branches.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.nn import GCNConv
        >>> layer = gm.nn.TopologicalTransformerLayer(8, heads=2, mask=gm.masks.GlobalMask(), conv=GCNConv(8, 8))
        >>> layer(torch.randn(3, 8), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])).shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        mask: TopologicalMask | None = None,
        conv: nn.Module | None = None,
        feature_map: FeatureMap | None = None,
        dropout: float = 0.0,
        expansion: int = 2,
    ) -> None:
        super().__init__()
        if mask is None and conv is None:
            raise refuse("mask, conv", "given, one of them at least", "neither")
        check_probability("dropout", dropout)
        hidden = check_integer("expansion", expansion, 1) * check_integer("channels", channels, 1)
        self.attention = None if mask is None else TopologicalAttention(channels, heads, mask, feature_map, dropout)
        self.channels, self.conv = channels, conv
        self.conv_takes_weight = conv is not None and "edge_weight" in inspect.signature(conv.forward).parameters
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, channels),
            nn.Dropout(dropout),
        )

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        for module in (self.attention, self.conv, self.norm, *self.feed_forward):
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def forward(
        self,
        x: Tensor,
        edge_index: Topology | Any,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """``[N, C] -> [N, C]``: ``layer(x, edge_index, edge_weight, batch)`` or ``layer(x, topology)``."""
        topology = Topology.of(x, edge_index, edge_weight, batch)
        if x.dim() != 2 or x.shape[1] != self.channels:
            raise refuse("x", f"of shape [N, C] with C = {self.channels}", x)
        normed, mixed = self.norm(x), x
        if self.attention is not None:
            mixed = mixed + self.attention(normed, topology)
        if self.conv is not None:
            mixed = mixed + self.dropout(self._convolve(normed, topology))
        return mixed + self.feed_forward(mixed)

    def _convolve(self, x: Tensor, topology: Topology) -> Tensor:
        weight = {"edge_weight": topology.edge_weight} if self.conv_takes_weight else {}
        return self.conv(x, topology.edge_index, **weight)  # type: ignore[misc]


class TopologicalTransformer(nn.Module):
    r"""A graph transformer: a linear encoder, ``num_layers`` blocks, and a linear head on nodes or pooled graphs.

    Args:
        in_channels: channels of the input.
        hidden_channels: C, of the blocks.
        out_channels: channels of the output.
        num_layers: number of blocks.
        heads: H, a divisor of C.
        mask: of the attention; every block learns its own copy. :obj:`None` leaves attention out. (default: :obj:`None`)
        pool: :obj:`None` for an output per node; a PyG pooling function such as ``global_mean_pool``, called as
            ``pool(x, batch, size)``, or an ``Aggregation``, for an output per graph. (default: :obj:`None`)
        conv: a local convolution from C to C channels beside the attention; every block learns its own copy.
            (default: :obj:`None`)
        feature_map: phi. (default: :obj:`None`, :class:`~graphmask.features.ReLU`)
        dropout: of every block. (default: :obj:`0.0`)

    Shapes:
        - **input:** node features ``[N, in_channels]``, ``edge_index [2, E]`` or a :class:`~graphmask.Topology`,
          ``edge_weight [E]``, ``batch [N]`` in any order
        - **output:** ``[N, out_channels]``, or ``[B, out_channels]`` with ``pool``

    Raises:
        ValueError: as :class:`TopologicalTransformerLayer` does, and where x has not ``in_channels`` channels.

    Cost: linear in N for every mask of this library.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.nn import global_mean_pool
        >>> mask = gm.masks.WalkMask(hops=2, heads=2)
        >>> model = gm.nn.TopologicalTransformer(3, 8, 5, num_layers=2, heads=2, mask=mask, pool=global_mean_pool)
        >>> x, edge_index = torch.randn(4, 3), torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
        >>> model(x, edge_index, batch=torch.tensor([0, 0, 1, 1])).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int,
        heads: int,
        mask: TopologicalMask | None = None,
        pool: Callable[..., Tensor] | None = None,
        conv: nn.Module | None = None,
        feature_map: FeatureMap | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("hidden_channels", hidden_channels), ("num_layers", num_layers)):
            check_integer(name, value, 1)
        if pool is not None and not callable(pool):
            raise refuse_type("pool", "a pooling function or an Aggregation", pool)
        self.in_channels, self.out_channels = in_channels, check_integer("out_channels", out_channels, 1)
        self.encoder = nn.Linear(in_channels, hidden_channels)
        blocks = (deepcopy((mask, conv, feature_map)) for _ in range(num_layers))
        self.layers = nn.ModuleList(
            TopologicalTransformerLayer(hidden_channels, heads, *block, dropout=dropout) for block in blocks
        )
        self.norm = nn.LayerNorm(hidden_channels)
        self.head = nn.Linear(hidden_channels, out_channels)
        self.pool = pool
        for layer in self.layers:
            layer.reset_parameters()  # type: ignore[operator]

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        for module in (self.encoder, *self.layers, self.norm, self.head, self.pool):
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def forward(
        self,
        x: Tensor,
        edge_index: Topology | Any,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """Classify nodes or graphs: ``model(x, edge_index, edge_weight, batch)`` or ``model(x, topology)``."""
        topology = Topology.of(x, edge_index, edge_weight, batch)
        if x.dim() != 2 or x.shape[1] != self.in_channels:
            raise refuse("x", f"of shape [N, in_channels] with in_channels = {self.in_channels}", x)
        topology = self._prepare(topology)
        x = self.encoder(x)
        for layer in self.layers:
            x = layer(x, topology)
        return self.head(self._readout(self.norm(x), topology))

    def _prepare(self, topology: Topology) -> Topology:
        """Walks, if the mask reads them, drawn once for all blocks."""
        first = self.layers[0].attention
        return first.mask.prepare(topology) if isinstance(first, TopologicalAttention) else topology

    def _readout(self, x: Tensor, topology: Topology) -> Tensor:
        if self.pool is None:
            return x
        batch = topology.local_index.new_zeros(len(x)) if topology.batch is None else topology.batch
        if isinstance(self.pool, Aggregation):
            order = torch.argsort(batch, stable=True)  # several aggregations need sorted graphs
            return self.pool(x[order], index=batch[order], dim_size=topology.num_graphs)
        return self.pool(x, batch, topology.num_graphs)

    def __repr__(self) -> str:
        return (
            f"TopologicalTransformer({self.in_channels}, {self.out_channels}, num_layers={len(self.layers)}, "
            f"layer={self.layers[0].attention or self.layers[0].conv!r})"
        )
