"""A learnable value per hop of the shortest path."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity, vstack
from torch import Tensor

from graphmask._checks import check_integer, value_error
from graphmask._deprecation import deprecated_arguments, warn_deprecated
from graphmask.kernels import HopValues, Pattern
from graphmask.operators import MaskOperator, SparseOperator
from graphmask.topology import Topology

from .base import Structure, TopologicalMask
from .coefficients import Coefficients, Free, make_coefficients

# Default limit of stored pairs: with 4 heads about 3 GiB.
_MAX_ENTRIES = 2**26

# Rows whose balls grow together, and the multiply-adds of one sparse product: rows are halved
# until it takes no more.
_ROWS = 8192
_WORK = 2**25

# Marks the entries that a hop reaches, so that known entries are told from new ones.
_NEW = 2**30


@deprecated_arguments(max_hops="hops")
class ShortestPathMask(TopologicalMask):
    r"""One learnable value per hop distance and head.

    :math:`M_{ij} = \alpha_{d(j \to i)}` where the distance is at most K.

    The distance counts the edges of the shortest directed path from j to i; a pair further apart,
    or without a path, has no entry. Edges count whatever their weights, those of weight 0 too;
    parallel edges are one, and self-loops lie on no shortest path. With
    :class:`~graphmask.features.scores.Exponentials` as scores this is softmax attention on balls,
    each pair with a learnable factor: Graphormer's spatial encoding, which adds the logarithm of
    that factor to the score, truncated at K hops.

    All pairs within K hops are stored. Where balls grow too large for that,
    :class:`~graphmask.masks.WalkMask` on :class:`~graphmask.walks.Shells` estimates this mask from
    a budget of pairs per node, without bias.

    Args:
        hops: K. (default: :obj:`3`)
        heads: H. (default: :obj:`1`)
        alpha: values of hops 0 to K, see :mod:`graphmask.masks.coefficients`. (default:
            :class:`~graphmask.masks.Free`)
        max_entries: pairs that may be stored. A node of high degree brings all its neighbours
            within 2 hops of each other; larger balls raise an error. (default:
            67,108,864)

    Raises:
        ValueError: for a negative number of hops, fewer than one head, and, given a graph with more
            pairs within K hops than ``max_entries``.

    Cost: O(p) per product column for p pairs; attention in O(p (m + d)). The balls are computed
    once per topology, in O(p x mean degree) time and O(p K) memory.

    Source: Ying et al., "Do Transformers Really Perform Bad for Graph Representation?" (NeurIPS
    2021), eq. 6.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]), num_nodes=4)
        >>> mask = gm.masks.ShortestPathMask(hops=2)
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
        hops: int = 3,
        heads: int = 1,
        alpha: Callable[[int, int], Coefficients] = Free,
        max_entries: int = _MAX_ENTRIES,
    ) -> None:
        super().__init__(heads)
        self.alpha = make_coefficients(alpha, check_integer("hops", hops, 0), heads)
        self.max_entries = check_integer("max_entries", max_entries, 1)

    @property
    def hops(self) -> int:
        """K."""
        return self.alpha.hops

    @property
    def max_hops(self) -> int:
        """Deprecated name of :attr:`hops`."""
        warn_deprecated("ShortestPathMask.max_hops", "ShortestPathMask.hops")
        return self.hops

    @property
    def reach(self) -> int | None:
        return self.hops

    def _operator(self, topology: Topology) -> MaskOperator:
        return shell_operator(topology, self.alpha, self.max_entries)

    def _structure(self, topology: Topology) -> Structure:
        balls = k_hop_balls_of(topology, self.hops, self.max_entries)
        return Structure(support=balls.pattern)

    def __repr__(self) -> str:
        alpha = type(self.alpha).__name__
        return f"ShortestPathMask(hops={self.hops}, heads={self.heads}, alpha={alpha})"


def shell_operator(
    topology: Topology, alpha: Coefficients, max_entries: int = _MAX_ENTRIES
) -> SparseOperator:
    """The matrix of alpha at hop distances."""
    balls = k_hop_balls_of(topology, alpha.hops, max_entries)
    values = HopValues(balls.hop_table, alpha())
    return SparseOperator(topology, balls.pattern, values, alpha.nonnegative)


def k_hop_balls_of(topology: Topology, hops: int, max_entries: int = _MAX_ENTRIES) -> Balls:
    """:func:`k_hop_balls`, computed once per graph."""
    return topology.derive(k_hop_balls, hops, max_entries)


class Balls(NamedTuple):
    """The pairs (i, j) with a path from j to i of at most K edges.

    Attributes:
        pattern: the pairs.
        hop_table: ``[nnz, K + 1]``, 1 at the number of edges of the shortest path. A product with
            it has a faster backward pass than indexing values by hops.
    """

    pattern: Pattern
    hop_table: Tensor


def k_hop_balls(topology: Topology, hops: int, max_entries: int) -> Balls:
    """Compute all pairs within K hops of each other.

    Raises:
        ValueError: if there are more than ``max_entries``.

    Cost: O(nnz x mean degree) time, O(nnz K) memory.
    """
    pattern, device = topology.pattern, topology.device
    ones = np.ones(pattern.nnz, dtype=np.int32)
    edges = csr_matrix(
        (ones, pattern.col.cpu().numpy(), pattern.rowptr.cpu().numpy()), shape=pattern.shape
    )
    search = _BreadthFirstSearch(edges, hops, max_entries)
    for start in range(0, topology.num_nodes, _ROWS):
        search.run(np.arange(start, min(start + _ROWS, topology.num_nodes)))
    balls = vstack(search.balls, format="csr") if search.balls else edges
    rowptr, col, hop = (
        torch.from_numpy(x).to(device) for x in (balls.indptr, balls.indices, balls.data - 1)
    )
    table = torch.zeros(len(hop), hops + 1, device=device).scatter_(1, hop.long().unsqueeze(1), 1)
    return Balls(Pattern.from_counts(rowptr.long().diff(), col, edges.shape[1]), table)


class _BreadthFirstSearch:
    """Breadth-first search from many nodes at once, by products with the edges."""

    def __init__(self, edges: csr_matrix, hops: int, max_entries: int) -> None:
        self.edges, self.hops, self.max_entries = edges, hops, max_entries
        self.degree = np.diff(edges.indptr)
        self.balls: list[csr_matrix] = []  # entries are one more than their hops
        self.entries = 0

    def run(self, rows: NDArray[np.int64]) -> None:
        """Append the balls around these nodes."""
        ball = identity(self.edges.shape[0], dtype=np.int32, format="csr")[rows]
        front = ball
        for hop in range(1, self.hops + 1):
            if not front.nnz:
                break
            if len(rows) > 1 and int(self.degree[front.indices].sum()) > _WORK:
                for half in np.array_split(rows, 2):
                    self.run(half)
                return
            ball, front = self._step(ball, front, hop)
        self.balls.append(ball)
        self.entries += ball.nnz

    def _step(self, ball: csr_matrix, front: csr_matrix, hop: int) -> tuple[csr_matrix, csr_matrix]:
        """The ball of one hop more, and its new entries."""
        reached = front @ self.edges
        reached.data[:] = _NEW
        reached.sort_indices()
        total = ball + reached
        if self.entries + total.nnz > self.max_entries:
            raise value_error(
                "max_entries",
                f"at least the pairs of nodes within {self.hops} hops (fewer hops make fewer)",
                f"{self.max_entries}, passed at hop {hop}",
            )
        is_new = total.data == _NEW
        total.data = np.where(is_new, hop + 1, total.data % _NEW)
        indptr = np.concatenate([[0], np.cumsum(is_new)])[total.indptr]
        ones = np.ones(indptr[-1], dtype=np.int32)
        return total, csr_matrix((ones, total.indices[is_new], indptr), shape=total.shape)
