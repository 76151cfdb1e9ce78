"""The judge: a graph with the exact rows of every mask that is estimated on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch

from graphmask.masks import TopologicalMask
from graphmask.reference import convolution
from graphmask.topology import Topology
from graphmask.walks import Walks, WalkSampler

from .contenders import Estimator
from .exact import Rows, adjacency, estimated_rows, exact_rows, stored_entries
from .graphs import Graph
from .kernels import Kernel
from .results import Sample

# Graphs up to this size are judged by all of their rows.
_SMALL = 1000


class Draws:
    """Independent sets of walks from one seed, drawn as they are asked for.

    Args:
        sampler: draws them.
        topology: the graph.
        seed: of all sets together.
    """

    def __init__(self, sampler: WalkSampler, topology: Topology, seed: int) -> None:
        self.sampler, self.seed = sampler, seed
        self._topology, self._generator = topology, torch.Generator().manual_seed(seed)
        self._sets: list[Walks] = []
        self._seconds: list[float] = []

    def take(self, count: int) -> tuple[Topology, float]:
        """The topology with the first sets, and the seconds that drawing them took."""
        while len(self._sets) < count:
            start = perf_counter()
            self._sets.append(self.sampler(self._topology, self._generator))
            self._seconds.append(perf_counter() - start)
        return self._topology.with_walks(*self._sets[:count]), sum(self._seconds[:count])

    @property
    def seconds(self) -> float:
        """That all sets took so far."""
        return sum(self._seconds)


class _Goal(NamedTuple):
    """The exact rows of what is estimated, the pairs per row of the series cut at K hops, and the distance from it."""

    exact: Rows
    support: float
    truncation: float


class Judge:
    """Exact rows of a graph, and the errors of masks by them.

    Args:
        graph: to be judged on.
        estimators: of masks.
        kernels: of masks.
        hops: K.
        rows: by which graphs of more than 1,000 nodes are judged, drawn at random; smaller ones are
            by all.
        seed: of the graph and the rows.

    Attributes:
        topology: of the graph.

    Cost: O(rows L E) time, O(rows N) memory per kernel at most, for L hops of the longest product.
    """

    def __init__(
        self,
        graph: Graph,
        estimators: Sequence[Estimator],
        kernels: Sequence[Kernel],
        hops: int,
        rows: int,
        seed: int,
    ) -> None:
        self.graph, self.topology, self._kernels = graph, graph.make(seed), kernels
        # Made once here, so that it is in no draw's time.
        self.topology.adjacency()
        count = self.topology.num_nodes
        chosen = np.random.default_rng(seed).choice(count, min(rows, count), replace=False)
        self._rows = np.arange(count) if count <= _SMALL else np.sort(chosen)
        self._goals = self._find_goals(estimators, hops)

    def samples(self, estimator: Estimator, setting: float, draws: Draws) -> Iterator[Sample]:
        """The estimator's errors on some draws, one sample for each kernel."""
        for kernel in self._kernels:
            mask = estimator.mask(kernel.alpha, draws.sampler)
            sets = _count_sets(mask)
            topology, seconds = draws.take(sets)
            with torch.no_grad():
                operator = mask(topology)
            estimate = estimated_rows(operator, self._rows)
            entries = stored_entries(operator)
            goal = self._goals[estimator.name, kernel.name]
            yield Sample(
                self.graph.name,
                self.topology.num_nodes,
                kernel.name,
                estimator.name,
                setting,
                draws.seed,
                sets,
                entries,
                pairs=entries if sets == 1 else estimate.nnz / len(self._rows),
                support=goal.support,
                truncation=goal.truncation,
                seconds=seconds,
                **goal.exact.errors(estimate)._asdict(),
            )

    def _find_goals(
        self, estimators: Sequence[Estimator], hops: int
    ) -> dict[tuple[str, str], _Goal]:
        """For each estimator and kernel; series that several share are multiplied out once."""
        cut = {kernel.name: kernel.alpha(hops, 1)()[0].tolist() for kernel in self._kernels}
        wanted = {(e.name, k.name): _series(e, k, hops) for e in estimators for k in self._kernels}
        series = list(dict.fromkeys(map(tuple, (*cut.values(), *wanted.values()))))
        found = exact_rows(adjacency(self.topology), self._rows, _pad(series))
        exact = {each: Rows(target, self._rows) for each, target in zip(series, found, strict=True)}
        goals = {}
        for (estimator, kernel), aimed in wanted.items():
            mine, whole = exact[tuple(aimed)], exact[tuple(cut[kernel])]
            truncation = whole.errors(mine.target).error if mine is not whole else 0.0
            goals[estimator, kernel] = _Goal(
                mine, np.count_nonzero(whole.target.data) / len(self._rows), truncation
            )
        return goals


def _series(estimator: Estimator, kernel: Kernel, hops: int) -> list[float]:
    """The coefficients of the powers of W in the expectation of a mask, where W is symmetric."""
    family = estimator.family
    mask = estimator.mask(kernel.alpha, family.make(family.ladder[0], hops))
    return convolution(mask.coefficients().detach(), _count_sets(mask))[0].tolist()


def _pad(series: Sequence[Sequence[float]]) -> np.ndarray:
    longest = max(map(len, series))
    return np.array([[*each, *[0.0] * (longest - len(each))] for each in series])


def _count_sets(mask: TopologicalMask) -> int:
    demand = mask.walk_demand
    return 1 if demand is None else demand.sets
