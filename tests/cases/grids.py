"""Masks on sequences, grids, hypercubes and products of graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphmask import masks, operators, reference
from graphmask.testing.graphs import join
from graphmask.topology import Topology

from .base import MASK_REFERENCES, Case, scrambled

NONE = torch.empty(2, 0, dtype=torch.long)


def grids(size: int) -> Callable[[], dict[str, Topology]]:
    """One graph of this many nodes, and several of them mixed."""

    def make() -> dict[str, Topology]:
        one = Topology(NONE, size)
        return {"one": one, "several": join([one] * 3, interleaved=True)[0]}

    return make


def of_sizes(*sizes: int) -> Topology:
    """Graphs without edges, mixed."""
    return join([Topology(NONE, size) for size in sizes], interleaved=True)[0]


def sequences() -> dict[str, Topology]:
    """Longer than a chunk, too."""
    return {"one": of_sizes(1), "long": of_sizes(150), "ragged": of_sizes(3, 130, 1, 65, 2)}


def batch_of(topology: Topology) -> Tensor:
    return torch.zeros(topology.num_nodes, dtype=torch.long) if topology.batch is None else topology.batch


def _causal(mask: masks.CausalMask, topology: Topology) -> Tensor:
    gamma = torch.ones(1) if mask.logit is None else 1 / (1 + (-mask.logit.double()).exp())
    return reference.causal_mask(topology.num_nodes, gamma, topology.batch)


def _toeplitz(mask: masks.ToeplitzMask, topology: Topology) -> Tensor:
    value = mask.raw.double() if mask.signed else mask.raw.double().exp()
    of_grid = reference.grid_distance_mask if mask.shared else reference.toeplitz_mask
    block = of_grid(value, mask.shape)
    return reference.blocks_of(reference.with_class_token(block) if mask.class_token else block, batch_of(topology))


MASK_REFERENCES |= {masks.CausalMask: _causal, masks.ToeplitzMask: _toeplitz}


def toeplitz(*shape: int, **options: Any) -> masks.ToeplitzMask:
    return scrambled(masks.ToeplitzMask(shape, heads=2, **options))


def _toeplitz_operator(topology: Topology) -> operators.ToeplitzOperator:
    value = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(4))
    return operators.ToeplitzOperator(topology, (2, 3), value, nonnegative=False)


MASKS = (
    Case("causal", masks.CausalMask),
    Case("causal-decay", lambda: scrambled(masks.CausalMask(0.9, heads=2))),
    Case("causal-chunks", masks.CausalMask, topologies=sequences),
    Case("causal-decay-chunks", lambda: scrambled(masks.CausalMask((0.9, 0.99))), topologies=sequences),
    Case("toeplitz-line", lambda: toeplitz(7), topologies=grids(7)),
    Case("toeplitz-plane", lambda: toeplitz(3, 4), topologies=grids(12)),
    Case("toeplitz-space", lambda: toeplitz(2, 1, 3), topologies=grids(6)),
    Case("toeplitz-signed", lambda: toeplitz(2, 5, signed=True), topologies=grids(10)),
    Case("toeplitz-class-token", lambda: toeplitz(3, 2, class_token=True), topologies=grids(7)),
    Case("toeplitz-distance", lambda: toeplitz(3, 3, shared="distance"), topologies=grids(9)),
    Case("toeplitz-distance-space", lambda: toeplitz(2, 2, 2, shared="distance", class_token=True), topologies=grids(9)),
    Case("toeplitz-one-node", lambda: toeplitz(1), topologies=grids(1)),
)

OPERATORS = (
    Case("causal", operators.CausalOperator),
    Case("causal-decay", lambda t: operators.CausalOperator(t, torch.tensor([-0.1, -1e-3, -40.0])), topologies=sequences),
    Case("toeplitz", _toeplitz_operator, topologies=grids(6)),
)
