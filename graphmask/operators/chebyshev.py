"""Chebyshev series of the adjacency, by a three-term recurrence."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask.kernels import Pattern, chebyshev_series
from graphmask.topology import Topology

from .base import MaskOperator, Sign


class ChebyshevOperator(MaskOperator):
    r"""``sum_k c_k T_k(W)`` for coefficients ``c [H, K + 1]`` and a sparse ``W``, exact.

    For a symmetric W of spectral norm at most 1 each term has a norm of at most :math:`|c_k|`.

    Args:
        topology: the graphs that W belongs to.
        pattern: where W has entries.
        weight: ``[nnz]``, the values of W.
        coefficients: ``[H, K + 1]``.
        estimate: whether the series approximates a non-negative matrix. (default: :obj:`False`)

    Cost: O(K nnz(W)) per head and column, by Clenshaw's recurrence.

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> coefficients = torch.tensor([[1.0, 0.5, 0.25]])
        >>> gm.operators.ChebyshevOperator(edge, *edge.adjacency(), coefficients) @ torch.tensor([1.0, 2.0])
        tensor([[2.2500, 3.0000]])
    """

    def __init__(
        self,
        topology: Topology,
        pattern: Pattern,
        weight: Tensor,
        coefficients: Tensor,
        estimate: bool = False,
    ) -> None:
        self.pattern, self.weight, self.coefficients = pattern, weight, coefficients
        heads, terms = coefficients.shape
        cost = (terms - 1) * pattern.nnz + topology.num_nodes
        super().__init__(topology, heads, Sign.of(False, estimate), cost)

    def _matmul(self, x: Tensor) -> Tensor:
        kind = torch.promote_types(
            torch.promote_types(self.weight.dtype, self.coefficients.dtype), x.dtype
        )
        return chebyshev_series(
            self.pattern, self.weight.to(kind), self.coefficients.to(kind), x.to(kind)
        )

    def _transpose(self) -> MaskOperator:
        weight = self.weight[self.pattern.csc_perm]
        return ChebyshevOperator(
            self.topology, self.pattern.mT, weight, self.coefficients, self.estimate
        )

    def to_dense(self) -> Tensor:
        W = self.pattern.to_dense(self.weight)
        terms = [torch.eye(self.num_nodes, dtype=W.dtype, device=W.device), W]
        for _ in range(self.coefficients.shape[1] - 2):
            terms.append(2 * W @ terms[-1] - terms[-2])
        return torch.einsum(
            "hk,kij->hij",
            self.coefficients.to(W.dtype),
            torch.stack(terms[: self.coefficients.shape[1]]),
        )
