"""The run: every comparison on every graph, its sides in turn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import torch

from graphmask._checks import check_integer, value_error
from graphmask._console import find_named
from graphmask.benchmark.estimators import ESTIMATORS, KERNELS, Graph, Sample
from graphmask.benchmark.estimators.judge import Draws, Judge
from graphmask.benchmark.measure import explain
from graphmask.benchmark.problem import Problem
from graphmask.benchmark.scenes import MOLECULES, TORUS, Scene
from graphmask.benchmark.turns import synchronizer, time_in_turn
from graphmask.topology import Topology

from .comparisons import COMPARISONS, Comparison
from .results import Errors, Paired
from .sides import Estimate, Side, Timed

_ERROR_HOPS = 8
_ERROR_ROWS = 256

Progress = Callable[[str], object]


@dataclass(frozen=True)
class Match:
    """What to compare, and where.

    Args:
        comparisons: see :data:`COMPARISONS`. (default: all)
        nodes: sizes of the graphs.
        scenes: the graphs. (default: an epsilon graph)
        molecules: the batch. (default: 128 generated ones)
        rounds: in which both sides are timed, at most.
        time_limit: seconds after which no round of a comparison begins, from the fourth on.
        device: ``"cpu"`` or a CUDA device.
        seed: of graphs, walks, features and parameters.

    Raises:
        TypeError: for numbers of a wrong type.
        ValueError: for nothing to compare, sizes below 2, no rounds, or a limit that is not
            positive.
    """

    comparisons: Sequence[Comparison] = COMPARISONS
    nodes: Sequence[int] = (32_768,)
    scenes: Sequence[Scene] = (TORUS,)
    molecules: Scene = MOLECULES
    rounds: int = 15
    time_limit: float = 30.0
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("comparisons", "nodes", "scenes"):
            if not getattr(self, name):
                raise value_error(name, "at least one", getattr(self, name))
        for size in self.nodes:
            check_integer("nodes", size, 2)
        check_integer("rounds", self.rounds, 1)
        check_integer("seed", self.seed, 0)
        if not 0 < self.time_limit < math.inf:
            raise value_error("time_limit", "positive and finite", self.time_limit)


def run(match: Match, progress: Progress = lambda _: None) -> Iterator[Paired]:
    """Compare, graph by graph.

    Both sides of a comparison are timed in this process, in turn and after a warm-up; a side that
    fails is told of, and the run goes on.

    Args:
        match: what to compare.
        progress: is told what is going on, in short texts.

    Yields:
        The comparisons of each graph in their order, then those of the molecules.

    Example:
        >>> from graphmask.benchmark.comparisons import Match, find_comparisons, run
        >>> match = Match(find_comparisons(["performer"]), nodes=[256], rounds=3)
        >>> [len(found.ratios) for found in run(match)]
        [3]
    """
    large = [each for each in match.comparisons if not each.batched]
    batched = [each for each in match.comparisons if each.batched]
    places = [(large, scene, size) for size in match.nodes for scene in match.scenes] + [
        (batched, match.molecules, 0)
    ]
    for comparisons, scene, size in places:
        if comparisons:
            progress(f"{scene.name}: the graph")
            with torch.random.fork_rng():
                torch.manual_seed(match.seed)
                yield from _Place(scene, size, match, progress).compare(comparisons)


class _Place:
    """A graph, with the sides that have been made on it."""

    def __init__(self, scene: Scene, nodes: int, match: Match, progress: Progress) -> None:
        self._scene, self._match, self._progress = scene, match, progress
        self._problem = scene.make(nodes, match.seed, match.device)
        self._make: Callable[[Side], Timed] = cache(lambda side: side.make(self._problem))

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Paired]:
        for comparison in comparisons:
            self._progress(f"{self._scene.name}: {comparison.name}")
            try:
                yield self._compare(comparison)
            except (RuntimeError, MemoryError, ValueError) as error:
                yield Paired(**self._names(comparison), note=explain(error).note)

    def _compare(self, comparison: Comparison) -> Paired:
        ours, theirs = (self._make(side) for side in (comparison.ours, comparison.theirs))
        match = self._match
        times = time_in_turn(
            [ours.call, theirs.call], match.rounds, match.time_limit, synchronizer(match.device)
        )
        return Paired(
            **self._names(comparison),
            ours_seconds=times[0],
            theirs_seconds=times[1],
            ours_entries=ours.entries,
            theirs_entries=theirs.entries,
            per_entry=comparison.per_entry,
            errors=self._find_errors(comparison),
        )

    def _names(self, comparison: Comparison) -> dict:
        return {
            "comparison": comparison.name,
            "graph": self._scene.name,
            "nodes": self._problem.num_nodes,
            "edges": self._problem.num_edges,
            "ours": comparison.ours.name,
            "theirs": comparison.theirs.name,
            "target": comparison.most,
        }

    def _find_errors(self, comparison: Comparison) -> Errors | None:
        estimates = comparison.ours.estimate, comparison.theirs.estimate
        if comparison.most_error is None or estimates[0] is None or estimates[1] is None:
            return None
        self._progress(f"{self._scene.name}: mask errors of {comparison.name}")
        ours, theirs = judge(self._problem, (estimates[0], estimates[1]), self._match.seed)
        return Errors(
            ours.error,
            theirs.error,
            ours.entries,
            theirs.entries,
            theirs.pairs,
            comparison.most_error,
        )


def judge(problem: Problem, estimates: Sequence[Estimate], seed: int) -> list[Sample]:
    """Errors of estimated diffusion kernels of scale 1, 8 hops, by some of the exact rows, as the study of estimators does."""
    known = find_named("estimator", [each.estimator for each in estimates], ESTIMATORS)
    kernels = find_named("kernel", ["diffusion-1"], KERNELS)
    topology = Topology(problem.edge_index.cpu(), problem.num_nodes)
    referee = Judge(
        Graph("graph", "", lambda _: topology), known, kernels, _ERROR_HOPS, _ERROR_ROWS, seed
    )
    samples: list[Sample] = []
    for estimator, estimate in zip(known, estimates, strict=True):
        draws = Draws(estimator.family.make(estimate.setting, _ERROR_HOPS), referee.topology, seed)
        samples += referee.samples(estimator, estimate.setting, draws)
    return samples
