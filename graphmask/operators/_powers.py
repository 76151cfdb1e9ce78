"""Powers of a sparse adjacency at the pairs that they join, where these are few."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix, identity
from torch import Tensor

from graphmask._precision import to_double
from graphmask.kernels import Pattern
from graphmask.kernels.products import accumulator
from graphmask.topology import Normalization, Topology

# Nodes of the largest graph from which on powers are formed: attention runs by blocks below.
LEAST_NODES = 512

# Pairs per node, and numbers per node, up to which they are kept; and multiply-adds per pair that
# may form them: hubs would take more.
_PAIRS, _NUMBERS, _TERMS = 160, 1120, 32


class Powers(NamedTuple):
    """The powers 0 to K of W.

    Attributes:
        pattern: the P pairs that walks of at most K hops join.
        table: ``[P, K + 1]``, their entries in each power.
    """

    pattern: Pattern
    table: Tensor


def find_powers(topology: Topology, normalization: Normalization, hops: int) -> Powers | None:
    """The powers of W up to ``hops``, once per graph; None where pairs are many, or graphs small.

    None as well for a part of a graph, weights that want a gradient, and in code that torch
    compiles.
    """
    if hops < 2 or topology.requires_grad or not topology.part.is_whole:
        return None
    if torch.compiler.is_compiling() or topology.largest_graph < LEAST_NODES:
        return None
    return topology.derive(make_powers, normalization, hops)


def make_powers(topology: Topology, normalization: Normalization, hops: int) -> Powers | None:
    """:func:`find_powers`, from products of sparse matrices on the CPU."""
    pattern, weight = topology.adjacency(normalization)
    rowptr, col, value = (
        x.numpy(force=True) for x in (pattern.rowptr, pattern.col, to_double(weight))
    )
    W, degree = csr_matrix((value, col, rowptr), shape=pattern.shape), np.diff(rowptr)
    most = min(_PAIRS, _NUMBERS // (hops + 1)) * topology.num_nodes
    powers = [identity(topology.num_nodes, format="csr")]
    pairs = _support(powers[0])
    for _ in range(hops):
        if int(degree[powers[-1].indices].sum()) > _TERMS * most:
            return None
        powers.append(powers[-1] @ W)
        pairs = _support(pairs + _support(powers[-1]))
        if pairs.nnz > most:
            return None
    pairs.sort_indices()
    keys, table = _keys(pairs), torch.zeros(pairs.nnz, hops + 1, dtype=torch.float64)
    for hop, power in enumerate(powers):
        table[torch.from_numpy(np.searchsorted(keys, _keys(power))), hop] = torch.from_numpy(
            power.data
        )
    counts, col = (torch.from_numpy(x).long() for x in (np.diff(pairs.indptr), pairs.indices))
    support = Pattern.from_counts(counts.to(weight.device), col.to(weight.device), pairs.shape[1])
    return Powers(support, table.to(weight.device, accumulator(weight)))


def _support(matrix: csr_matrix) -> csr_matrix:
    """Ones at the stored entries."""
    ones = np.ones(matrix.nnz, np.int32)
    return csr_matrix((ones, matrix.indices, matrix.indptr), shape=matrix.shape)


def _keys(matrix: csr_matrix) -> np.ndarray:
    """``i N + j`` of the entries."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return row * matrix.shape[1] + matrix.indices
