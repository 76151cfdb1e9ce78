"""What masks on walks share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor

from graphmask._checks import check_integer, type_error, value_error
from graphmask.kernels import Pattern
from graphmask.operators import MaskOperator, PowerSeriesOperator, SparseOperator
from graphmask.topology import Normalization, Topology
from graphmask.walks import ResampledWalks, Walks, WalkSampler

from .base import TopologicalMask, WalkDemand
from .coefficients import Coefficients


class MaskOnWalks(TopologicalMask):
    """Coefficients per hop, and a sampler for topologies without walks."""

    def __init__(self, coefficients: Coefficients, sampler: WalkSampler | None, seed: int) -> None:
        super().__init__(coefficients.heads)
        self.coefficients = coefficients
        self.sampler = ResampledWalks(hops=self.hops) if sampler is None else sampler
        if not isinstance(self.sampler, WalkSampler):
            raise type_error("sampler", "a WalkSampler, such as ResampledWalks()", sampler)
        if self.sampler.hops < self.hops:
            raise value_error(
                "sampler", f"of at least {self.hops} hops, as the mask", repr(self.sampler)
            )
        self.seed = check_integer("seed", seed, 0)

    @property
    def hops(self) -> int:
        """K."""
        return self.coefficients.hops

    @property
    @abstractmethod
    def num_sets(self) -> int:
        """Number of independent sets of walks that this mask reads."""

    @abstractmethod
    def target(self, topology: Topology) -> MaskOperator:
        """The mask that this one estimates, exact.

        W has the normalisation that the topology's walks were drawn with, or the sampler's where
        they do not tell.

        Cost: nothing yet; its products are those of a power series, O(K E) per column and factor.
        """

    @property
    def walk_demand(self) -> WalkDemand:
        return WalkDemand(self.num_sets, self.sampler, self.seed)

    def _read(self, topology: Topology) -> tuple[Walks, ...]:
        """The sets of walks of this mask."""
        if len(topology.walk_sets) < self.num_sets:
            raise value_error(
                "topology",
                f"with {self.num_sets} set(s) of walks: topology.with_walks(...), AddWalks(sampler, sets={self.num_sets}), "
                "or mask.prepare(topology)",
                repr(topology),
            )
        wanted = topology.requires_grad and torch.is_grad_enabled()
        for walks in topology.walk_sets[: self.num_sets]:
            if walks.num_hops < self.hops:
                raise value_error(
                    "topology", f"with walks of at least {self.hops} hops, as the mask", repr(walks)
                )
            if wanted and not walks.requires_grad and bool((walks.hop > 0).any()):
                raise value_error(
                    "edge_weight",
                    "without gradient beside walks that were drawn without one: detach() it, or leave the walks to a mask "
                    "whose sampler carries gradients, such as WalkMask(sampler=IIDWalks())",
                    topology.edge_weight,
                )
        self._normalization(topology)
        return topology.walk_sets[: self.num_sets]

    def _combine(self, topology: Topology, walks: Walks, coefficients: Tensor) -> SparseOperator:
        """``sum_t c_t S_t`` for the coefficients c ``[H, K + 1]`` of each head."""
        unused = coefficients.new_zeros(self.heads, walks.num_hops - self.hops)
        value = walks.values(torch.cat([coefficients, unused], 1))
        return SparseOperator(
            topology, walks.pattern, value, self.coefficients.nonnegative and walks.nonnegative
        )

    def _factors(self, topology: Topology) -> list[SparseOperator]:
        """:meth:`_combine` for each set of walks."""
        coefficients = self.coefficients()
        return [self._combine(topology, walks, coefficients) for walks in self._read(topology)]

    def _series(self, topology: Topology) -> MaskOperator:
        """``sum_t c_t W^t``, what :meth:`_combine` estimates."""
        pattern, weight = topology.adjacency(self._normalization(topology))
        nonnegative = self.coefficients.nonnegative and topology.nonnegative
        return PowerSeriesOperator(topology, pattern, weight, self.coefficients(), nonnegative)

    def _normalization(self, topology: Topology) -> Normalization:
        """Of the W that the walks of this mask estimate."""
        known = {walks.normalization for walks in topology.walk_sets[: self.num_sets]} - {"unknown"}
        if len(known) > 1:
            raise value_error(
                "topology", "with walks of one normalisation", sorted(map(str, known))
            )
        return known.pop() if known else self.sampler.normalization  # type: ignore[return-value]

    def _patterns(self, topology: Topology) -> Iterable[Pattern]:
        return [pattern for walks in self._read(topology) for pattern in walks.structures]
