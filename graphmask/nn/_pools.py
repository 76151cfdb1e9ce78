"""Pools over graphs whose nodes several processes hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_geometric import nn as pyg

from graphmask._checks import value_error
from graphmask._part import Part
from graphmask.kernels.products import accumulator
from graphmask.topology import Topology


def pool_parts(pool: Callable[..., Tensor], x: Tensor, topology: Topology) -> Tensor:
    """Features ``[B, C]`` of graphs from those of own nodes, the same in all processes.

    Raises:
        ValueError: for anything but sums, means, maxima and minima, or several of them side by
            side.
    """
    part, size = topology.part, topology.num_graphs
    index = torch.zeros(len(x), dtype=torch.long, device=x.device)
    if topology.batch is not None:
        index = part.own(topology.batch)
    wide = x.to(accumulator(x))
    pooled = [_rule(each, pool)(part, wide, index, size) for each in _side_by_side(pool)]
    return torch.cat(pooled, 1).to(x.dtype)


def _side_by_side(pool: Any) -> list[Any]:
    is_multiple = isinstance(pool, pyg.aggr.MultiAggregation) and pool.mode == "cat"
    return list(pool.aggrs) if is_multiple else [pool]


def _rule(each: Any, pool: Any) -> Callable[[Part, Tensor, Tensor, int], Tensor]:
    key = type(each) if isinstance(each, pyg.Aggregation) else each
    if key not in _RULES:
        expected = "sum, mean, max or min, or several side by side, for a graph in parts"
        raise value_error("pool", expected, repr(pool))
    return _RULES[key]


def _sum(part: Part, x: Tensor, index: Tensor, size: int) -> Tensor:
    return part.sum(x.new_zeros(size, x.shape[1]).index_add(0, index, x))


def _mean(part: Part, x: Tensor, index: Tensor, size: int) -> Tensor:
    count = part.sum(torch.bincount(index, minlength=size).to(x.dtype))
    return _sum(part, x, index, size) / count.clamp(min=1).unsqueeze(1)


def _max(part: Part, x: Tensor, index: Tensor, size: int) -> Tensor:
    """The largest values; all nodes that have one share its gradient."""
    known = x.detach()
    largest = known.new_full((size, x.shape[1]), -torch.inf)
    largest = part.max(largest.scatter_reduce(0, index.unsqueeze(1).expand_as(x), known, "amax"))
    is_largest = known == largest[index]
    zeros = known.new_zeros(largest.shape)
    count = part.sum(zeros.index_add(0, index, is_largest.to(x.dtype)))
    shared = part.sum(zeros.index_add(0, index, torch.where(is_largest, x, 0)))
    share = shared / count.clamp(min=1)
    return largest.masked_fill(largest.isneginf(), 0) + (share - share.detach())


def _min(part: Part, x: Tensor, index: Tensor, size: int) -> Tensor:
    return -_max(part, -x, index, size)


_RULES: dict[Any, Callable[[Part, Tensor, Tensor, int], Tensor]] = {
    pyg.global_add_pool: _sum,
    pyg.global_mean_pool: _mean,
    pyg.global_max_pool: _max,
    pyg.aggr.SumAggregation: _sum,
    pyg.aggr.MeanAggregation: _mean,
    pyg.aggr.MaxAggregation: _max,
    pyg.aggr.MinAggregation: _min,
}
