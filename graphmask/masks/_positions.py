"""Positions of nodes, and dense matrices of their pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask._checks import value_error
from graphmask._precision import to_double
from graphmask.operators import SparseOperator
from graphmask.operators._grids import pairs_within_graphs
from graphmask.operators.base import check_dense
from graphmask.topology import Topology


def centred_positions(topology: Topology, dim: int, dtype: torch.dtype) -> Tensor:
    """``[N, D]`` positions about the mean of each graph, so that offsets keep their digits.

    Raises:
        ValueError: for a topology without positions, or with positions of another dimension.
    """
    pos = topology.pos
    if pos is None:
        expected = "with positions: Topology(..., pos=) or Data(pos=)"
        raise value_error("topology", expected, f"{topology!r} with pos=None")
    if pos.shape[1] != dim:
        expected = f"with positions of dimension {dim}, as the mask's dim"
        raise value_error("topology", expected, f"pos of shape {list(pos.shape)}")
    pos = to_double(pos)  # means are the same in any order then, up to the rounding of dtype
    if topology.batch is None:
        return (pos - pos.mean(0, keepdim=True)).to(dtype)
    share = pos * inverse_sizes(topology, pos.dtype)
    mean = pos.new_zeros(topology.num_graphs, dim).index_add(0, topology.batch, share)
    return (pos - mean[topology.batch]).to(dtype)


def inverse_sizes(topology: Topology, dtype: torch.dtype) -> Tensor:
    """``[N, 1]``, one over the number of nodes of each node's graph."""
    sizes = topology.graph_sizes.to(dtype)
    sizes = sizes.expand(topology.num_nodes) if topology.batch is None else sizes[topology.batch]
    return 1 / sizes.unsqueeze(1)


def offsets(topology: Topology, dim: int, dtype: torch.dtype) -> Tensor:
    """``[N, N, D]``, the offsets between all nodes.

    Raises:
        ValueError: as :func:`centred_positions`, and for more than 2^31 numbers.
    """
    check_dense(topology.num_nodes, topology.num_nodes, dim)
    pos = centred_positions(topology, dim, dtype)
    return pos.unsqueeze(1) - pos.unsqueeze(0)


def from_dense(topology: Topology, dense: Tensor) -> SparseOperator:
    """The blocks of a non-negative matrix ``[H, N, N]`` on the graphs, as an operator."""
    pattern = topology.derive(pairs_within_graphs)
    value = dense[:, pattern.row.long(), pattern.col.long()]
    return SparseOperator(topology, pattern, value, nonnegative=True)
