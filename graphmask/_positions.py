"""Positions about the mean of their graph, so that their differences keep all digits."""

from __future__ import annotations

import torch
from torch import Tensor

from ._checks import value_error
from ._precision import to_double
from .topology import Topology


def centred_positions(topology: Topology, dim: int, dtype: torch.dtype) -> Tensor:
    """``[N, D]`` positions about the mean of each graph.

    Positions far from the origin are first made differences to a corner of their graph, so that the
    mean is one of small numbers.

    Raises:
        ValueError: for a topology without positions, or with positions of another dimension.
    """
    pos = topology.pos
    if pos is None:
        expected = "with positions: Topology(..., pos=) or Data(pos=)"
        raise value_error("topology", expected, f"{topology!r} with pos=None")
    if pos.shape[1] != dim:
        expected = f"with positions of dimension {dim}, as `dim`"
        raise value_error("topology", expected, f"pos of shape {list(pos.shape)}")
    pos = to_double(pos)  # means are the same in any order then, up to the rounding of dtype
    if topology.batch is None:
        pos = pos - pos[:1].detach()
        return (pos - pos.mean(0, keepdim=True)).to(dtype)
    pos = pos - _corners(pos.detach(), topology)[topology.batch]
    share = pos * inverse_sizes(topology, pos.dtype)
    mean = pos.new_zeros(topology.num_graphs, dim).index_add(0, topology.batch, share)
    return (pos - mean[topology.batch]).to(dtype)


def inverse_sizes(topology: Topology, dtype: torch.dtype) -> Tensor:
    """``[N, 1]``, one over the number of nodes of each node's graph."""
    sizes = topology.graph_sizes.to(dtype)
    sizes = sizes.expand(topology.num_nodes) if topology.batch is None else sizes[topology.batch]
    return 1 / sizes.unsqueeze(1)


def _corners(pos: Tensor, topology: Topology) -> Tensor:
    """``[B, D]``, the least coordinates of each graph."""
    assert topology.batch is not None
    index = topology.batch.unsqueeze(1).expand_as(pos)
    largest = pos.new_full((topology.num_graphs, pos.shape[1]), torch.inf)
    return largest.scatter_reduce(0, index, pos, "amin")
