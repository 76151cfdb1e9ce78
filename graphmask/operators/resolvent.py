"""The resolvent of a symmetric adjacency, by conjugate gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask.kernels import Pattern, solve_resolvent
from graphmask.kernels.conjugate import Graphs, count_iterations
from graphmask.topology import Topology

from .base import MaskOperator, Sign


class ResolventOperator(MaskOperator):
    r""":math:`(I - a_h W)^{-1}` for ``a [H]`` between 0 and 1 and a symmetric, sparse W of spectral norm at most 1.

    A product is one system per column, solved in float64 until its residual is at most
    ``tolerance`` times the column, which is checked. It is then off by at most
    :math:`\text{tolerance} / (1 - a)` times the column.

    Args:
        topology: the graphs that W belongs to.
        pattern: where W has entries.
        weight: ``[nnz]``, the values of W.
        a: ``[H]``.
        tolerance: of residuals. (default: :obj:`1e-6`)
        estimate: whether W is non-negative, so that products approximate those of a non-negative
            matrix. (default: :obj:`False`)

    Raises:
        ValueError: at a product whose tolerance is not reached, or where a is not between 0 and 1.

    Cost: O(nnz(W)) per iteration, head and column, for about :math:`\sqrt{1 / (1 - a)} \ln(1 /
    \text{tolerance})` iterations.

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> gm.operators.ResolventOperator(edge, *edge.adjacency(), torch.tensor([0.5])) @ torch.tensor([3.0, 0.0])
        tensor([[4., 2.]])
    """

    def __init__(
        self,
        topology: Topology,
        pattern: Pattern,
        weight: Tensor,
        a: Tensor,
        tolerance: float = 1e-6,
        estimate: bool = False,
    ) -> None:
        self.pattern, self.weight, self.a, self.tolerance = pattern, weight, a, tolerance
        high = min(float(a.detach().max()), 1 - 1e-16)
        cost = count_iterations(high, tolerance) * pattern.nnz + topology.num_nodes
        super().__init__(topology, len(a), Sign.of(False, estimate), cost)

    def _matmul(self, x: Tensor) -> Tensor:
        kind = torch.promote_types(torch.promote_types(self.weight.dtype, self.a.dtype), x.dtype)
        graphs = Graphs(self.topology.batch, self.topology.num_graphs)
        x = x.expand(self.heads, -1, -1)
        return solve_resolvent(self.pattern, self.weight, self.a, x, self.tolerance, graphs).to(
            kind
        )

    def _transpose(self) -> MaskOperator:
        weight = self.weight[self.pattern.csc_perm]
        return ResolventOperator(
            self.topology, self.pattern.mT, weight, self.a, self.tolerance, self.estimate
        )

    def to_dense(self) -> Tensor:
        W = self.pattern.to_dense(self.weight)
        eye = torch.eye(self.num_nodes, dtype=W.dtype, device=W.device)
        return torch.linalg.inv(eye - self.a.to(W.dtype)[:, None, None] * W)
