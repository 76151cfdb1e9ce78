"""Balls of a graph: which nodes reach which within a few hops, and how many hops it takes them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity, vstack
from torch import Tensor

from graphmask._checks import value_error
from graphmask.kernels import Pattern
from graphmask.topology import Topology

# Rows that balls are grown for together, and multiply-adds of one sparse product: rows are halved
# until it takes no more.
_ROWS = 8192
_WORK = 2**25

# Added to what a hop reaches, so that what was reached before is told from what is new.
_NEW = 2**30


class Balls(NamedTuple):
    """The pairs (i, j) with a path from j to i of at most ``max_hops`` edges, and the ``[nnz]`` edges of the shortest."""

    pattern: Pattern
    hop: Tensor


def grow_balls(topology: Topology, max_hops: int, max_entries: int) -> Balls:
    """All pairs within ``max_hops`` of each other.

    Raises:
        ValueError: where there are more than ``max_entries``.

    Cost: O(nnz x mean degree) time, O(nnz) memory.
    """
    pattern = topology.pattern
    ones = np.ones(pattern.nnz, dtype=np.int32)
    edges = csr_matrix(
        (ones, pattern.col.cpu().numpy(), pattern.rowptr.cpu().numpy()), shape=pattern.shape
    )
    growth = _Growth(edges, max_hops, max_entries)
    for start in range(0, topology.num_nodes, _ROWS):
        growth.grow(np.arange(start, min(start + _ROWS, topology.num_nodes)))
    return growth.balls(topology.device)


class _Growth:
    """Breadth-first search from many nodes at once, by products with the edges."""

    def __init__(self, edges: csr_matrix, max_hops: int, max_entries: int) -> None:
        self.edges, self.max_hops, self.max_entries = edges, max_hops, max_entries
        self.degree = np.diff(edges.indptr)
        self.parts: list[csr_matrix] = []
        self.entries = 0

    def grow(self, rows: NDArray[np.int64]) -> None:
        """The balls around these nodes, after those that are there."""
        found = identity(self.edges.shape[0], dtype=np.int32, format="csr")[rows]
        front = found
        for hop in range(1, self.max_hops + 1):
            if not front.nnz:
                break
            if len(rows) > 1 and int(self.degree[front.indices].sum()) > _WORK:
                for half in np.array_split(rows, 2):
                    self.grow(half)
                return
            found, front = self._step(found, front, hop)
        self.parts.append(found)
        self.entries += found.nnz

    def balls(self, device: torch.device) -> Balls:
        """All of them as one pattern."""
        whole = vstack(self.parts, format="csr") if self.parts else self.edges
        rowptr, col, hop = (
            torch.from_numpy(x).to(device) for x in (whole.indptr, whole.indices, whole.data - 1)
        )
        return Balls(Pattern.from_counts(rowptr.long().diff(), col, self.edges.shape[1]), hop)

    def _step(
        self, found: csr_matrix, front: csr_matrix, hop: int
    ) -> tuple[csr_matrix, csr_matrix]:
        """What is found with one hop more, as one more than its hops, and of it what is new."""
        reached = front @ self.edges
        reached.data[:] = _NEW
        reached.sort_indices()
        total = found + reached
        if self.entries + total.nnz > self.max_entries:
            raise value_error(
                "max_entries",
                f"at least the pairs of nodes within {self.max_hops} hops (fewer hops make fewer)",
                f"{self.max_entries}, passed at hop {hop}",
            )
        fresh = total.data == _NEW
        total.data = np.where(fresh, hop + 1, total.data % _NEW)
        kept = np.concatenate([[0], np.cumsum(fresh)])[total.indptr]
        new = csr_matrix(
            (np.ones(kept[-1], dtype=np.int32), total.indices[fresh], kept), shape=total.shape
        )
        return total, new
