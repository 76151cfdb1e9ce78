"""Causal attention over sequences, with a learnable decay."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from graphmask._checks import check_integer, type_error, value_error
from graphmask._precision import double_dtype
from graphmask.operators import CausalOperator, MaskOperator
from graphmask.operators._grids import grids_of
from graphmask.topology import Topology

from .base import TopologicalMask


class CausalMask(TopologicalMask):
    r"""Each node sees itself and the nodes before it in its graph.

    :math:`M_{ij} = \gamma_h^{i - j}` for j <= i, else 0.

    Ranks i and j count the nodes of a graph in their order; nodes of other graphs may stand between
    them. Edges are not read.

    Args:
        decay: initial :math:`\gamma`, between 0 and 1: a number, or one per head. It is learned as
            its logit. (default: :obj:`None`, all ones, which all heads share)
        heads: H; without a decay it is 1. (default: :obj:`None`, the length of ``decay``)
        length: number of nodes of every graph, if known and equal; other graphs are an error then.
            A factor of :class:`~graphmask.masks.KroneckerMask` needs it. (default: :obj:`None`,
            graphs of any size)
        chunk: C, nodes of a sequence whose features attention maps and sums at once. Less memory,
            since the backward pass computes each chunk again from the state before it, and more
            time. (default: :obj:`None`, all)

    Raises:
        ValueError: for a decay that is not between 0 and 1, heads that do not fit it, and graphs
            not of ``length`` nodes.

    Cost: O(N) per product column; attention in O(N (L + m) d) time by chunks of L nodes (32 to
    128), with a state of ``m (d + 1)`` numbers for each chunk. Beside q, k, v and the output it
    holds O(N (L + m + d)) numbers; with chunks of C nodes gradients of N (4 d + 1) and O(C (L + m +
    d) + N m d / C). In batches of unequal sequences, and compiled code, features of all nodes are
    mapped before, 2 N m numbers.

    Source: Choromanski et al., "Rethinking Attention with Performers" (ICLR 2021), for prefix sums;
    Sun et al., "Retentive Network" (arXiv 2307.08621), for the decay; Likhosherstov et al.,
    "Sub-Linear Memory: How to Make Performers SLiM" (NeurIPS 2021), for chunks that are computed
    again. There whole models run chunk by chunk, and states before chunks are recovered by
    subtraction; here attention alone does, and keeps them, as a decay cannot be divided out.

    Example:
        >>> import torch, graphmask as gm
        >>> three = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=3)
        >>> gm.masks.CausalMask(decay=0.5)(three).to_dense().tolist()
        [[[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.25, 0.5, 1.0]]]
    """

    cost = "N"
    ordered = True

    def __init__(
        self,
        decay: float | Sequence[float] | None = None,
        heads: int | None = None,
        length: int | None = None,
        chunk: int | None = None,
    ) -> None:
        start = _check_decay(decay, heads)
        super().__init__(1 if start is None else len(start))
        self.shape = None if length is None else (check_integer("length", length, 1),)
        self.chunk = None if chunk is None else check_integer("chunk", chunk, 1)
        self._start = start
        self.logit = None if start is None else nn.Parameter(torch.empty(self.heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.logit is not None:
            self.logit.data.copy_(torch.logit(torch.tensor(self._start, dtype=double_dtype())))

    def _operator(self, topology: Topology) -> MaskOperator:
        if self.shape is not None:
            grids_of(topology, self.shape)
        log_decay = None if self.logit is None else logsigmoid(self.logit)
        return CausalOperator(topology, log_decay, part=self.chunk)

    def __repr__(self) -> str:
        length = "" if self.shape is None else f", length={self.shape[0]}"
        chunk = "" if self.chunk is None else f", chunk={self.chunk}"
        return f"CausalMask(decay={self._start}{length}{chunk})"


def _check_decay(decay: float | Sequence[float] | None, heads: int | None) -> list[float] | None:
    """One decay per head."""
    count = None if heads is None else check_integer("heads", heads, 1)
    if decay is None:
        if count not in (None, 1):
            raise value_error("heads", "1 without a `decay`: all heads share this mask", count)
        return None
    decays = [decay] * (count or 1) if isinstance(decay, (int, float)) else list(decay)
    if not decays or count not in (None, len(decays)):
        expected = f"a number or one per head, H = {count or 'at least 1'}"
        raise value_error("decay", expected, f"{len(decays)} numbers")
    for value in decays:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise type_error("decay", "a number, or one per head", value)
        if not 0 < value < 1:
            raise value_error("decay", "between 0 and 1", value)
    return [float(value) for value in decays]
