"""Power series of the adjacency, by repeated sparse products."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask.kernels import Pattern, power_series
from graphmask.topology import Topology

from .base import Entries, MaskOperator, Sign
from .sparse import merge


class PowerSeriesOperator(MaskOperator):
    r"""``sum_k alpha_k W^k`` for coefficients ``alpha [H, K + 1]`` and a sparse ``W``, exact.

    Args:
        topology: the graphs that W belongs to.
        pattern: where W has entries.
        weight: ``[nnz]``, the values of W; or ``[H, nnz]``, those of a :math:`W_h` for each head.
        alpha: ``[H, K + 1]``.
        nonnegative: whether neither W nor alpha can be negative. (default: :obj:`False`)

    Cost: O(K nnz(W)) per head and column, by Horner's rule.

    Source: Reid et al. (ICLR 2025), eq. 4.

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> alpha = torch.tensor([[1.0, 0.5]])
        >>> gm.operators.PowerSeriesOperator(edge, *edge.adjacency(), alpha) @ torch.tensor([1.0, 2.0])
        tensor([[2.0000, 2.5000]])
    """

    def __init__(
        self,
        topology: Topology,
        pattern: Pattern,
        weight: Tensor,
        alpha: Tensor,
        nonnegative: bool = False,
    ) -> None:
        self.pattern, self.weight, self.alpha = pattern, weight, alpha
        cost = (alpha.shape[1] - 1) * pattern.nnz + topology.num_nodes
        super().__init__(topology, alpha.shape[0], Sign.of(nonnegative), cost)

    def _matmul(self, x: Tensor) -> Tensor:
        kind = torch.promote_types(
            torch.promote_types(self.weight.dtype, self.alpha.dtype), x.dtype
        )
        return power_series(self.pattern, self.weight.to(kind), self.alpha.to(kind), x.to(kind))

    def _transpose(self) -> MaskOperator:
        pattern, weight = self.pattern, self.weight
        return PowerSeriesOperator(
            self.topology, pattern.mT, weight[..., pattern.csc_perm], self.alpha, self.nonnegative
        )

    def to_dense(self) -> Tensor:
        W = self.pattern.to_dense(self.weight).expand(self.heads, -1, -1)
        powers = torch.stack([torch.linalg.matrix_power(W, k) for k in range(self.alpha.shape[1])])
        return torch.einsum("hk,khij->hij", self.alpha.to(W.dtype), powers)

    def _entries(self) -> Entries | None:
        """Known up to order 1; from order 2 on the support fills in."""
        if self.alpha.shape[1] > 2:
            return None
        identity = self.pattern.identity
        alone = Entries(identity, self.alpha[:, :1].expand(-1, self.num_nodes))
        if self.alpha.shape[1] == 1:
            return alone
        return merge([Entries(self.pattern, self.alpha[:, 1:] * self.weight), alone])
