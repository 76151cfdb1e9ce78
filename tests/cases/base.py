"""What a case is, and what cases share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask import reference, walks
from graphmask.masks import TopologicalMask
from graphmask.testing import example_topologies
from graphmask.topology import Topology

TOPOLOGIES = tuple(example_topologies())


@dataclass(frozen=True)
class Case:
    """A public thing: its name, how to make it, and what its laws need to know of it."""

    name: str
    make: Callable[..., Any]
    differentiable: bool = False  # in edge_weight
    channels: int = 4
    per_graph: bool = False
    data: Callable[[], Data] | None = None
    reference: Callable[[Any, Tensor], Tensor] | None = None  # of a thing and its input
    key_reference: Callable[[Any, Tensor], Tensor] | None = (
        None  # where keys are mapped differently
    )
    topologies: Callable[[], dict[str, Topology]] = example_topologies  # where a mask is defined

    def __str__(self) -> str:
        return self.name


def scrambled(module: torch.nn.Module) -> Any:
    """The module with random parameters of both signs, without the global random state."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.data.copy_(
            torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.7
        )
    return module


def seeded(make: Callable[[], Any]) -> Any:
    """What ``make`` makes from a fixed global random state, which is then put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


# Masks [H, N, N] as dense formulas of their parameters and a topology with all that they read, by
# their types.
MASK_REFERENCES: dict[type, Callable[[Any, Topology], Tensor]] = {}


def mask_reference(mask: TopologicalMask, topology: Topology) -> Tensor:
    return MASK_REFERENCES[type(mask)](mask, topology)


def adjacency_reference(topology: Topology, normalization: Any) -> Tensor:
    return reference.adjacency(
        topology.edge_index, topology.num_nodes, topology.edge_weight, normalization
    )


def walks_reference(topology: Topology, number: int, hops: int) -> Tensor:
    """Estimates at all pairs, zeros included, since these have a gradient too."""
    drawn = topology.walk_sets[number]
    pairs, width = drawn.pattern, drawn.num_hops + 1
    row, col = (index.long().repeat_interleave(width) for index in (pairs.row, pairs.col))
    hop = torch.arange(width).repeat(pairs.nnz)
    entries = (row, col, hop, drawn.table.flatten())
    return reference.walk_matrices(*entries, drawn.num_nodes, drawn.num_hops)[: hops + 1]


def random_walks(hops: int, **options: Any) -> walks.ResampledWalks:
    """A budget so small that nearly every row is thinned at random."""
    return walks.ResampledWalks(budget=2, hops=hops, width=4, **options)


def parameter(*values: float) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor(values))
