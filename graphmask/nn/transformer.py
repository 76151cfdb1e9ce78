"""Transformer blocks and models under topological masks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import JumpingKnowledge
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.nn.dense.linear import Linear as LazyLinear

from graphmask._checks import check_integer, check_probability, type_error, value_error
from graphmask.features import FeatureMap
from graphmask.masks import TopologicalMask
from graphmask.topology import Topology

from .attention import TopologicalAttention
from .pretrained import PretrainedMixin


class TopologicalTransformerLayer(nn.Module):
    r"""A pre-norm transformer block: masked attention, a local convolution beside it, or both.

    Then a feed-forward network.

    .. math::
        h &= x + \text{Attention}(\text{LN}(x)) + \text{Conv}(\text{LN}(x)) \\
        x' &= h + \text{MLP}(\text{LN}(h))

    Args:
        channels: C; a size to be added to the input is known beforehand, so that -1 is refused.
        heads: H, a divisor of C.
        mask: of the attention; :obj:`None` leaves attention out. (default: :obj:`None`)
        conv: a PyG convolution from C to C channels, such as ``GCNConv(C, C)``; weights and
            features of edges reach it if its ``forward`` takes ``edge_weight`` or ``edge_attr``.
            :obj:`None` leaves it out. (default: :obj:`None`)
        feature_map: phi of the attention. (default: :obj:`None`, :class:`~graphmask.features.ReLU`)
        dropout: of both branches and of the feed-forward network. (default: :obj:`0.0`)
        expansion: hidden channels of the feed-forward network, as a multiple of C. (default:
            :obj:`2`)

    Raises:
        ValueError: with neither mask nor convolution, and as :class:`TopologicalAttention` does.

    Cost: that of its attention, of its convolution, and O(N C^2).

    Source: Rampasek et al., "Recipe for a General, Powerful, Scalable Graph Transformer" (NeurIPS
    2022), for the two branches.

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
            raise value_error("mask, conv", "given, one of them at least", "neither")
        check_probability("dropout", dropout)
        hidden = check_integer("expansion", expansion, 1) * check_integer("channels", channels, 1)
        self.attention = (
            None
            if mask is None
            else TopologicalAttention(channels, heads, mask, feature_map, dropout)
        )
        self.channels, self.conv = channels, conv
        taken = () if conv is None else inspect.signature(conv.forward).parameters
        self.conv_takes = tuple(name for name in ("edge_weight", "edge_attr") if name in taken)
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
        edge_attr: Tensor | None = None,
    ) -> Tensor:
        """``[N, C] -> [N, C]``: ``layer(x, edge_index, edge_weight, batch, edge_attr)`` or ``layer(x, topology)``."""
        topology = Topology.of(x, edge_index, edge_weight, batch, edge_attr)
        if x.dim() != 2 or x.shape[1] != self.channels:
            raise value_error("x", f"of shape [N, C] with C = {self.channels}", x)
        normed, mixed = self.norm(x), x
        if self.attention is not None:
            mixed = mixed + self.attention(normed, topology)
        if self.conv is not None:
            mixed = mixed + self.dropout(self._convolve(normed, topology))
        return mixed + self.feed_forward(mixed)

    def _convolve(self, x: Tensor, topology: Topology) -> Tensor:
        given = {name: getattr(topology, name) for name in self.conv_takes}
        return self.conv(x, topology.edge_index, **given)  # type: ignore[misc]


class TopologicalTransformer(PretrainedMixin, nn.Module):
    r"""A graph transformer: a linear encoder, ``num_layers`` blocks, and a linear head on nodes or pooled graphs.

    Outputs per pair of nodes are had from :class:`~graphmask.nn.EdgeHead` on the outputs per node.
    Trained models are written to a folder by ``save_pretrained`` and read back by
    ``from_pretrained``.

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
        jk: jumping knowledge, what the head reads of all blocks: ``"cat"``, ``"max"``, ``"lstm"``,
            or a ``torch_geometric.nn.JumpingKnowledge`` of C channels; :obj:`None` reads the last
            alone. (default: :obj:`None`)

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
        >>> model = gm.nn.TopologicalTransformer(-1, 8, 5, num_layers=2, heads=2, mask=mask, pool=global_mean_pool, jk="cat")
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
    ) -> None:
        super().__init__()
        for name, value in (("hidden_channels", hidden_channels), ("num_layers", num_layers)):
            check_integer(name, value, 1)
        if pool is not None and not callable(pool):
            raise type_error("pool", "a pooling function or an Aggregation", pool)
        self.hidden_channels, self.heads, self.dropout = hidden_channels, heads, dropout
        self.out_channels = check_integer("out_channels", out_channels, 1)
        self.encoder = _encoder(in_channels, hidden_channels)
        blocks = (deepcopy((mask, conv, feature_map)) for _ in range(num_layers))
        self.layers = nn.ModuleList(
            TopologicalTransformerLayer(hidden_channels, heads, *block, dropout=dropout)
            for block in blocks
        )
        self.jk = _jumping_knowledge(jk, hidden_channels, num_layers)
        read = (
            num_layers * hidden_channels
            if self.jk is not None and self.jk.mode == "cat"
            else hidden_channels
        )
        self.norm = nn.LayerNorm(read)
        self.head = nn.Linear(read, out_channels)
        self.pool = pool
        for layer in self.layers:
            layer.reset_parameters()  # type: ignore[operator]

    @property
    def in_channels(self) -> int:
        """Channels of the input; -1 as long as there was none to read them from."""
        return (
            self.encoder.in_features
            if isinstance(self.encoder, nn.Linear)
            else self.encoder.in_channels
        )

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        for module in (self.encoder, *self.layers, self.jk, self.norm, self.head, self.pool):
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def forward(
        self,
        x: Tensor,
        edge_index: Topology | Any,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        edge_attr: Tensor | None = None,
    ) -> Tensor:
        """Outputs of nodes or graphs.

        ``model(x, edge_index, edge_weight, batch, edge_attr)`` or ``model(x, topology)``.
        """
        topology = Topology.of(x, edge_index, edge_weight, batch, edge_attr)
        if x.dim() != 2 or self.in_channels not in (-1, x.shape[1]):
            raise value_error(
                "x", f"of shape [N, in_channels] with in_channels = {self.in_channels}", x
            )
        topology = self._prepare(topology)
        return self.head(self._readout(self.norm(self._encode(x, topology)), topology))

    def _encode(self, x: Tensor, topology: Topology) -> Tensor:
        """What the blocks make of x."""
        x, known = self.encoder(x), []
        for layer in self.layers:
            x = layer(x, topology)
            if self.jk is not None:
                known.append(x)
        return x if self.jk is None else self.jk(known)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments, from which a model like this one is made."""
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
        }

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
        return f"{type(self).__name__}(\n" + "".join(f"  {line},\n" for line in self._lines()) + ")"

    def _lines(self) -> Iterator[str]:
        """Sizes, and then each part that there is."""
        given = self.arguments()
        sizes = {name: given.pop(name) for name in list(given)[:5]}
        yield ", ".join(f"{name}={size}" for name, size in sizes.items())
        for name, part in given.items():
            if part is not None and part != 0:
                text = part.__name__ if inspect.isfunction(part) else repr(part)
                yield f"{name}={text}".replace("\n", "\n  ")


def _encoder(in_channels: int, hidden_channels: int) -> nn.Linear | LazyLinear:
    if in_channels == -1 and not isinstance(in_channels, bool):
        return LazyLinear(-1, hidden_channels)
    return nn.Linear(check_integer("in_channels", in_channels, 1), hidden_channels)


def _jumping_knowledge(
    jk: str | JumpingKnowledge | None, channels: int, num_layers: int
) -> JumpingKnowledge | None:
    if jk is None or isinstance(jk, JumpingKnowledge):
        made = deepcopy(jk)
    elif jk in ("cat", "max", "lstm"):
        made = JumpingKnowledge(jk, channels, num_layers)
    elif isinstance(jk, str):
        raise value_error("jk", "'cat', 'max', 'lstm' or None", jk)
    else:
        raise type_error("jk", "a string or a JumpingKnowledge", jk)
    if (
        made is not None
        and made.mode == "lstm"
        and (made.channels, made.num_layers) != (channels, num_layers)
    ):
        expected = f"of hidden_channels = {channels} and num_layers = {num_layers}"
        raise value_error("jk", expected, f"{made.channels} channels and {made.num_layers} layers")
    return made
