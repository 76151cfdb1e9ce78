"""Masks whose entries are functions of two ranks.

Graphs of one size share a block, and attention over small ones reads it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from graphmask.features.scores import Scores
from graphmask.kernels import Pattern
from graphmask.kernels.products import in_one_type, sum_dtype
from graphmask.topology import Topology

from ._grids import BySize
from .base import Attended, MaskOperator, Sign
from .executions import (
    BLOCK_MEMORY,
    DENSE_COST,
    Dense,
    Execution,
    _attend_block,
    _attend_scored_block,
    _attend_signed_block,
)

# Building an entry of a block costs this much of a multiply-add in a sparse product, and one in
# products along axes of a grid, with the lifted keys that it reads, that much: chosen as DENSE_COST
# is, on grids and hypercubes of 64 to 4,096 nodes.
BUILD_COST = 4
AXIS_COST = 0.4


class BlockwiseOperator(MaskOperator):
    """An operator with the same block ``[H, P, P]`` for all graphs of P nodes.

    A subclass gives ``_between``, from which ``lookup`` follows, and ``_block``; attention over
    small graphs builds this once for all graphs of a size, and not by products with M.

    Args:
        topology: the graphs.
        graphs: the same, by size.
        heads: H.
        nonnegative: as for every operator.
        cost: as for every operator.
        unit: what a multiply-add of a product costs, of one in a sparse product. (default:
            :obj:`1.0`)
    """

    def __init__(
        self,
        topology: Topology,
        graphs: BySize,
        heads: int,
        nonnegative: bool,
        cost: float,
        unit: float = 1.0,
    ) -> None:
        super().__init__(topology, heads, Sign.of(nonnegative), cost)
        self._graphs, self._unit = graphs, unit

    @abstractmethod
    def _between(self, i: Tensor, j: Tensor, size: int | Tensor) -> Tensor:
        """``[H, ...]`` entries between ranks i and j in graphs of ``size`` nodes."""

    @abstractmethod
    def _block(self, size: int) -> Tensor:
        """``[H, P, P]``, of graphs of P = ``size`` nodes."""

    def lookup(self, pattern: Pattern) -> Tensor:
        return self._at(pattern.row.long(), pattern.col.long())

    def _at(self, row: Tensor, col: Tensor) -> Tensor:
        """``[H, ...]`` entries between nodes."""
        rank, batch = self.topology.local_index, self.topology.batch
        if batch is None:
            return self._between(rank[row], rank[col], self.num_nodes)
        found = self._between(rank[row], rank[col], self.topology.graph_sizes[batch[row]])
        return found * (batch[row] == batch[col])

    def _run(
        self, q: Tensor, k: Tensor, v: Tensor, execution: Execution | None, scores: Scores
    ) -> Attended:
        if isinstance(execution, Dense) or (
            execution is None and self._prefers_blocks(q, k, v, scores)
        ):
            return self._attend_blocks(q, k, v, scores)
        return super()._run(q, k, v, execution, scores)

    def _prefers_blocks(self, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> bool:
        """Whether blocks fit into memory, and are cheaper than products, or needed."""
        m, d, largest = q.shape[-1], v.shape[-1], self.topology.largest_graph
        if len(v) * largest**2 * sum_dtype(q, k, v).itemsize > BLOCK_MEMORY:
            return False
        if not scores.factored or not self.sums_itself:
            return True
        work = sum(
            size**2 * (BUILD_COST + DENSE_COST * graphs * (m + d + 1))
            for graphs, size in self._graphs.shapes
        )
        return work < self._unit * self.cost * m * (d + 1)

    def _attend_blocks(self, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        q, k, v = in_one_type(q, k, v)
        values = torch.cat([v, v.new_ones(*v.shape[:2], 1)], -1)
        if scores.factored:
            attend: Callable[..., Tensor] = (
                _attend_block if self.sums_itself else _attend_signed_block
            )
        else:
            attend = partial(_attend_scored_block, scores=scores)
        groups = zip(*map(self._graphs.split, (q, k, values)), strict=True)
        total = self._graphs.join([self._attend_size(attend, *group) for group in groups])
        return Attended(total[..., :-1], total[..., -1])

    def _attend_size(
        self, attend: Callable[..., Tensor], q: Tensor, k: Tensor, values: Tensor
    ) -> Tensor:
        """Graphs of one size ``[H, B, P, C]``.

        Where they are many, in slices that are computed twice.
        """
        heads, _, size, _ = q.shape
        weight = self._block(size).unsqueeze(1).to(q.dtype)
        count = max(1, BLOCK_MEMORY // (heads * size**2 * q.element_size()))
        slices = list(zip(*(x.split(count, 1) for x in (q, k, values)), strict=True))
        if len(slices) == 1 or not torch.is_grad_enabled():
            return torch.cat([attend(*each, weight) for each in slices], 1)
        return torch.cat(
            [checkpoint(attend, *each, weight, use_reentrant=False) for each in slices], 1
        )
