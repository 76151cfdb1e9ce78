"""Ones within chunks of consecutive nodes."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask._checks import check_integer
from graphmask.kernels import Pattern
from graphmask.operators import MaskOperator, SparseOperator
from graphmask.operators._grids import pairs_within_graphs
from graphmask.topology import Topology

from .base import Structure, TopologicalMask


class ChunkMask(TopologicalMask):
    r"""Ones between nodes of one chunk of C consecutive nodes.

    .. math:: M_{ij} = 1 \text{ for } \lfloor i / C \rfloor = \lfloor j / C \rfloor, \text{ else } 0

    i and j are the ranks of nodes within their graph, whose last chunk may be shorter. With
    a global or causal mask beside it, near nodes get scores of their own kind and all others linear
    attention; ``CausalMask() * ChunkMask(C)`` are the earlier nodes of the chunk.

    Args:
        size: C, nodes of a chunk.

    Cost: O(N C) per product column, and memory for as many pairs; attention in O(N C (m + d)).

    Source: Hua et al., "Transformer Quality in Linear Time" (ICML 2022), section 3.2.

    Example:
        >>> import torch, graphmask as gm
        >>> three = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=3)
        >>> gm.masks.ChunkMask(2)(three).to_dense()
        tensor([[[1., 1., 0.],
                 [1., 1., 0.],
                 [0., 0., 1.]]])
    """

    cost = "N C"
    ordered = True

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = check_integer("size", size, 1)

    def _operator(self, topology: Topology) -> MaskOperator:
        pattern = topology.derive(chunk_pairs, self.size)
        ones = torch.ones(1, pattern.nnz, device=topology.device)
        return SparseOperator(topology, pattern, ones, nonnegative=True)

    def _structure(self, topology: Topology) -> Structure:
        return Structure(support=topology.derive(chunk_pairs, self.size))

    def __repr__(self) -> str:
        return f"ChunkMask({self.size})"


def chunk_pairs(topology: Topology, size: int) -> Pattern:
    """Make the pattern of all pairs of nodes of the same chunk."""
    no_edges = topology.edge_index.new_empty(2, 0)
    return pairs_within_graphs(Topology(no_edges, batch=_chunk_of(topology, size)))


def _chunk_of(topology: Topology, size: int) -> Tensor:
    """``[N]``, the number of the chunk of each node."""
    chunk = torch.div(topology.local_index, size, rounding_mode="floor")
    if topology.batch is None:
        return chunk
    counts = torch.div(topology.graph_sizes + size - 1, size, rounding_mode="floor")
    return chunk + (counts.cumsum(0) - counts)[topology.batch]
