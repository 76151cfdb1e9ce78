"""Power series of a sparse adjacency whose coefficients differ by node."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from graphmask.kernels import Pattern, spmm
from graphmask.kernels.products import in_one_type
from graphmask.topology import Topology

from .base import MaskOperator, Sign


class NodeSeriesOperator(MaskOperator):
    r"""``sum_k diag(a_k) W^k``, or ``sum_k W^k diag(a_k)``, for coefficients of each node, exact.

    Args:
        topology: the graphs that W belongs to.
        pattern: positions of the entries of W.
        weight: ``[nnz]``, the values of W.
        alpha: ``[N, H, K + 1]``.
        nonnegative: whether neither W nor alpha can be negative. (default: :obj:`False`)
        of_keys: whether columns have coefficients, and not rows. (default: :obj:`False`)

    Cost: O(K nnz(W)) per head and column; memory O(K N) under autograd.

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> alpha = torch.tensor([[[1.0, 0.0]], [[1.0, 0.5]]])  # node 0 reads itself alone
        >>> gm.operators.NodeSeriesOperator(edge, *edge.adjacency(), alpha) @ torch.ones(2)
        tensor([[1.0000, 1.5000]])
    """

    def __init__(
        self,
        topology: Topology,
        pattern: Pattern,
        weight: Tensor,
        alpha: Tensor,
        nonnegative: bool = False,
        of_keys: bool = False,
    ) -> None:
        self.pattern, self.weight, self.alpha, self.of_keys = pattern, weight, alpha, of_keys
        _, heads, terms = alpha.shape
        cost = (terms - 1) * pattern.nnz + terms * topology.num_nodes
        super().__init__(topology, heads, Sign.of(nonnegative), cost)

    def _matmul(self, x: Tensor) -> Tensor:
        alpha, weight, x = in_one_type(self.alpha, self.weight, x)
        factors = alpha.permute(2, 1, 0).unsqueeze(-1).unbind(0)  # K + 1 times [H, N, 1]

        def step(y: Tensor) -> Tensor:
            return spmm(self.pattern, weight.unsqueeze(0), y)

        if self.of_keys:
            *lower, last = (factor * x for factor in factors)
            return reduce(lambda total, term: step(total) + term, reversed(lower), last)
        total, term = factors[0] * x, x
        for factor in factors[1:]:
            term = step(term)
            total = torch.addcmul(total, factor, term)
        return total

    def _transpose(self) -> MaskOperator:
        pattern, weight = self.pattern.mT, self.weight[self.pattern.csc_perm]
        alpha, of_keys = self.alpha, not self.of_keys
        return NodeSeriesOperator(self.topology, pattern, weight, alpha, self.nonnegative, of_keys)

    def to_dense(self) -> Tensor:
        W = self.pattern.to_dense(self.weight)
        powers = torch.stack([torch.linalg.matrix_power(W, k) for k in range(self.alpha.shape[2])])
        side = "jhk" if self.of_keys else "ihk"
        return torch.einsum(f"{side},kij->hij", self.alpha.to(W.dtype), powers)
