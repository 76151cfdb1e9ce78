"""Transformer blocks and models under topological masks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import JumpingKnowledge
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.nn.dense.linear import Linear as LazyLinear
from torch_geometric.nn.inits import reset
from torch_geometric.nn.resolver import normalization_resolver

from graphmask._checks import check_integer, check_probability, type_error, value_error
from graphmask.features import FeatureMap
from graphmask.masks import TopologicalMask
from graphmask.normalizers import Normalizer
from graphmask.topology import Topology
from graphmask.values import ValueMap

from ._convolutions import convolve, edge_arguments, edge_features
from .attention import TopologicalAttention
from .pretrained import PretrainedMixin


class TopologicalTransformerLayer(nn.Module):
    r"""A pre-norm transformer block: masked attention, a local convolution or both, then an MLP.

    .. math::
        h &= x + \text{Attention}(\text{LN}(x)) + \text{Conv}(\text{LN}(x)) \\
        x' &= h + \text{MLP}(\text{LN}(h))

    Args:
        channels: C, of input and output.
        heads: H, a divisor of C.
        mask: of the attention; :obj:`None` leaves attention out. (default: :obj:`None`)
        conv: a PyG convolution from C to C channels, such as ``GCNConv(C, C)``; :obj:`None` leaves
            it out. Weights of edges reach it if its ``forward`` takes ``edge_weight``, features if
            it takes ``edge_attr`` and was made for them, such as ``GATv2Conv(C, C, edge_dim=D)``
            or ``GINEConv``; others do not use them. (default: :obj:`None`)
        feature_map: phi of the attention. (default: :obj:`None`, :class:`~graphmask.features.ReLU`)
        dropout: of both branches and of the feed-forward network. (default: :obj:`0.0`)
        expansion: hidden channels of the feed-forward network, as a multiple of C. (default:
            :obj:`2`)
        normalizer: of the attention. (default: :obj:`None`,
            :class:`~graphmask.normalizers.RowSums`)
        norm: before both branches, a name that PyG's resolver of normalisations knows, such as
            ``"batch_norm"``. (default: :obj:`None`, layer normalisation of each node)
        values: map of values of the attention. (default: :obj:`None`, none)

    Raises:
        TypeError: where the convolution is no module.
        ValueError: with neither mask nor convolution, where the convolution reads features of edges
            and there are none or others, or has another number of channels, and as
            :class:`TopologicalAttention` does.

    Cost: that of its attention, of its convolution, and O(N C^2).

    Source: Rampasek et al., "Recipe for a General, Powerful, Scalable Graph Transformer" (NeurIPS
    2022), for the two branches.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.nn import GCNConv
        >>> mask, conv = gm.masks.GlobalMask(), GCNConv(8, 8)
        >>> layer = gm.nn.TopologicalTransformerLayer(8, heads=2, mask=mask, conv=conv)
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
        normalizer: Normalizer | None = None,
        norm: str | None = None,
        values: ValueMap | None = None,
    ) -> None:
        super().__init__()
        if mask is None and conv is None:
            raise value_error("mask, conv", "given, one of them at least", "neither")
        check_probability("dropout", dropout)
        hidden = check_integer("expansion", expansion, 1) * check_integer("channels", channels, 1)
        self.attention = (
            None
            if mask is None
            else TopologicalAttention(
                channels, heads, mask, feature_map, dropout, normalizer, values
            )
        )
        self.channels, self.conv = channels, conv
        self.conv_takes = edge_arguments(conv)
        self.norm = make_norm(norm, channels)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = nn.Sequential(
            make_norm(norm, channels),
            nn.Linear(channels, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, channels),
            nn.Dropout(dropout),
        )

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        for module in (self.attention, self.conv, self.norm, self.feed_forward):
            reset(module)

    def forward(
        self,
        x: Tensor,
        edge_index: Topology | Any,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        edge_attr: Tensor | None = None,
    ) -> Tensor:
        """``[N, C] -> [N, C]``: ``layer(x, edge_index, ...)`` or ``layer(x, topology)``."""
        topology = Topology.of(x, edge_index, edge_weight, batch, edge_attr)
        if x.shape[1] != self.channels:
            raise value_error("x", f"of shape [N, C] with C = {self.channels}", x)
        hidden, out = self.norm(x), x
        if self.attention is not None:
            out = out + self.attention(hidden, topology)
        if self.conv is not None:
            arguments = {name: getattr(topology, name) for name in self.conv_takes}
            if "edge_attr" in arguments:
                features = edge_features(self.conv, topology.edge_attr, self.channels)
                arguments["edge_attr"] = features
            out = out + self.dropout(convolve(self.conv, hidden, topology.edge_index, **arguments))
        return out + self.feed_forward(out)


class TopologicalTransformer(PretrainedMixin, nn.Module):
    r"""A graph transformer: a linear encoder, ``num_layers`` blocks, and a linear head.

    For outputs per pair of nodes apply :class:`~graphmask.nn.EdgeHead` to the outputs per node.
    ``save_pretrained`` writes trained models to a folder, and ``from_pretrained`` reads them.

    Args:
        in_channels: channels of the input; -1 reads them from the first input.
        hidden_channels: C, of the blocks.
        out_channels: channels of the output.
        num_layers: number of blocks.
        heads: H, a divisor of C.
        mask: of the attention; every block learns its own copy. :obj:`None` leaves attention out.
            (default: :obj:`None`)
        pool: :obj:`None` for an output per node; a PyG pooling function such as
            ``global_mean_pool``, called as ``pool(x, batch, size)``, or an ``Aggregation``, for an
            output per graph. (default: :obj:`None`)
        conv: a local convolution from C to C channels beside the attention; every block learns its
            own copy. (default: :obj:`None`)
        feature_map: phi. (default: :obj:`None`, :class:`~graphmask.features.ReLU`)
        dropout: of every block. (default: :obj:`0.0`)
        jk: jumping knowledge, the aggregation of all blocks that the head reads: ``"cat"``,
            ``"max"``, ``"lstm"``, or a ``torch_geometric.nn.JumpingKnowledge`` of C channels; with
            :obj:`None` the head reads the last block alone. (default: :obj:`None`)
        normalizer: of the attention; every block learns its own copy. (default: :obj:`None`,
            :class:`~graphmask.normalizers.RowSums`)
        norm: of every block, see :class:`TopologicalTransformerLayer`. (default: :obj:`None`)
        values: map of values of the attention, such as
            :class:`~graphmask.values.RotaryValues`; every block learns its own copy. (default:
            :obj:`None`)

    Shapes:
        - **input:** node features ``[N, in_channels]``, ``edge_index [2, E]`` or a
          :class:`~graphmask.Topology`, ``edge_weight [E]``, ``batch [N]`` in any order, ``edge_attr
          [E, D]`` for masks and convolutions that read it
        - **output:** ``[N, out_channels]``, or ``[B, out_channels]`` with ``pool``

    Raises:
        ValueError: as :class:`TopologicalTransformerLayer` does, and where x has not
            ``in_channels`` channels.

    Cost: linear in N for every mask of this library.

    Source: Xu et al., "Representation Learning on Graphs with Jumping Knowledge Networks" (ICML
    2018), for ``jk``.

    Example:
        >>> import torch, graphmask as gm
        >>> from torch_geometric.nn import global_mean_pool
        >>> mask = gm.masks.WalkMask(hops=2, heads=2)
        >>> model = gm.nn.TopologicalTransformer(
        ...     -1, 8, 5, num_layers=2, heads=2, mask=mask, pool=global_mean_pool, jk="cat"
        ... )
        >>> x, edge_index = torch.randn(4, 3), torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
        >>> model(x, edge_index, batch=torch.tensor([0, 0, 1, 1])).shape
        torch.Size([2, 5])
        >>> model
        TopologicalTransformer(
          in_channels=3, hidden_channels=8, out_channels=5, num_layers=2, heads=2,
          mask=WalkMask(hops=2, heads=2, alpha=Free),
          pool=global_mean_pool,
          feature_map=ReLU(epsilon=0.001),
          jk=JumpingKnowledge(cat),
          normalizer=RowSums(),
        )
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
        jk: str | JumpingKnowledge | None = None,
        normalizer: Normalizer | None = None,
        norm: str | None = None,
        values: ValueMap | None = None,
    ) -> None:
        super().__init__()
        check_integer("hidden_channels", hidden_channels, 1)
        check_integer("num_layers", num_layers, 1)
        if pool is not None and not callable(pool):
            raise type_error("pool", "a pooling function or an Aggregation", pool)
        self.hidden_channels, self.heads, self.dropout = hidden_channels, heads, dropout
        self.out_channels = check_integer("out_channels", out_channels, 1)
        self.encoder = _encoder(in_channels, hidden_channels)
        self.block_norm = norm
        self.layers = nn.ModuleList(
            TopologicalTransformerLayer(
                hidden_channels,
                heads,
                *deepcopy((mask, conv, feature_map)),
                dropout=dropout,
                normalizer=deepcopy(normalizer),
                norm=norm,
                values=deepcopy(values),
            )
            for _ in range(num_layers)
        )
        self.jk = _jumping_knowledge(jk, hidden_channels, num_layers)
        is_cat = self.jk is not None and self.jk.mode == "cat"
        channels = num_layers * hidden_channels if is_cat else hidden_channels
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, out_channels)
        self.pool = pool
        for layer in self.layers:
            layer.reset_parameters()  # type: ignore[operator]

    @property
    def in_channels(self) -> int:
        """Channels of the input; -1 until the first input where they are read from it."""
        encoder = self.encoder
        return encoder.in_channels if isinstance(encoder, LazyLinear) else encoder.in_features

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        for module in (self.encoder, *self.layers, self.jk, self.norm, self.head, self.pool):
            reset(module)

    def forward(
        self,
        x: Tensor,
        edge_index: Topology | Any,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        edge_attr: Tensor | None = None,
    ) -> Tensor:
        """Outputs of nodes or graphs: ``model(x, edge_index, ...)`` or ``model(x, topology)``."""
        topology = Topology.of(x, edge_index, edge_weight, batch, edge_attr)
        if self.in_channels not in (-1, x.shape[1]):
            expected = f"of shape [N, in_channels] with in_channels = {self.in_channels}"
            raise value_error("x", expected, x)
        attention = self.layers[0].attention
        if isinstance(attention, TopologicalAttention):
            # Walks, if the mask reads them, are drawn once for all blocks.
            topology = attention.mask.draw_walks(topology)
        return self.head(self._readout(self.norm(self._encode(x, topology)), topology))

    def _encode(self, x: Tensor, topology: Topology) -> Tensor:
        """The output of the last block, or the aggregation of those of all blocks."""
        x, outputs = self.encoder(x), []
        for layer in self.layers:
            x = layer(x, topology)
            if self.jk is not None:
                outputs.append(x)
        return x if self.jk is None else self.jk(outputs)

    def arguments(self) -> dict[str, Any]:
        """The arguments of the constructor, by name."""
        first = self.layers[0]
        return {
            "in_channels": self.in_channels,
            "hidden_channels": self.hidden_channels,
            "out_channels": self.out_channels,
            "num_layers": len(self.layers),
            "heads": self.heads,
            "mask": getattr(first.attention, "mask", None),
            "pool": self.pool,
            "conv": first.conv,
            "feature_map": getattr(first.attention, "feature_map", None),
            "dropout": self.dropout,
            "jk": self.jk,
            "normalizer": getattr(first.attention, "normalizer", None),
            "norm": self.block_norm,
            "values": getattr(first.attention, "values", None),
        }

    def _readout(self, x: Tensor, topology: Topology) -> Tensor:
        if self.pool is None:
            return x
        batch = topology.local_index.new_zeros(len(x)) if topology.batch is None else topology.batch
        if isinstance(self.pool, Aggregation):
            # Several aggregations need sorted graphs.
            order = torch.argsort(batch, stable=True)
            return self.pool(x[order], index=batch[order], dim_size=topology.num_graphs)
        return self.pool(x, batch, topology.num_graphs)

    def __repr__(self) -> str:
        arguments = list(self.arguments().items())
        lines = [", ".join(f"{name}={size}" for name, size in arguments[:5])]
        for name, value in arguments[5:]:
            if value is not None and value != 0:
                text = value.__name__ if inspect.isfunction(value) else repr(value)
                lines.append(f"{name}={text}".replace("\n", "\n  "))
        return f"{type(self).__name__}(\n" + "".join(f"  {line},\n" for line in lines) + ")"


def make_norm(norm: str | None, channels: int) -> nn.Module:
    """A normalisation that reads features alone, by the name that PyG's resolver knows."""
    if norm is None:
        return nn.LayerNorm(channels)
    if not isinstance(norm, str):
        raise type_error("norm", "the name of a normalisation, such as 'batch_norm'", norm)
    module = normalization_resolver(norm, channels)
    if "batch" in inspect.signature(module.forward).parameters:
        raise value_error("norm", "a normalisation that reads no `batch`, or None", norm)
    return module


def _encoder(in_channels: int, hidden_channels: int) -> nn.Linear | LazyLinear:
    if in_channels == -1 and not isinstance(in_channels, bool):
        return LazyLinear(-1, hidden_channels)
    return nn.Linear(check_integer("in_channels", in_channels, 1), hidden_channels)


def _jumping_knowledge(
    jk: str | JumpingKnowledge | None, channels: int, num_layers: int
) -> JumpingKnowledge | None:
    if jk is None:
        return None
    if isinstance(jk, str):
        if jk not in ("cat", "max", "lstm"):
            raise value_error("jk", "'cat', 'max', 'lstm' or None", jk)
        return JumpingKnowledge(jk, channels, num_layers)
    if not isinstance(jk, JumpingKnowledge):
        raise type_error("jk", "a string or a JumpingKnowledge", jk)
    if jk.mode == "lstm" and (jk.channels, jk.num_layers) != (channels, num_layers):
        expected = f"of hidden_channels = {channels} and num_layers = {num_layers}"
        raise value_error("jk", expected, f"{jk.channels} channels and {jk.num_layers} layers")
    return deepcopy(jk)
