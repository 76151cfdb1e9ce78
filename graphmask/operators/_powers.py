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

# Pairs per node, and numbers per node and of all, up to which they are kept.
_PAIRS, _NUMBERS, _MOST = 160, 1120, 2**28

# Rows that are multiplied at once, how many times the pairs of others they may have, and
# multiply-adds per pair that may form them: hubs take more.
_ROWS, _UNEVEN, _TERMS = 8192, 4, 32


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
    """:func:`find_powers`, from products of sparse matrices on the CPU, some rows at a time."""
    pattern, weight = topology.adjacency(normalization)
    tensors = to_double(weight), pattern.col, pattern.rowptr
    W = csr_matrix(tuple(x.numpy(force=True) for x in tensors), shape=pattern.shape)
    nodes = topology.num_nodes
    per_node = min(_PAIRS, _NUMBERS // (hops + 1))
    most, blocks, total = min(per_node * nodes, _MOST // (hops + 1)), [], 0
    start = identity(nodes, format="csr")
    for first in range(0, nodes, _ROWS):
        rows = start[first : first + _ROWS]
        block = _multiply(rows, W, hops, min(most - total, _UNEVEN * per_node * rows.shape[0]))
        if block is None:
            return None
        total += len(block[1])
        blocks.append(block)
    counts, col, table = (torch.from_numpy(np.concatenate(x)) for x in zip(*blocks, strict=True))
    device = weight.device
    support = Pattern.from_counts(counts.long().to(device), col.long().to(device), nodes)
    return Powers(support, table.to(device, accumulator(weight)))


def _multiply(
    rows: csr_matrix, W: csr_matrix, hops: int, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Pairs per row, their columns, and the table of the powers of some rows.

    None for hubs, and as soon as there are more than ``most`` pairs.
    """
    degree, powers, pairs = np.diff(W.indptr), [rows], _support(rows)
    for _ in range(hops):
        if int(degree[powers[-1].indices].sum()) > _TERMS * _PAIRS * _ROWS:
            return None
        powers.append(powers[-1] @ W)
        pairs = _support(pairs + _support(powers[-1]))
        if pairs.nnz > most:
            return None
    pairs.sort_indices()
    keys, table = _keys(pairs), np.zeros((pairs.nnz, hops + 1), np.float64)
    for hop, power in enumerate(powers):
        table[np.searchsorted(keys, _keys(power)), hop] = power.data
    return np.diff(pairs.indptr), pairs.indices, table


def _support(matrix: csr_matrix) -> csr_matrix:
    """Ones at the stored entries."""
    ones = np.ones(matrix.nnz, np.int32)
    return csr_matrix((ones, matrix.indices, matrix.indptr), shape=matrix.shape)


def _keys(matrix: csr_matrix) -> np.ndarray:
    """``i N + j`` of the entries."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return row * matrix.shape[1] + matrix.indices.astype(np.int64)
