"""The all-ones mask of each graph: unmasked linear attention."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask.features.scores import Scores
from graphmask.kernels.products import in_one_type
from graphmask.topology import Topology

from ._states import multiply_by_states
from .base import Attended, EntrywiseOperator, MaskOperator, Rule, Sign
from .executions import attend_blocks, split_sums


class GlobalOperator(EntrywiseOperator):
    """``M_ij = 1`` where i and j are nodes of the same graph.

    Cost: O(N) per column; attention in O(N m d) without lifting.

    Source: Katharopoulos et al., "Transformers are RNNs" (ICML 2020), for attention under it.

    Example:
        >>> import torch, graphmask as gm
        >>> two = gm.Topology(torch.empty(2, 0, dtype=torch.long), batch=torch.tensor([0, 1, 0]))
        >>> gm.operators.GlobalOperator(two) @ torch.tensor([1.0, 2.0, 4.0])
        tensor([[5., 2., 5.]])
    """

    def __init__(self, topology: Topology) -> None:
        super().__init__(topology, 1, Sign.NONNEGATIVE, topology.num_nodes)

    def _matmul(self, x: Tensor) -> Tensor:
        if not self.topology.part.is_whole:
            ones = x.new_ones(1, self.num_nodes, 1)
            return multiply_by_states(self.topology, ones, ones, x)
        batch = self.topology.batch
        if batch is None:
            return x.sum(1, keepdim=True).expand_as(x)
        total = x.new_zeros(x.shape[0], self.topology.num_graphs, x.shape[2])
        return total.index_add(1, batch, x)[:, batch]

    def _transpose(self) -> MaskOperator:
        return self

    def _at(self, row: Tensor, col: Tensor) -> Tensor:
        ones = torch.ones(1, *torch.broadcast_shapes(row.shape, col.shape), device=row.device)
        return self._within_graphs(ones, row, col)

    def _own_rule(self, channels: int, scores: Scores) -> Rule:
        return self._attend_without_lifting

    def _attend_without_lifting(self, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        q, k, v = in_one_type(q, k, v)
        if not self.topology.part.is_whole:
            sums = multiply_by_states(self.topology, q, k, v, scores.normalized)
            return split_sums(sums, scores)
        if self.topology.num_graphs == 1:
            total = (q * k.sum(1, keepdim=True)).sum(-1) if scores.normalized else None
            return Attended(q @ (k.mT @ v), total)
        return attend_blocks(_attend_block, self.topology.blocks, scores, q, k, v)


def _attend_block(q: Tensor, k: Tensor, values: Tensor) -> Tensor:
    """Both sums of stacked graphs; padded keys are zeros."""
    return q @ (k.mT @ values)
