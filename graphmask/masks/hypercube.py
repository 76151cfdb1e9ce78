"""Diffusion on hypercubes, in closed form."""

from __future__ import annotations

import torch
from torch import nn

from graphmask.operators import HypercubeOperator, MaskOperator
from graphmask.operators.hypercube import hypercubes_of
from graphmask.topology import Topology

from .base import TopologicalMask
from .grid_diffusion import check_time


class HypercubeMask(TopologicalMask):
    r"""The heat kernel :math:`M = \exp(-t_h L)` of the hypercube, :math:`L = D - A`, with a learnable time t > 0 per head.

    Every graph has a power of two nodes, :math:`2^n`, listed in binary order; nodes are neighbours
    where their ranks differ in one bit. Edges of the topology are not read.

    .. math:: M_{ij} = p^{n - \delta} r^\delta, \quad p = (1 + e^{-2t}) / 2, \quad r = (1 - e^{-2t})
    / 2

    for ranks that differ in :math:`\delta` bits.

    Args:
        heads: H. (default: :obj:`1`)
        t: the time to start from; its logarithm is learned. (default: :obj:`1.0`)

    Raises:
        ValueError: for a time that is not positive, and graphs whose size is no power of two.

    Cost: O(N log N) per product column.

    Rounding: no number is subtracted, so that products with what is non-negative are exact entry by
        entry, up to relative
    rounding.

    Source: Choromanski et al., "From block-Toeplitz matrices to differential equations on graphs"
    (ICML 2022).

    Example:
        >>> import torch, graphmask as gm
        >>> four = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=4)
        >>> gm.masks.HypercubeMask(t=0.5)(four) @ torch.tensor([1.0, 0.0, 0.0, 0.0])
        tensor([[0.4678, 0.2162, 0.2162, 0.0999]], grad_fn=<SqueezeBackward1>)
    """

    cost = "N log N"
    ordered = True

    def __init__(self, heads: int = 1, t: float = 1.0) -> None:
        super().__init__(heads)
        self._start = check_time(t)
        self.log_t = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.log_t.data.fill_(self._start).log_()

    def prepare(self, topology: Topology) -> Topology:
        hypercubes_of(topology)
        return super().prepare(topology)

    def _operator(self, topology: Topology) -> MaskOperator:
        return HypercubeOperator(topology, self.log_t.exp())

    def __repr__(self) -> str:
        return f"HypercubeMask(heads={self.heads})"
