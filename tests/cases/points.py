"""Masks of low rank, entrywise products, and masks on positions."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask import operators
from graphmask.topology import Topology

from .base import Case


def _normal(topology: Topology, heads: int, rank: int, seed: int) -> Tensor:
    return torch.randn(heads, topology.num_nodes, rank, generator=torch.Generator().manual_seed(seed))


def _low_rank(topology: Topology, rank: int = 3, heads: int = 2, **known: bool) -> operators.LowRankOperator:
    return operators.LowRankOperator(topology, _normal(topology, heads, rank, 4), _normal(topology, 2, rank, 5), **known)


def _positive(topology: Topology, rank: int) -> operators.LowRankOperator:
    factor = _normal(topology, 1, rank, 6).abs()
    return operators.LowRankOperator(topology, factor, factor.flip(1), nonnegative=True)


MASKS = ()

OPERATORS = (
    Case("low-rank", _low_rank),
    Case("low-rank-estimate", lambda t: _low_rank(t, heads=1, estimate=True)),
    Case("low-rank-estimate-wide", lambda t: _low_rank(t, rank=9, estimate=True)),
    Case("low-rank-positive", lambda t: _positive(t, rank=2)),
    Case("low-rank-positive-wide", lambda t: _positive(t, rank=6)),
    Case("low-rank-and-global", lambda t: operators.GlobalOperator(t) + _low_rank(t, estimate=True)),
)
