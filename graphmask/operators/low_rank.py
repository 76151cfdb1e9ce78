"""A mask of low rank within each graph."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from graphmask._checks import value_error
from graphmask.features.scores import Scores
from graphmask.kernels import Pattern, sddmm
from graphmask.kernels.products import in_one_type
from graphmask.topology import Topology

from ._slices import run_slices, slice_width
from ._states import multiply_by_states
from .algebra import add_sums
from .attend import attend_unchecked
from .base import Attended, MaskOperator, Rule, Sign
from .executions import SLICE_MEMORY
from .global_ import GlobalOperator


class LowRankOperator(MaskOperator):
    r"""``M_ij = left_i . right_j`` where i and j are nodes of the same graph, and 0 elsewhere.

    Attention under it is unmasked attention with the features :math:`q_i \otimes \text{left}_i` and
    :math:`k_j \otimes \text{right}_j`. A multiple of the identity is added as a sparse term.

    Args:
        topology: the graphs.
        left: ``[H or 1, N, r]``.
        right: ``[H or 1, N, r]``.
        nonnegative: whether no inner product can be negative. (default: :obj:`False`)
        estimate: whether the inner products estimate non-negative numbers. (default: :obj:`False`)

    Raises:
        ValueError: for factors that do not fit the graph or each other.

    Cost: O(N r) per column; attention in O(N m r d), its intermediates in slices of bounded memory.

    Example:
        >>> import torch, graphmask as gm
        >>> two = gm.Topology(torch.empty(2, 0, dtype=torch.long), batch=torch.tensor([0, 1, 0]))
        >>> left, right = torch.tensor([[[1.0], [2.0], [3.0]]]), torch.ones(1, 3, 1)
        >>> gm.operators.LowRankOperator(two, left, right).to_dense()
        tensor([[[1., 0., 1.],
                 [0., 2., 0.],
                 [3., 0., 3.]]])
    """

    def __init__(
        self,
        topology: Topology,
        left: Tensor,
        right: Tensor,
        nonnegative: bool = False,
        estimate: bool = False,
    ) -> None:
        for name, factor in (("left", left), ("right", right)):
            if factor.dim() != 3 or factor.shape[1] != topology.num_nodes:
                raise value_error(
                    name,
                    f"of shape [H or 1, N, r] with N = {topology.num_nodes}, nodes of the topology",
                    factor,
                )
        heads = max(len(left), len(right))
        if left.shape[2] != right.shape[2] or not {len(left), len(right)} <= {1, heads}:
            raise value_error(
                "right", f"of shape [H or 1, N, r] as left, {list(left.shape)}", right
            )
        self.left, self.right = in_one_type(left, right)
        cost = 2 * topology.num_nodes * left.shape[2]
        super().__init__(topology, heads, Sign.of(nonnegative, estimate), cost)

    @property
    def rank(self) -> int:
        """r, the largest rank of M within a graph."""
        return self.left.shape[2]

    def _matmul(self, x: Tensor) -> Tensor:
        left, right, x = in_one_type(self.left, self.right, x)
        if not self.topology.part.is_whole:
            return multiply_by_states(self.topology, left, right, x)
        if self.topology.num_graphs == 1:
            return left @ (right.mT @ x)
        factors = [factor.expand(self.heads, -1, -1) for factor in (left, right, x)]
        return self.topology.blocks.map(lambda a, b, c: a @ (b.mT @ c), factors)

    def _transpose(self) -> LowRankOperator:
        return LowRankOperator(self.topology, self.right, self.left, *self.sign.flags)

    def to_dense(self) -> Tensor:
        nodes = torch.arange(self.num_nodes, device=self.topology.device)
        inner = torch.einsum("hir,hjr->hij", *self._factors())
        return self._within_graphs(inner, nodes.unsqueeze(1), nodes)

    def lookup(self, pattern: Pattern) -> Tensor:
        """Inner products within a graph; positions between graphs are zero."""
        inner = sddmm(pattern, *self._factors())
        return self._within_graphs(inner, pattern.row, pattern.col)

    def _factors(self) -> tuple[Tensor, Tensor]:
        """Left and right with all heads."""
        return self.left.expand(self.heads, -1, -1), self.right.expand(self.heads, -1, -1)

    def _own_rule(self, channels: int, scores: Scores) -> Rule | None:
        sums_itself = self.sums_itself or not scores.normalized
        if not sums_itself or prefers_lifting(self.rank, channels):
            return None
        return partial(attend_factored, GlobalOperator(self.topology), self.left, self.right)


def prefers_lifting(rank: int, channels: int) -> bool:
    """True if lifting keys by values is less work than lifting queries and keys by factors."""
    return 2 * rank > channels + 1


def attend_factored(
    mask: MaskOperator,
    left: Tensor,
    right: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scores: Scores,
) -> Attended:
    r"""Attention under ``sum_r diag(left_r) M diag(right_r)``.

    It is attention under M with features ``q (x) left`` and ``k (x) right``. The denominator is
    exact where inner products of left and right are non-negative, or estimate non-negative numbers.
    """
    q, k, v, left, right = in_one_type(q, k, v, left, right)

    def attend_slice(left: Tensor, right: Tensor) -> Attended:
        return attend_unchecked(mask, _lift(q, left), _lift(k, right), v, scores=scores)

    width = slice_width(SLICE_MEMORY, mask.topology, q)
    return add_sums(run_slices(attend_slice, width, left, right))


def _lift(x: Tensor, factor: Tensor) -> Tensor:
    """``[H, N, m r]``, all products of a feature and a factor."""
    return (x.unsqueeze(-1) * factor.unsqueeze(-2)).flatten(-2)
