"""Shells: hop distances on balls of any size, with a budget per node."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from torch import Tensor

from graphmask._checks import check_integer
from graphmask._precision import to_double
from graphmask._random import uniform
from graphmask._walks import Walks
from graphmask.kernels import Pattern
from graphmask.topology import Topology

from ._rows import PairRows, Rows, find_thresholds, pointers, resample
from .base import WalkSampler

# Marks the entries that a hop reaches, so that known entries are told from new ones.
_NEW = 2**30

# Entries that one sparse product may form, and rows whose pairs are chosen at a time.
_WORK = 2**25
_ROWS = 2**14


class Shells(WalkSampler):
    r"""Hop distances instead of powers of W, about ``budget`` pairs per node.

    The shell of a pair is its hop distance: the number of edges of the shortest directed path from
    j to i, as :class:`~graphmask.masks.ShortestPathMask` counts it, whatever the weights of edges.
    With

    .. math:: (D_t)_{ij} = [d(j \to i) = t], \qquad E[S_t] = D_t

    a :class:`~graphmask.masks.WalkMask` on these walks has one coefficient per hop distance and
    head, :math:`\sum_t \alpha_t D_t`. In powers of W a node weighs about 1 at itself where a
    neighbour weighs 1 / degree, and reach grows as the root of t; here each hop has its own
    coefficient.

    Distances are exact. Where a ball of K hops holds at most ``budget`` nodes, its row is exact, 0
    or 1 at every pair: the values of ``ShortestPathMask``, which stores all balls and raises an
    error where these grow too large. Elsewhere no ball is formed as a whole. Nodes have random
    ranks; of each ball of t hops the ``budget`` nodes of least rank are known, and by them the size
    of each shell. A row then keeps up to ``budget`` pairs, as many of each shell as of any other,
    or all of it, and divides them by the probability that they are kept: **unbiased**, and the
    near shells, which are small, stay exact. The pair of a node with itself always stays. The sum
    of a row over a shell is its size to a relative error of about 1 / sqrt(budget).

    The values are constants: they have no derivative with respect to edge weights.

    Args:
        budget: pairs stored per row, at most (give or take one); at least 2. (default: :obj:`64`)
        hops: K. (default: :obj:`8`)

    Raises:
        ValueError: for a budget below 2 or negative hops.

    Cost: O(E budget (1 + log(n / budget))) time for balls of n nodes, hubs included, and O(N budget
    (K + log(n / budget))) memory, on the CPU whatever the device; 8 products of sparse matrices for
    8 hops.

    Source: the nodes of least rank of all balls are the all-distances sketches of Cohen,
    "Size-Estimation Framework with Applications to Transitive Closure and Reachability" (JCSS 1997)
    and "All-Distances Sketches, Revisited: HIP Estimators for Massive Graphs Analysis" (PODS 2014),
    with its probabilities of inclusion; their use for masks is this library's. Hop distances as a
    bias are those of Ying et al., "Do Transformers Really Perform Bad for Graph Representation?"
    (NeurIPS 2021).

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> gm.walks.Shells(budget=3, hops=2)(path).to_dense()[2]
        tensor([[0., 0., 1.],
                [0., 0., 0.],
                [1., 0., 0.]])
        >>> mask = gm.masks.WalkMask(hops=2, sampler=gm.walks.Shells(budget=3, hops=2))
        >>> mask.alpha.value.data = torch.tensor([[5.0, 3.0, -1.0]])
        >>> mask(mask.prepare(path)).to_dense().tolist()
        [[[5.0, 3.0, -1.0], [3.0, 5.0, 3.0], [-1.0, 3.0, 5.0]]]
    """

    normalization: Literal["shells"] = "shells"  # type: ignore[assignment]
    reads_weights = False

    def __init__(self, budget: int = 64, hops: int = 8) -> None:
        self.budget = check_integer("budget", budget, 2)
        self.hops = check_integer("hops", hops, 0)

    def _draw(self, topology: Topology, seed: int) -> Walks:
        number, device = topology.local_index.cpu(), topology.device
        rank, draw = uniform(seed, 0, number), uniform(seed, 1, number)
        order = torch.argsort(rank, stable=True)
        # A ball without a node of a next rank is known as a whole.
        rank = torch.cat([rank[order], rank.new_ones(1)])
        sketches = _draw_sketches(topology.pattern, order, self.hops, self.budget)
        dtype = topology.adjacency(None)[1].dtype
        blocks = [
            self._choose(sketches, first, draw[first : first + _ROWS], order, rank, dtype)
            for first in range(0, max(len(order), 1), _ROWS)
        ]
        pairs = PairRows.concatenate(blocks)
        return PairRows(*(tensor.to(device) for tensor in pairs)).to_walks(self.normalization)

    def _choose(
        self,
        sketches: _Sketches,
        first: int,
        draw: Tensor,
        order: Tensor,
        rank: Tensor,
        dtype: torch.dtype,
    ) -> PairRows:
        """The pairs of the rows from ``first`` on, one for each of ``draw``."""
        row, place, hop, following = sketches.read_rows(first, first + len(draw))
        keep, share = self._thin(row - first, hop, draw)
        row, col, hop = row[keep] - first, order[place[keep]], hop[keep]
        weight = (1 / (share * rank[following]))[keep].to(dtype)
        by_col = torch.argsort(row * len(order) + col)
        table = torch.zeros(len(row), self.hops + 1, dtype=dtype)
        table.scatter_(1, hop[by_col].unsqueeze(1), weight[by_col].unsqueeze(1))
        return PairRows(torch.bincount(row, minlength=len(draw)), col[by_col], table)

    def _thin(self, row: Tensor, hop: Tensor, draw: Tensor) -> tuple[Tensor, Tensor]:
        """Select the entries that stay, and give the probability of each."""
        num_rows, width = len(draw), self.hops + 1
        in_wide = torch.bincount(row, minlength=num_rows)[row] > self.budget
        keep, share = torch.ones_like(in_wide), torch.ones_like(in_wide, dtype=draw.dtype)
        at = (in_wide & (hop > 0)).nonzero().squeeze(1)
        shell = row[at] * width + hop[at]
        size = 1 / to_double(torch.bincount(shell, minlength=num_rows * width)[shell])
        rows = Rows(pointers(row[at], num_rows), hop[at], size)
        limit = find_thresholds(size, rows.counts, self.budget - 1)
        keep[at], value = resample(rows, limit, draw)
        share[at] = size / value
        return keep, share


class _Sketches(NamedTuple):
    """Nodes of balls, one array ``[4, n]`` for each distance, sorted by row and then rank.

    Its lines are the row i, the place of the node j in the order of ranks, the distance from j to
    i, and the place of the first rank that is not in the sketch of the ball, N if there is none.
    """

    found: list[NDArray[np.int32]]

    def read_rows(self, first: int, last: int) -> Tensor:
        """``[4, n]``, entries of some rows, by row, then distance, then rank."""
        parts = []
        for part in self.found:
            begin, end = np.searchsorted(part[0], (first, last))
            parts.append(part[:, begin:end])
        entries = torch.from_numpy(np.concatenate(parts, axis=1)).long()
        return entries[:, torch.argsort(entries[0], stable=True)]


def _draw_sketches(pattern: Pattern, order: Tensor, hops: int, size: int) -> _Sketches:
    """The ``size`` first nodes, in an order, of the balls of 0 to K hops around each node.

    The first nodes of a ball are the first among those of the balls of one hop less around its
    centre and the neighbours of that. A node that is not among the first of the ball of its own
    distance is not among those of any larger one.
    """
    num_nodes = len(order)
    ones, ptr = np.ones(pattern.nnz, np.int32), pattern.rowptr.cpu().numpy()
    edges = csr_matrix((ones, pattern.col.cpu().numpy(), ptr), shape=pattern.shape)
    place = np.empty(num_nodes, np.int32)
    place[order.numpy()] = np.arange(num_nodes, dtype=np.int32)
    front = balls = csr_matrix(
        (np.ones(num_nodes, np.int32), place, np.arange(num_nodes + 1)), shape=pattern.shape
    )
    rows = np.arange(num_nodes, dtype=np.int32)
    found = [np.stack([rows, place, np.zeros_like(rows), np.full_like(rows, num_nodes)])]
    for hop in range(1, hops + 1):
        if not front.nnz:
            break
        steps = [
            _step(first, edges[first:last], balls[first:last], front, size)
            for first, last in _blocks(edges, front)
        ]
        balls, front = (vstack([step[i] for step in steps], format="csr") for i in (0, 1))
        row, col, following = np.concatenate([step[2] for step in steps], axis=1)
        found.append(np.stack([row, col, np.full_like(row, hop), following]))
    return _Sketches(found)


def _blocks(edges: csr_matrix, front: csr_matrix) -> list[tuple[int, int]]:
    """Ranges of rows whose products with ``front`` form few entries."""
    terms = np.cumsum(edges @ np.diff(front.indptr).astype(np.int64))
    cuts = np.searchsorted(terms, np.arange(_WORK, terms[-1], _WORK), side="right")
    ends = np.unique(np.concatenate([[0], cuts, [len(terms)]])).tolist()
    return list(pairwise(ends))


def _step(
    start: int, edges: csr_matrix, balls: csr_matrix, front: csr_matrix, size: int
) -> tuple[csr_matrix, csr_matrix, NDArray[np.int32]]:
    """Grow the balls of some rows by one hop.

    Returns:
        the first ``size + 1`` nodes of the balls; those of them that are new; and (row, place, next
        place) of the new ones among the first ``size``.
    """
    reached = edges @ front
    reached.data[:] = _NEW
    reached.sort_indices()
    total = balls + reached
    counts = np.diff(total.indptr)
    begin = total.indptr[:-1]
    row = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    position = np.arange(total.nnz, dtype=np.int32) - begin[row]
    is_first, is_new = position <= size, total.data == _NEW
    following = np.full(len(counts), balls.shape[1], np.int32)
    is_wide = counts > size
    following[is_wide] = total.indices[begin[is_wide] + size]
    found = is_new & (position < size)
    entries = np.stack([row[found] + start, total.indices[found], following[row[found]]])
    return _select(total, is_first), _select(total, is_first & is_new), entries


def _select(matrix: csr_matrix, mask: NDArray[np.bool_]) -> csr_matrix:
    """Ones at the entries where the mask is true."""
    ptr = np.concatenate([[0], np.cumsum(mask)])[matrix.indptr]
    return csr_matrix((np.ones(ptr[-1], np.int32), matrix.indices[mask], ptr), shape=matrix.shape)
