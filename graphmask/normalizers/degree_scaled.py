"""Outputs scaled by degrees."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.utils import degree

from graphmask._checks import check_integer, value_error

from .base import Normalizer, Rows, check_heads, check_normalizer
from .row_sums import RowSums


class DegreeScaled(Normalizer):
    r"""The output of another normalizer, scaled by a learned mix of functions of the degree.

    .. math::
        y^h_i = \Big(a_h + b_h \log(1 + D_i) + \frac{c_h}{\log(1 + D_i)}\Big)\, \bar y^h_i

    with D the number of edges that end at node i, at least 1. Means over nodes get their degrees
    back: amplified, or attenuated.

    Args:
        heads: H.
        normalizer: gives :math:`\bar y`. (default: :obj:`None`,
            :class:`~graphmask.normalizers.RowSums`)

    Attributes:
        weight: ``[H, 3]``, a, b and c, learned; 1, 0 and 0 at first.

    Raises:
        ValueError: for sums of another number of heads, and of rows that are not known.

    Cost: O(E + N H d).

    Source: Corso et al., "Principal Neighbourhood Aggregation for Graph Nets" (NeurIPS 2020), eq.
    5, whose constant is absorbed by the weights.

    Example:
        >>> import torch, graphmask as gm
        >>> star = gm.Topology(torch.tensor([[1, 2, 3], [0, 0, 0]]), num_nodes=4)
        >>> x = torch.ones(4, 1, 2)
        >>> normalizer = gm.normalizers.DegreeScaled(heads=1)
        >>> normalizer.weight.data[:] = torch.tensor([0.0, 1.0, 0.0])
        >>> out = gm.attention(x, x, x, gm.masks.GlobalMask()(star), normalizer=normalizer)
        >>> out[:, 0, 0].detach()
        tensor([1.3863, 0.6931, 0.6931, 0.6931])
    """

    def __init__(self, heads: int, normalizer: Normalizer | None = None) -> None:
        super().__init__()
        self.heads = check_integer("heads", heads, 1)
        self.normalizer = RowSums() if normalizer is None else check_normalizer(normalizer)
        self.needs_denominator = self.normalizer.needs_denominator
        self.is_linear = self.normalizer.is_linear
        self.reads_size = self.normalizer.reads_size
        self.reads_shift = self.normalizer.reads_shift
        self.weight = nn.Parameter(torch.tensor([1.0, 0.0, 0.0]).repeat(heads, 1))

    def forward(
        self, numerator: Tensor, denominator: Tensor | None, rows: Rows | None = None
    ) -> Tensor:
        if rows is None:
            raise value_error("rows", "the rows of a topology, for their degrees", rows)
        check_heads(self, self.heads, numerator)
        topology, nodes, _ = rows
        degrees = degree(topology.edge_index[1], topology.num_nodes, numerator.dtype)
        log = degrees.clamp(min=1).log1p() if nodes is None else degrees[nodes].clamp(min=1).log1p()
        scalers = torch.stack([torch.ones_like(log), log, 1 / log], -1)
        scale = scalers @ self.weight.to(log.dtype).mT
        return scale.unsqueeze(-1) * self.normalizer(numerator, denominator, rows)

    def reset_parameters(self) -> None:
        self.weight.data.copy_(torch.tensor([1.0, 0.0, 0.0]))
        self.normalizer.reset_parameters()

    def extra_repr(self) -> str:
        return f"heads={self.heads}, normalizer={self.normalizer!r}"
