"""The causal mask of sequences, with or without a decay."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from graphmask.kernels import Pattern
from graphmask.kernels.products import in_one_type
from graphmask.topology import Topology

from ._sequences import CHUNK, attend_causally, scan
from .base import Attended, MaskOperator, Sign
from .executions import Execution


class CausalOperator(MaskOperator):
    r"""``M_ij = gamma_h^(i - j)`` where j is node i of a graph or one before it, else 0.

    I and j are ranks within the graph.

    Args:
        topology: the sequences.
        log_decay: ``[H]``, logarithms of gamma, at most 0. (default: :obj:`None`, all ones, one
            head)
        reverse: whether j is i or one after it: the transpose. (default: :obj:`False`)

    Cost: O(N) per column. Attention in O(N (L + m) d) by chunks of L nodes, 32 to 128 of them by m
    and d, with a state of ``m (d + 1)`` numbers per chunk and head and no lifted keys.

    Source: Katharopoulos et al., "Transformers are RNNs" (ICML 2020), for the recurrence; Sun et
    al., "Retentive Network" (arXiv 2307.08621), for the decay and the sums by chunks.

    Example:
        >>> import torch, graphmask as gm
        >>> two = gm.Topology(torch.empty(2, 0, dtype=torch.long), batch=torch.tensor([0, 1, 0]))
        >>> gm.operators.CausalOperator(two) @ torch.tensor([1.0, 2.0, 4.0])
        tensor([[1., 2., 5.]])
    """

    def __init__(
        self, topology: Topology, log_decay: Tensor | None = None, reverse: bool = False
    ) -> None:
        self.log_decay, self.reverse = log_decay, reverse
        heads = 1 if log_decay is None else len(log_decay)
        super().__init__(topology, heads, Sign.NONNEGATIVE, topology.num_nodes * (CHUNK + 2))

    def _matmul(self, x: Tensor) -> Tensor:
        return self._along(
            lambda y: scan(y, self.log_decay), max(len(x), self.heads), self._promoted(x)
        )

    def _transpose(self) -> MaskOperator:
        return CausalOperator(self.topology, self.log_decay, not self.reverse)

    def to_dense(self) -> Tensor:
        rank, batch = self.topology.local_index, self.topology.batch
        rows = torch.arange(self.num_nodes, device=rank.device)
        row, col = rows.unsqueeze(1), rows.unsqueeze(0)
        gap = rank[row] - rank[col]
        return self._of_gap(gap, True if batch is None else batch[row] == batch[col])

    def lookup(self, pattern: Pattern) -> Tensor:
        rank, batch = self.topology.local_index, self.topology.batch
        row, col = pattern.row.long(), pattern.col.long()
        return self._of_gap(
            rank[row] - rank[col], True if batch is None else batch[row] == batch[col]
        )

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, execution: Execution | None) -> Attended:
        if execution is not None:
            return super()._attend(q, k, v, execution)
        q, k, v = in_one_type(q, k, v)
        values = torch.cat([v, v.new_ones(*v.shape[:2], 1)], -1)
        total = self._along(
            lambda q, k, v: attend_causally(q, k, v, self.log_decay), len(v), q, k, values
        )
        return Attended(total[..., :-1], total[..., -1])

    def _promoted(self, x: Tensor) -> Tensor:
        return x if self.log_decay is None else in_one_type(x, self.log_decay)[0]

    def _along(self, sums: Callable[..., Tensor], heads: int, *inputs: Tensor) -> Tensor:
        """``sums`` of the graphs stacked in groups ``[H, G, w, C]``.

        Zeros fill up their ends, and stay behind all nodes.
        """
        blocks = self.topology.blocks
        stacked = (blocks.stack(x.transpose(0, 1), blocks.rows(len(x))) for x in inputs)
        parts = [
            self._turned(sums(*map(self._turned, group))) for group in zip(*stacked, strict=True)
        ]
        return blocks.unstack(parts, blocks.rows(heads)).transpose(0, 1)

    def _turned(self, x: Tensor) -> Tensor:
        return x.flip(2) if self.reverse else x

    def _of_gap(self, gap: Tensor, inside: Tensor | bool) -> Tensor:
        """``[H, ...]`` entries at distances i - j, where both are in one graph."""
        gap = -gap if self.reverse else gap
        present = ((gap >= 0) & inside).unsqueeze(0)
        if self.log_decay is None:
            return present.to(torch.get_default_dtype())
        decay = self.log_decay.exp().reshape(-1, *[1] * gap.dim())
        return decay ** gap.clamp(min=0) * present
