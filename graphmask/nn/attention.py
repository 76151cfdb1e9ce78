"""Multi-head attention under a topological mask."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch_geometric.nn.inits import reset

from graphmask._checks import check_integer, check_probability, type_error, value_error
from graphmask.attention import attention, attention_rows
from graphmask.features import FeatureMap, ReLU
from graphmask.features.base import check_feature_map
from graphmask.masks import TopologicalMask
from graphmask.normalizers import Normalizer, RowSums
from graphmask.normalizers.base import check_normalizer
from graphmask.topology import Topology
from graphmask.values import ValueMap
from graphmask.values.base import check_value_map

from ._convolutions import convolve_on, edge_arguments
from ._parts import check_module, check_output, check_precision


class TopologicalAttention(nn.Module):
    r"""Linear attention between all nodes of a graph, modulated by a topological mask M.

    .. math::
        x'_i = W_o \Big\Vert_h \frac{\sum_j M^h_{ij}\, \phi(q^h_i) \cdot \phi(k^h_j)\, v^h_j}
                                    {\sum_j |M^h_{ij}|\, \phi(q^h_i) \cdot \phi(k^h_j)}

    Args:
        channels: C, of input and output.
        heads: H, a divisor of C.
        mask: M, of H heads or one.
        feature_map: phi. (default: :obj:`None`, :class:`~graphmask.features.ReLU`)
        dropout: of the output. (default: :obj:`0.0`)
        normalizer: of the sums, in the place of the division by the sum of :math:`|M| k`. (default:
            :obj:`None`, :class:`~graphmask.normalizers.RowSums`)
        values: map of values and of their sums, such as
            :class:`~graphmask.values.RotaryValues`. (default: :obj:`None`, none)
        gate: a module such as :class:`~graphmask.nn.OutputGate`, whose output for x, one number per
            channel of the heads or per head, multiplies that of the heads before :math:`W_o`.
            (default: :obj:`None`)
        conv: a PyG convolution from C to C channels on the values, :math:`v + \text{Conv}(v)`, that
            reads edges as that of :class:`~graphmask.nn.TopologicalTransformerLayer` does.
            (default: :obj:`None`)

    Shapes:
        - **input:** node features ``[N, C]``, ``edge_index [2, E]`` or a
          :class:`~graphmask.Topology`, ``edge_weight [E]``, ``batch [N]`` in any order, ``edge_attr
          [E, D]`` for masks and convolutions that read it
        - **output:** ``[N, C]``

    Raises:
        ValueError: where C is no multiple of H, the mask has another number of heads, x has not C
            channels, or gate or convolution have another output.

    Cost: linear in N for every mask of this library. From a raw ``edge_index`` a mask on walks
    draws them in every call, from its own seed, which costs far more than attention: train on data
    prepared with :class:`~graphmask.transforms.AddWalks`, passed as ``Topology.from_data(data)``.

    Source: Reid et al., "Linear Transformer Topological Masking with Graph Random Features" (ICLR
    2025).

    Example:
        >>> import torch, graphmask as gm
        >>> mask = gm.masks.WalkMask(hops=2, heads=2)
        >>> layer = gm.nn.TopologicalAttention(channels=8, heads=2, mask=mask)
        >>> x, edge_index = torch.randn(3, 8), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> layer(x, edge_index).shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        mask: TopologicalMask,
        feature_map: FeatureMap | None = None,
        dropout: float = 0.0,
        normalizer: Normalizer | None = None,
        values: ValueMap | None = None,
        gate: nn.Module | None = None,
        conv: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.channels = check_integer("channels", channels, 1)
        self.heads = check_integer("heads", heads, 1)
        if channels % heads:
            raise value_error("channels", f"a multiple of heads = {heads}", channels)
        if not isinstance(mask, TopologicalMask):
            raise type_error("mask", "a TopologicalMask", mask)
        if mask.heads not in (1, heads):
            expected = f"of one head or {heads}, as the layer"
            raise value_error("mask", expected, f"{mask.heads} heads")
        self.mask = mask
        self.feature_map = ReLU() if feature_map is None else check_feature_map(feature_map)
        self.normalizer = RowSums() if normalizer is None else check_normalizer(normalizer)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.values = None if values is None else check_value_map(values)
        width = channels // heads
        width = width if values is None else values.out_channels(width)
        self.out = nn.Linear(heads * width, channels)
        self.dropout = nn.Dropout(check_probability("dropout", dropout))
        self.gate = None if gate is None else check_module("gate", gate)
        self.conv, self.conv_takes = conv, edge_arguments(conv)

    def reset_parameters(self) -> None:
        """Reset all learnable parameters, the mask's included."""
        parts = self.mask, self.feature_map, self.normalizer, self.values, self.qkv, self.out
        for module in (*parts, self.gate, self.conv):
            reset(module)

    def forward(
        self,
        x: Tensor,
        edge_index: Topology | Any,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        edge_attr: Tensor | None = None,
    ) -> Tensor:
        """Attend: ``layer(x, edge_index, ...)`` or ``layer(x, topology)``."""
        topology = self._topology(x, edge_index, edge_weight, batch, edge_attr)
        wide, graph = topology.gather(x)
        q, k, v = self._project(wide)
        if self.conv is not None:
            local = convolve_on(graph, self.conv, self.conv_takes, v.flatten(1))
            v = v + graph.part.renew(local).view_as(v)
        operator = self.mask(graph.with_features(wide))
        options = None, self.normalizer, self.values
        out = topology.release(attention(q, k, v, operator, self.feature_map, *options))
        return self.dropout(self.out(self._gated(out, x).flatten(1)))

    def attention_rows(
        self,
        nodes: Tensor,
        x: Tensor,
        edge_index: Topology | Any,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        edge_attr: Tensor | None = None,
    ) -> Tensor:
        r"""Rows ``nodes`` of the implicit attention map, ``[len(nodes), H, N]``.

        Other arguments are those of :meth:`forward`.

        They multiply the values, after a convolution on these and before a gate.

        .. math::
            a_{ij} = \frac{M_{ij}\, \phi(q_i) \cdot \phi(k_j)}
                          {\sum_l |M_{il}|\, \phi(q_i) \cdot \phi(k_l)}

        The absolute values of a row sum to 1, or to 0 for a node that attends to no node. Scores
        that are estimates of any sign are an exception: normalisers sum them as they are.

        Cost: O(N) per row; the map itself is never built.

        Raises:
            ValueError: for nodes that are not a vector of node ids, and under a normalizer that is
                not linear in the values.
        """
        topology = self._topology(x, edge_index, edge_weight, batch, edge_attr)
        topology.part.check_hops("topology", "attention_rows", None)
        q, k, _ = self._project(x)
        operator = self.mask(topology.with_features(x))
        return attention_rows(q, k, operator, nodes, self.feature_map, self.normalizer)

    def __repr__(self) -> str:
        return f"TopologicalAttention({self.channels}, heads={self.heads}, mask={self.mask!r})"

    def _topology(self, x: Tensor, edge_index: Any, *attributes: Tensor | None) -> Topology:
        topology = Topology.of(x, edge_index, *attributes)
        if x.shape[1] != self.channels:
            raise value_error("x", f"of shape [N, C] with C = {self.channels}", x)
        check_precision(x, self.qkv)
        return self.mask.draw_walks(topology)

    def _gated(self, out: Tensor, x: Tensor) -> Tensor:
        """The output ``[N, H, d]`` of the heads times the gates."""
        if self.gate is None:
            return out
        factor, shape = self.gate(x), list(out.shape)
        if isinstance(factor, Tensor) and list(factor.shape) == shape[:2]:
            return factor.unsqueeze(2) * out
        return check_output("gate", factor, [shape[0], shape[1] * shape[2]]).view(shape) * out

    def _project(self, x: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values, each ``[N, H, C / H]``."""
        return self.qkv(x).unflatten(1, (3, self.heads, -1)).unbind(1)
