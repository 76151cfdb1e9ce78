"""The causal mask of sequences, with or without a decay."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from graphmask.features.base import FeatureMap
from graphmask.features.scores import Scores
from graphmask.kernels.products import in_one_type
from graphmask.topology import Topology

from ._sequences import CHUNK, attend_causally, attend_in_parts, scan
from .base import Attended, EntrywiseOperator, MaskOperator, Rule, Sign
from .executions import append_ones, split_sums


class CausalOperator(EntrywiseOperator):
    r"""``M_ij = gamma_h^(i - j)`` where j is node i of a graph or one before it, else 0.

    In the exponent, i and j are ranks within the graph.

    Args:
        topology: the sequences.
        log_decay: ``[H]``, logarithms of gamma, at most 0. (default: :obj:`None`, all ones, one
            head)
        reverse: whether j is i or one after it: the transpose. (default: :obj:`False`)
        part: C, nodes of a sequence that attention sums at once, and again for derivatives.
            (default: :obj:`None`, all)

    Cost: O(N) per column. Attention in O(N (L + m) d) by chunks of L nodes, 32 to 128 of them by m
    and d, with a state of ``m (d + 1)`` numbers per chunk and head and no lifted keys; in parts of
    C nodes these are kept for one part, and for others the state before them.

    Source: Katharopoulos et al., "Transformers are RNNs" (ICML 2020), for the recurrence; Sun et
    al., "Retentive Network" (arXiv 2307.08621), for the decay and the sums by chunks.

    Example:
        >>> import torch, graphmask as gm
        >>> two = gm.Topology(torch.empty(2, 0, dtype=torch.long), batch=torch.tensor([0, 1, 0]))
        >>> gm.operators.CausalOperator(two) @ torch.tensor([1.0, 2.0, 4.0])
        tensor([[1., 2., 5.]])
    """

    def __init__(
        self,
        topology: Topology,
        log_decay: Tensor | None = None,
        reverse: bool = False,
        part: int | None = None,
    ) -> None:
        self.log_decay, self.reverse, self.part = log_decay, reverse, part
        heads = 1 if log_decay is None else len(log_decay)
        super().__init__(topology, heads, Sign.NONNEGATIVE, topology.num_nodes * (CHUNK + 2))

    def _matmul(self, x: Tensor) -> Tensor:
        x = x if self.log_decay is None else in_one_type(x, self.log_decay)[0]
        return self._along(partial(scan, log_decay=self.log_decay), x)

    def _transpose(self) -> MaskOperator:
        return CausalOperator(self.topology, self.log_decay, not self.reverse, self.part)

    def _own_rule(self, channels: int, scores: Scores) -> Rule:
        return self._attend_by_chunks

    def _attend_by_chunks(self, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        q, k, v = in_one_type(q, k, v)
        sums: Callable[..., Tensor] = partial(attend_causally, log_decay=self.log_decay)
        if self.part is not None:
            sums = partial(attend_in_parts, log_decay=self.log_decay, size=self.part)
        values = append_ones(v, scores)
        return split_sums(self._along(sums, q, k, values), scores)

    def _attend_by_parts(
        self, feature_map: FeatureMap, q: Tensor, k: Tensor, v: Tensor, scores: Scores
    ) -> Attended | None:
        # Padding has no features, and code that torch compiles none of single parts.
        is_able = scores.factored and feature_map.in_parts and q.shape == k.shape and len(q[0])
        if self.part is None or not is_able or not self.topology.blocks.is_view:
            return None
        if torch.compiler.is_compiling():
            return None
        sums = partial(
            attend_in_parts,
            log_decay=self.log_decay,
            size=self.part,
            features=feature_map,
            append=scores.normalized,
        )
        return split_sums(self._along(sums, q, k, v), scores)

    def _along(self, sums: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """``sums`` of the graphs, stacked as ``[H, G, w, C]`` and padded at their ends."""

        def run(*group: Tensor) -> Tensor:
            return self._orient(sums(*map(self._orient, group)))

        return self.topology.blocks.map(run, inputs)

    def _orient(self, x: Tensor) -> Tensor:
        return x.flip(2) if self.reverse else x

    def _at(self, row: Tensor, col: Tensor) -> Tensor:
        rank = self.topology.local_index
        gap = rank[col] - rank[row] if self.reverse else rank[row] - rank[col]
        entries = torch.ones(1, *gap.shape, device=gap.device)
        if self.log_decay is not None:
            entries = self.log_decay.exp().reshape(-1, *[1] * gap.dim()) ** gap.clamp(min=0)
        return self._within_graphs(entries.masked_fill(gap < 0, 0), row, col)
