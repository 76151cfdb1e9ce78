"""What masks that are made of masks share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from torch import nn

from graphmask._checks import type_error, value_error
from graphmask.topology import Topology

from .base import TopologicalMask, WalkDemand

if TYPE_CHECKING:
    from graphmask.kernels import Pattern


class CombinedMask(TopologicalMask):
    """Masks of the same number of heads, or of one, on the same walks."""

    def __init__(self, *masks: TopologicalMask) -> None:
        if not masks:
            raise value_error("masks", "at least one", "none")
        for mask in masks:
            if not isinstance(mask, TopologicalMask):
                raise type_error(
                    "masks",
                    "TopologicalMasks, and what they are multiplied with a number or tensor",
                    mask,
                )
        heads = {mask.heads for mask in masks}
        if len(heads - {1}) > 1:
            raise value_error(
                "masks", "of the same number of heads, or one", f"heads {sorted(heads)}"
            )
        super().__init__(max(heads))
        self.masks = nn.ModuleList(masks)
        kinds = {str(demand.sampler.normalization) for demand in self._demands()}
        if len(kinds) > 1:
            raise value_error(
                "masks",
                "on walks of the same normalisation, since they share them",
                f"{sorted(kinds)}",
            )

    @property
    def cost(self) -> str:  # type: ignore[override]
        """The sum of their costs, equal ones once."""
        terms = (term for mask in self._parts() if mask.cost for term in mask.cost.split(" + "))
        return " + ".join(dict.fromkeys(terms))

    @property
    def ordered(self) -> bool:  # type: ignore[override]
        """Whether any of them is."""
        return any(mask.ordered for mask in self._parts())

    @property
    def walk_demand(self) -> WalkDemand | None:
        """Walks that serve all of them.

        As many sets as any reads, drawn by the sampler of most hops.
        """
        demands = self._demands()
        if not demands:
            return None
        longest = max(demands, key=lambda demand: demand.sampler.hops)
        return longest._replace(sets=max(demand.sets for demand in demands))

    def prepare(self, topology: Topology) -> Topology:
        topology = super().prepare(topology)
        for mask in self._parts():
            mask.prepare(topology)
        return topology

    def reset_parameters(self) -> None:
        for mask in self._parts():
            mask.reset_parameters()

    def _patterns(self, topology: Topology) -> Iterable[Pattern]:
        return [pattern for mask in self._parts() for pattern in mask._patterns(topology)]

    def _parts(self) -> Iterator[TopologicalMask]:
        for mask in self.masks:
            assert isinstance(mask, TopologicalMask)
            yield mask

    def _demands(self) -> list[WalkDemand]:
        found = (mask.walk_demand for mask in self._parts())
        return [demand for demand in found if demand is not None]
