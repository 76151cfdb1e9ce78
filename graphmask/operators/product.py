"""Products of masks: the factors ``Phi Phi'^T`` of graph random features, and longer chains."""

from __future__ import annotations

from functools import reduce

from torch import Tensor

from graphmask._checks import value_error

from .base import MaskOperator


class ProductOperator(MaskOperator):
    """The matrix product ``M_1 M_2 ...`` of masks of the same graph and the same number of heads, or of one.

    Raises:
        ValueError: for factors of different graphs, or of different numbers of heads.

    Cost: the sum of the factors' costs.

    Source: Reid et al. (ICLR 2025), Lemma 3.1, for two factors.

    Example:
        >>> import torch, graphmask as gm
        >>> two = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=2)
        >>> ones = gm.operators.GlobalOperator(two)
        >>> gm.operators.ProductOperator(ones, ones) @ torch.tensor([1.0, 2.0])
        tensor([[6., 6.]])
    """

    def __init__(self, *factors: MaskOperator) -> None:
        first, heads = factors[0], max(factor.heads for factor in factors)
        # Compared, since torch.compile fixes numbers that it puts into a set.
        if any(
            factor.num_nodes != first.num_nodes or factor.heads not in (1, heads)
            for factor in factors
        ):
            raise value_error(
                "factors",
                "of the same shape, or of one head",
                [tuple(factor.shape) for factor in factors],
            )
        self.factors = factors
        sign = reduce(min, [factor.sign for factor in factors])
        super().__init__(first.topology, heads, sign, sum(factor.cost for factor in factors))

    def _matmul(self, x: Tensor) -> Tensor:
        return reduce(lambda y, factor: factor._matmul(y), reversed(self.factors), x)

    def _transpose(self) -> MaskOperator:
        return ProductOperator(*(factor.mT for factor in reversed(self.factors)))

    def to_dense(self) -> Tensor:
        first, *rest = (factor.to_dense() for factor in self.factors)
        return reduce(lambda left, right: left @ right, rest, first)
