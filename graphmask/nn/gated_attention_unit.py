"""Attention and feed-forward network in one block: the gated attention unit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu
from torch_geometric.nn.inits import reset

from graphmask._checks import check_integer, check_probability, type_error, value_error
from graphmask.attention import attention
from graphmask.features import FeatureMap, Identity, SquaredReLUScores
from graphmask.features.base import check_feature_map
from graphmask.masks import TopologicalMask
from graphmask.masks.base import draw_walks
from graphmask.normalizers import NodeCounts, Normalizer, RowSums
from graphmask.normalizers.base import check_normalizer
from graphmask.topology import Topology

from ._parts import check_precision, make_norm

# The standard deviation of scales at the start.
_INITIAL_SCALE = 0.02


class GatedAttentionUnit(nn.Module):
    r"""A block of one head, whose attention is gated, in place of attention and an MLP.

    .. math::
        u, v, z &= \text{SiLU}\big(\text{LN}(x)\, (W_u, W_v, W_z)\big) \\
        q, k &= \gamma_q \odot z + \beta_q,\ \gamma_k \odot z + \beta_k \\
        x'_i &= x_i + W_o \Big(u_i \odot \frac{\sum_j M_{ij}\, k(q_i, k_j)\, v_j}{n_i}\Big)

    u and v have ``expansion`` times C channels; z, the base that queries and keys share, has few.
    Scores are :math:`\max(q_i \cdot k_j / s, 0)^2`, those of
    :class:`~graphmask.features.SquaredReLUScores`, which need a mask with a sparse support or small
    graphs; other feature maps will do. Two of these blocks have about the parameters of a
    transformer block of the same C whose MLP is four times as wide.

    With a ``linear_mask`` a second part is added before the gate, with a scale and an offset of its
    own for queries and keys: linear attention :math:`\frac1N \sum_j M'_{ij}\, (q'_i \cdot k'_j)\,
    v_j`. A :class:`~graphmask.masks.ChunkMask` beside a ``GlobalMask()`` is mixed attention
    by chunks, as in FLASH. For the causal form take ``CausalMask() * ChunkMask(C)`` and
    ``CausalMask() - CausalMask() * ChunkMask(C)``.

    Args:
        channels: C, of input and output.
        mask: M, of one head.
        expansion: channels of u and v over C. (default: :obj:`2`)
        base: channels s of z. (default: :obj:`128`)
        feature_map: of the scores. (default: :obj:`None`,
            :class:`~graphmask.features.SquaredReLUScores` of scale 1 / s)
        normalizer: of the sums; ``NodeCounts(2)`` with ``SquaredReLUScores(1.0)`` is the published
            one, which divides products by the number of nodes. Within chunks of C nodes they are
            divided by C: ``Unnormalized()`` with ``SquaredReLUScores(1 / C)``. (default:
            :obj:`None`, :class:`~graphmask.normalizers.RowSums`)
        linear_mask: M', of one head. (default: :obj:`None`, no second part)
        dropout: of the output. (default: :obj:`0.0`)
        norm: of the input, a name that PyG's resolver knows. (default: :obj:`None`, layer
            normalisation of each node)

    Shapes:
        - **input:** node features ``[N, C]``, ``edge_index [2, E]`` or a
          :class:`~graphmask.Topology`, ``edge_weight [E]``, ``batch [N]`` in any order, ``edge_attr
          [E, D]`` for masks that read it
        - **output:** ``[N, C]``

    Raises:
        ValueError: for masks of more than one head, and where x has not C channels.

    Cost: that of attention with s features and ``expansion`` C value channels, and O(N C^2).

    Source: Hua, Dai, Liu and Le, "Transformer Quality in Linear Time" (ICML 2022), whose
    bias of relative positions is left to the mask. The divisors are those of common
    reimplementations, which divide the causal linear part by C; here it is divided by N.

    Example:
        >>> import torch, graphmask as gm
        >>> block = gm.nn.GatedAttentionUnit(8, gm.masks.ChunkMask(2), base=4,
        ...     linear_mask=gm.masks.GlobalMask())
        >>> block(torch.randn(3, 8), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])).shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        channels: int,
        mask: TopologicalMask,
        expansion: int = 2,
        base: int = 128,
        feature_map: FeatureMap | None = None,
        normalizer: Normalizer | None = None,
        linear_mask: TopologicalMask | None = None,
        dropout: float = 0.0,
        norm: str | None = None,
    ) -> None:
        super().__init__()
        self.channels = check_integer("channels", channels, 1)
        self.base = check_integer("base", base, 1)
        self.hidden = check_integer("expansion", expansion, 1) * channels
        self.mask = _check_mask("mask", mask)
        self.linear_mask = None if linear_mask is None else _check_mask("linear_mask", linear_mask)
        if feature_map is None:
            feature_map = SquaredReLUScores(1 / base)
        self.feature_map = check_feature_map(feature_map)
        self.normalizer = RowSums() if normalizer is None else check_normalizer(normalizer)
        self.linear_map, self.linear_normalizer = Identity(), NodeCounts()
        self.norm = make_norm(norm, channels)
        self.uvz = nn.Linear(channels, 2 * self.hidden + base)
        uses = 2 if linear_mask is None else 4
        self.scale = nn.Parameter(torch.empty(uses, base))
        self.offset = nn.Parameter(torch.empty(uses, base))
        self.out = nn.Linear(self.hidden, channels)
        self.dropout = nn.Dropout(check_probability("dropout", dropout))
        self._reset_uses()

    def reset_parameters(self) -> None:
        """Reset all learnable parameters, those of the masks included."""
        parts = self.mask, self.linear_mask, self.feature_map, self.normalizer
        for module in (*parts, self.norm, self.uvz, self.out):
            reset(module)
        self._reset_uses()

    def _reset_uses(self) -> None:
        nn.init.normal_(self.scale, std=_INITIAL_SCALE)
        nn.init.zeros_(self.offset)

    def forward(
        self,
        x: Tensor,
        edge_index: Topology | Any,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        edge_attr: Tensor | None = None,
    ) -> Tensor:
        """``[N, C] -> [N, C]``: ``block(x, edge_index, ...)`` or ``block(x, topology)``."""
        topology = Topology.of(x, edge_index, edge_weight, batch, edge_attr)
        if x.shape[1] != self.channels:
            raise value_error("x", f"of shape [N, C] with C = {self.channels}", x)
        check_precision(x, self.uvz)
        masks = [mask for mask in (self.mask, self.linear_mask) if mask is not None]
        hidden = self.norm(x)
        wide, graph = draw_walks(masks, topology).gather(hidden)
        graph = graph.with_features(wide)
        sizes = [self.hidden, self.hidden, self.base]
        gate, value, base = silu(self.uvz(wide)).split(sizes, 1)
        q, k, *linear = (base.unsqueeze(1) * self.scale + self.offset).split(1, 1)
        value, operator = value.unsqueeze(1), self.mask(graph)
        out = attention(q, k, value, operator, self.feature_map, normalizer=self.normalizer)
        if self.linear_mask is not None:
            operator, (q, k) = self.linear_mask(graph), linear
            normalizer = self.linear_normalizer
            out = out + attention(q, k, value, operator, self.linear_map, normalizer=normalizer)
        return x + self.dropout(self.out(topology.release(gate * out.squeeze(1))))

    def __repr__(self) -> str:
        linear = "" if self.linear_mask is None else f", linear_mask={self.linear_mask!r}"
        return f"GatedAttentionUnit({self.channels}, {self.mask!r}, base={self.base}{linear})"


def _check_mask(name: str, mask: TopologicalMask) -> TopologicalMask:
    if not isinstance(mask, TopologicalMask):
        raise type_error(name, "a TopologicalMask", mask)
    if mask.heads != 1:
        raise value_error(name, "of one head", f"{mask.heads} heads")
    return mask
