"""A learnable value per hop of the shortest path."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from graphmask._checks import check_integer
from graphmask.kernels import HopValues, Pattern
from graphmask.operators import MaskOperator, SparseOperator
from graphmask.topology import Topology

from ._balls import Balls, grow_balls
from .base import TopologicalMask
from .coefficients import Coefficients, Free, make_coefficients

# Pairs that are stored at most, unless more are asked for: with 4 heads about 3 GiB.
_MAX_ENTRIES = 2**26


class ShortestPathMask(TopologicalMask):
    r"""One learnable value per hop distance and head.

    :math:`M_{ij} = \alpha_{d(j \to i)}` where the distance is at most K.

    The distance counts the edges of the shortest directed path from j to i; a pair further apart,
    or without a path, has no entry. Edges count whatever their weights, those of weight 0 too;
    parallel edges are one, and self-loops lie on no shortest path. With
    :class:`~graphmask.features.scores.Exponentials` as scores this is softmax attention on balls,
    each pair with a
    learnable factor: Graphormer's spatial encoding, which adds the logarithm of that factor to the
    score, cut at K hops.

    Args:
        max_hops: K. (default: :obj:`3`)
        heads: H. (default: :obj:`1`)
        alpha: values of hops 0 to K, see :mod:`graphmask.masks.coefficients`. (default:
            :class:`~graphmask.masks.Free`)
        max_entries: pairs that may be stored. Nodes of high degree bring all of their neighbours
            within 2 hops of each other: balls that grow beyond this are refused. (default:
            67,108,864)

    Raises:
        ValueError: for a negative number of hops, fewer than one head, and, given a graph with more
            pairs within K hops than ``max_entries``.

    Cost: O(p) per product column for p pairs; attention in O(p (m + d)). The balls are found once
    per topology, in O(p x mean degree) time and O(p K) memory.

    Source: Ying et al., "Do Transformers Really Perform Bad for Graph Representation?" (NeurIPS
    2021), eq. 6.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]), num_nodes=4)
        >>> mask = gm.masks.ShortestPathMask(max_hops=2)
        >>> mask.alpha.value.data = torch.tensor([[5.0, 3.0, -1.0]])
        >>> mask(path).to_dense()
        tensor([[[ 5.,  3., -1.,  0.],
                 [ 3.,  5.,  3., -1.],
                 [-1.,  3.,  5.,  3.],
                 [ 0., -1.,  3.,  5.]]], grad_fn=<ViewBackward0>)
    """

    cost = "N p"

    def __init__(
        self,
        max_hops: int = 3,
        heads: int = 1,
        alpha: Callable[[int, int], Coefficients] = Free,
        max_entries: int = _MAX_ENTRIES,
    ) -> None:
        super().__init__(heads)
        self.alpha = make_coefficients(alpha, check_integer("max_hops", max_hops, 0), heads)
        self.max_entries = check_integer("max_entries", max_entries, 1)

    @property
    def max_hops(self) -> int:
        """K."""
        return self.alpha.hops

    def _operator(self, topology: Topology) -> MaskOperator:
        table = topology.derive(_hop_table, self.max_hops, self.max_entries)
        values = HopValues(table, self.alpha())
        return SparseOperator(topology, self._support(topology), values, self.alpha.nonnegative)

    def _patterns(self, topology: Topology) -> Iterable[Pattern]:
        topology.derive(_hop_table, self.max_hops, self.max_entries)
        return (self._support(topology),)

    def _support(self, topology: Topology) -> Pattern:
        return self._balls(topology).pattern

    def _balls(self, topology: Topology) -> Balls:
        return topology.derive(grow_balls, self.max_hops, self.max_entries)

    def __repr__(self) -> str:
        return f"ShortestPathMask(max_hops={self.max_hops}, heads={self.heads}, alpha={type(self.alpha).__name__})"


def _hop_table(topology: Topology, max_hops: int, max_entries: int) -> Tensor:
    """``[nnz, K + 1]``, 1 at the hop of each pair.

    A product with it is summed faster, backward, than a choice of values.
    """
    hop = topology.derive(grow_balls, max_hops, max_entries).hop.long()
    table = torch.zeros(len(hop), max_hops + 1, device=hop.device)
    return table.scatter_(1, hop.unsqueeze(1), 1)
