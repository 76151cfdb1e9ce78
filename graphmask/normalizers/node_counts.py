"""Sums over the number of nodes."""

from __future__ import annotations

from torch import Tensor

from graphmask._checks import check_number, value_error

from .base import Normalizer, Rows


class NodeCounts(Normalizer):
    """Sums over a power of the number n of nodes of the graph, ``s_i / n^p``.

    Degrees and sizes of scores stay visible, as without a normalizer, and outputs do not grow with
    graphs: with p = 1 for scores of bounded size under masks that see all nodes. With p = 2 and
    :class:`~graphmask.features.SquaredReLUScores` it divides products by n before they are squared,
    as published for gated attention units.

    Args:
        power: p. (default: :obj:`1.0`)

    Source: Hua et al., "Transformer Quality in Linear Time" (ICML 2022).

    Example:
        >>> import torch, graphmask as gm
        >>> pair = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> ones, counts = torch.ones(2, 1, 1), gm.normalizers.NodeCounts()
        >>> mask, phi = gm.masks.GlobalMask()(pair), gm.features.ReLU(0)
        >>> gm.attention(ones, ones, 3 * ones, mask, phi, normalizer=counts).flatten()
        tensor([3., 3.])
    """

    reads_size = True

    def __init__(self, power: float = 1.0) -> None:
        super().__init__()
        self.power = check_number("power", power, 0)

    def forward(
        self, numerator: Tensor, denominator: Tensor | None, rows: Rows | None = None
    ) -> Tensor:
        if rows is None:
            raise value_error("rows", "the rows of a topology, for its nodes", rows)
        topology, nodes, _ = rows
        counts = topology.graph_sizes.to(numerator.dtype).pow(self.power)
        if topology.batch is not None:
            batch = topology.batch if nodes is None else topology.batch[nodes]
            counts = counts[batch]
        return numerator / counts.view(-1, 1, 1)

    def extra_repr(self) -> str:
        return f"power={self.power}"
