"""The walks that a mask reads, drawn for topologies that have none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch

from graphmask._checks import value_error
from graphmask._warnings import warn_once
from graphmask.topology import Topology
from graphmask.walks import WalkSampler

# Training draws the walks of a graph of this many nodes this many times before it warns.
_LARGE = 1000
_MANY = 5


class WalkDemand(NamedTuple):
    """The walks that a mask reads.

    Attributes:
        sets: number of independent sets.
        sampler: draws the sets of a topology that has none.
        seed: seed of these draws.
    """

    sets: int
    sampler: WalkSampler
    seed: int

    def draw(self, topology: Topology) -> Topology:
        """Return the topology with newly drawn walks."""
        generator = torch.Generator().manual_seed(self.seed)
        return topology.with_walks(*(self.sampler(topology, generator) for _ in range(self.sets)))


def join_demands(name: str, demands: Iterable[WalkDemand | None]) -> WalkDemand | None:
    """The walks that serve several masks: the most sets, by the sampler of most hops.

    Raises:
        ValueError: for walks of different normalisations.
    """
    wanted = [demand for demand in demands if demand is not None]
    if not wanted:
        return None
    normalizations = {str(demand.sampler.normalization) for demand in wanted}
    if len(normalizations) > 1:
        expected = "on walks of the same normalisation, since they share them"
        raise value_error(name, expected, f"{sorted(normalizations)}")
    longest = max(wanted, key=lambda demand: demand.sampler.hops)
    return longest._replace(sets=max(demand.sets for demand in wanted))


class DrawCounter:
    """Counts draws for one large graph in training, and warns when they repeat."""

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = None
        self.draws = 0

    def count(self, mask: str, topology: Topology) -> None:
        """Count one draw by the mask of this name."""
        if torch.compiler.is_compiling() or topology.num_nodes < _LARGE:
            return
        size = topology.num_nodes, topology.num_edges
        self.draws = self.draws + 1 if size == self.size else 1
        self.size = size
        if self.draws == _MANY and torch.is_grad_enabled():
            warn_once(
                "walks in every call",
                f"{mask} has drawn the walks of a graph of {size[0]:,} nodes {_MANY} times while "
                "training, which costs far more than attention. Draw them once: "
                "data = graphmask.transforms.AddWalks(sampler)(data), and call the model with "
                "Topology.from_data(data), or with mask.prepare(topology) made once.",
            )
