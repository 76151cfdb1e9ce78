"""One block of a graph transformer."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch_geometric.nn.inits import reset

from graphmask._checks import check_integer, check_probability, value_error
from graphmask.features import FeatureMap
from graphmask.masks import TopologicalMask
from graphmask.normalizers import Normalizer
from graphmask.topology import Topology
from graphmask.values import ValueMap

from ._convolutions import convolve_on, edge_arguments
from ._parts import check_module, check_output, check_precision, make_norm
from .attention import TopologicalAttention
from .placement import BeforeAttention, OnValues


class TopologicalTransformerLayer(nn.Module):
    r"""A pre-norm transformer block: masked attention, a local convolution or both, then an MLP.

    .. math::
        h &= \text{Skip}(x) + \text{Attention}(\text{Norm}(x)) + \text{Conv}(\text{Norm}(x)) \\
        x' &= h + \text{MLP}(\text{Norm}(h))

    Args:
        channels: C, of input and output.
        heads: H, a divisor of C.
        mask: of the attention; :obj:`None` leaves attention out. (default: :obj:`None`)
        conv: a PyG convolution from C to C channels, such as ``GCNConv(C, C)``; :obj:`None` leaves
            it out. Weights of edges reach it if its ``forward`` takes ``edge_weight``, features if
            it takes ``edge_attr`` and was made for them, such as ``GATv2Conv(C, C, edge_dim=D)``
            or ``GINEConv``; others do not use them. It stands beside the attention;
            :class:`~graphmask.nn.BeforeAttention` and :class:`~graphmask.nn.OnValues` place it
            elsewhere. (default: :obj:`None`)
        feature_map: phi of the attention. (default: :obj:`None`, :class:`~graphmask.features.ReLU`)
        dropout: of both branches and of the feed-forward network. (default: :obj:`0.0`)
        expansion: hidden channels of the feed-forward network, as a multiple of C. (default:
            :obj:`2`)
        normalizer: of the attention. (default: :obj:`None`,
            :class:`~graphmask.normalizers.RowSums`)
        norm: before both branches, a name that PyG's resolver of normalisations knows, such as
            ``"batch_norm"``; :obj:`None` for layer normalisation of each node. (default:
            ``"batch_norm"``, as in ``torch_geometric.nn.GPSConv``)
        skip: of x past attention and convolution, a module from C to C channels such as
            ``torch.nn.Linear(C, C)``. (default: :obj:`None`, the identity)
        values: map of values of the attention. (default: :obj:`None`, none)
        gate: of the attention, such as :class:`~graphmask.nn.OutputGate`. (default: :obj:`None`)

    Raises:
        TypeError: where the convolution or the skip is no module.
        ValueError: with neither mask nor convolution, for a placed convolution without mask, where
            the convolution reads features of edges and there are none or others, where a module has
            another number of channels, and as :class:`TopologicalAttention` does.

    Cost: that of its attention, of its convolution, and O(N C^2).

    Source: Rampasek et al., "Recipe for a General, Powerful, Scalable Graph Transformer" (NeurIPS
    2022), for the two branches; Luo et al., "Classic GNNs are Strong Baselines" (NeurIPS 2024), for
    linear skips.

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
        norm: str | None = "batch_norm",
        skip: nn.Module | None = None,
        values: ValueMap | None = None,
        gate: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if mask is None and conv is None:
            raise value_error("mask, conv", "given, one of them at least", "neither")
        check_probability("dropout", dropout)
        hidden = check_integer("expansion", expansion, 1) * check_integer("channels", channels, 1)
        if mask is None and isinstance(conv, (BeforeAttention, OnValues)):
            raise value_error("mask", f"given beside {type(conv).__name__}", "None")
        on_values = conv.conv if isinstance(conv, OnValues) else None
        self.attention = (
            None
            if mask is None
            else TopologicalAttention(
                channels, heads, mask, feature_map, dropout, normalizer, values, gate, on_values
            )
        )
        self.channels = channels
        self.conv = None if isinstance(conv, OnValues) else conv
        self.conv_takes = edge_arguments(self._local)
        self.norm = make_norm(norm, channels)
        self.skip = None if skip is None else check_module("skip", skip)
        self.conv_norm = make_norm(norm, channels) if isinstance(conv, BeforeAttention) else None
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = nn.Sequential(
            make_norm(norm, channels),
            nn.Linear(channels, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, channels),
            nn.Dropout(dropout),
        )

    @property
    def placed_conv(self) -> nn.Module | None:
        """The convolution where it was placed: the argument ``conv``."""
        on_values = None if self.attention is None else self.attention.conv
        return self.conv if on_values is None else OnValues(on_values)

    @property
    def _local(self) -> nn.Module | None:
        """The convolution of the block itself, which is not on the values."""
        return self.conv.conv if isinstance(self.conv, BeforeAttention) else self.conv

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        modules = (self.attention, self.conv, self.norm, self.skip, self.feed_forward)
        for module in (*modules, self.conv_norm):
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
        check_precision(x, getattr(self.attention, "qkv", None))
        topology.part.check_modules(self)
        if self.conv_norm is not None:
            hidden, graph = topology.gather(self.conv_norm(x))
            x = x + topology.release(self._convolve(hidden, graph))
        hidden, graph = topology.gather(self.norm(x))
        out = x if self.skip is None else check_output("skip", self.skip(x), x.shape)
        if self.attention is not None:
            out = out + topology.release(self.attention(hidden, graph))
        if self.conv is not None and self.conv_norm is None:
            out = out + topology.release(self._convolve(hidden, graph))
        return out + self.feed_forward(out)

    def _convolve(self, x: Tensor, topology: Topology) -> Tensor:
        conv = self._local
        assert conv is not None
        return self.dropout(convolve_on(topology, conv, self.conv_takes, x))
