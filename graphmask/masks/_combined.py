"""What masks that are made of other masks share."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from graphmask._checks import refuse, refuse_type
from graphmask.kernels import Pattern
from graphmask.topology import Topology

from .base import TopologicalMask, WalkDemand


class CombinedMask(TopologicalMask):
    """Masks of the same number of heads, or of one, on the same walks."""

    def __init__(self, *masks: TopologicalMask) -> None:
        if not masks:
            raise refuse("masks", "at least one", "none")
        for mask in masks:
            if not isinstance(mask, TopologicalMask):
                raise refuse_type("masks", "masks", mask)
        heads = {mask.heads for mask in masks}
        if len(heads - {1}) > 1:
            raise refuse("masks", "of the same number of heads, or one", f"heads {sorted(heads)}")
        super().__init__(max(heads))
        self.masks = nn.ModuleList(masks)
        kinds = {str(demand.sampler.normalization) for demand in self._demands()}
        if len(kinds) > 1:
            raise refuse("masks", "on walks of the same normalisation, since they share them", f"{sorted(kinds)}")

    @property
    def ordered(self) -> bool:  # type: ignore[override]
        """Whether any of the masks is."""
        return any(mask.ordered for mask in self._parts())

    @property
    def walk_demand(self) -> WalkDemand | None:
        """Walks that serve every mask: as many sets as any reads, drawn by the sampler of most hops."""
        demands = self._demands()
        if not demands:
            return None
        longest = max(demands, key=lambda demand: demand.sampler.hops)
        return longest._replace(sets=max(demand.sets for demand in demands))

    def _patterns(self, topology: Topology) -> Iterable[Pattern]:
        return [pattern for mask in self._parts() for pattern in mask._patterns(topology)]

    def _parts(self) -> list[TopologicalMask]:
        return [mask for mask in self.masks if isinstance(mask, TopologicalMask)]

    def _demands(self) -> list[WalkDemand]:
        found = (mask.walk_demand for mask in self._parts())
        return [demand for demand in found if demand is not None]

    def reset_parameters(self) -> None:
        for mask in self._parts():
            mask.reset_parameters()
