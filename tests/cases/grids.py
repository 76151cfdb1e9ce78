"""Masks on sequences, grids, hypercubes and products of graphs."""

from __future__ import annotations

from collections.abc import Callable

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


MASK_REFERENCES |= {masks.CausalMask: _causal}

MASKS = (
    Case("causal", masks.CausalMask),
    Case("causal-decay", lambda: scrambled(masks.CausalMask(0.9, heads=2))),
    Case("causal-chunks", masks.CausalMask, topologies=sequences),
    Case("causal-decay-chunks", lambda: scrambled(masks.CausalMask((0.9, 0.99))), topologies=sequences),
)

OPERATORS = (
    Case("causal", operators.CausalOperator),
    Case("causal-decay", lambda t: operators.CausalOperator(t, torch.tensor([-0.1, -1e-3, -40.0])), topologies=sequences),
)
