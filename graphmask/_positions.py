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
    if not topology.part.is_whole:
        return (pos - _means_of_parts(pos, topology)).to(dtype)
    if topology.batch is None:
        pos = pos - pos[:1].detach()
        return (pos - pos.mean(0, keepdim=True)).to(dtype)
    pos = pos - _corners(pos.detach(), topology)[topology.batch]
    share = pos * inverse_sizes(topology, pos.dtype)
    mean = pos.new_zeros(topology.num_graphs, dim).index_add(0, topology.batch, share)
    return (pos - mean[topology.batch]).to(dtype)


def inverse_sizes(topology: Topology, dtype: torch.dtype) -> Tensor:
    """``[N, 1]``, one over the number of nodes of each node's graph."""
    sizes = _count_nodes(topology).to(dtype)
    sizes = sizes.expand(topology.num_nodes) if topology.batch is None else sizes[topology.batch]
    return 1 / sizes.unsqueeze(1)


def _count_nodes(topology: Topology) -> Tensor:
    """``[B]``, nodes of each graph, counted by those that own them."""
    part = topology.part
    if part.is_whole:
        return topology.graph_sizes
    return part.sum(torch.bincount(_own_batch(topology), minlength=topology.num_graphs))


def _own_batch(topology: Topology) -> Tensor:
    if topology.batch is not None:
        return topology.part.own(topology.batch)
    zeros = torch.zeros(topology.num_nodes, dtype=torch.long, device=topology.device)
    return topology.part.own(zeros)


def _means_of_parts(pos: Tensor, topology: Topology) -> Tensor:
    """``[N or 1, D]``, the mean position of each node's graph, over the own nodes of all parts."""
    part, batch, size = topology.part, _own_batch(topology), topology.num_graphs
    index = batch.unsqueeze(1).expand(-1, pos.shape[1])
    lowest = -pos.new_full((size, pos.shape[1]), torch.inf)
    corner = -part.max(lowest.scatter_reduce(0, index, -part.own(pos.detach()), "amax"))
    corner = corner.masked_fill(corner.isinf(), 0)
    total = torch.zeros_like(corner).index_add(0, batch, part.own(pos) - corner[batch])
    mean = corner + part.sum(total) / _count_nodes(topology).clamp(min=1).unsqueeze(1)
    return mean if topology.batch is None else mean[topology.batch]


def _corners(pos: Tensor, topology: Topology) -> Tensor:
    """``[B, D]``, the least coordinates of each graph."""
    assert topology.batch is not None
    index = topology.batch.unsqueeze(1).expand_as(pos)
    largest = pos.new_full((topology.num_graphs, pos.shape[1]), torch.inf)
    return largest.scatter_reduce(0, index, pos, "amin")
