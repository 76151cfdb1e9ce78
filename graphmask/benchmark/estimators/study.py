"""The study: every estimator at every setting on every graph, against exact rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch

from graphmask._checks import check_integer, value_error

from .comparison import comparable
from .contenders import ESTIMATORS, Estimator, Family
from .graphs import GRAPHS, Graph, undirected
from .judge import Draws, Judge
from .kernels import KERNELS, Kernel
from .results import ROUNDING, Sample

# Draws that a standard error needs.
_FEWEST = 2

# A ladder has settled where a setting stores less than this many times what the one before stored.
_SETTLED = 1.02

# More nodes than the smallest budget.
_RING = undirected(np.array([[node, (node + 1) % 16] for node in range(16)]), 16)

Progress = Callable[[str], object]


@dataclass(frozen=True)
class Study:
    """What to measure.

    Args:
        graphs: see :data:`GRAPHS`.
        estimators: see :data:`ESTIMATORS`.
        kernels: see :data:`KERNELS`.
        hops: K, where every series of W is cut, that of the estimate and that of its target.
        rows: by which graphs of more than 1,000 nodes are judged, drawn at random.
        repeats: draws of each setting; dear ones stop at two, see ``time_limit``, and those without
            chance at one.
        seed: of the graphs, the rows and the first draws.
        entries: stored per row, at which estimators will be compared: no ladder of settings ends
            before it gets there.
        most_entries: stored per row, at which every ladder ends; a setting that would store more,
            by the growth from the one before, is not drawn. A ladder also ends where all is exact,
            and where a setting stores hardly more.
        time_limit: seconds. A ladder also ends after a setting that takes longer to draw, and a
            setting is not drawn a third time once drawing and judging it have taken as long.

    Raises:
        TypeError: for numbers of a wrong type.
        ValueError: for nothing to measure, hops, rows or repeats below 1, or limits that are not
            positive.

    Example:
        >>> from graphmask.benchmark.estimators import GRAPHS, KERNELS, Study
        >>> Study(graphs=GRAPHS[:1], kernels=KERNELS[:1]).hops
        8
    """

    graphs: Sequence[Graph] = GRAPHS
    estimators: Sequence[Estimator] = ESTIMATORS
    kernels: Sequence[Kernel] = KERNELS
    hops: int = 8
    rows: int = 256
    repeats: int = 5
    seed: int = 0
    entries: float = 60
    most_entries: float = 512
    time_limit: float = 1.0

    def __post_init__(self) -> None:
        for name in ("graphs", "estimators", "kernels"):
            found = getattr(self, name)
            if not found:
                raise value_error(name, "at least one", found)
            if len({each.name for each in found}) < len(found):
                raise value_error(
                    name, "of different names", ", ".join(each.name for each in found)
                )
        for name in ("hops", "rows", "repeats"):
            check_integer(name, getattr(self, name), 1)
        check_integer("seed", self.seed, 0)
        for name in ("entries", "most_entries", "time_limit"):
            if not 0 < getattr(self, name) < math.inf:
                raise value_error(name, "positive and finite", getattr(self, name))


def run(study: Study, progress: Progress = lambda _: None) -> Iterator[list[Sample]]:
    """Measure, graph by graph and family by family.

    One draw of walks serves all kernels, and all estimators of its family.

    Args:
        study: what to measure.
        progress: is told what is going on, in short texts.

    Yields:
        The samples of a graph and a family of estimators.

    Cost: O(rows N) memory at most for the exact rows of a kernel; never N x N on graphs of more
    than 1,000 nodes.

    Example:
        >>> from graphmask.benchmark.estimators import GRAPHS, KERNELS, Study, run, summarize
        >>> study = Study(GRAPHS[:1], kernels=KERNELS[1:2], hops=4, repeats=2)
        >>> points = summarize(sample for found in run(study) for sample in found)
        >>> [point.setting for point in points if point.estimator == "resampled" and point.exact]
        [32]
    """
    families = {id(estimator.family): estimator.family for estimator in study.estimators}
    for graph in study.graphs:
        progress(f"{graph.name}: exact rows")
        judge = Judge(graph, study.estimators, study.kernels, study.hops, study.rows, study.seed)
        for family in families.values():
            chosen = [estimator for estimator in study.estimators if estimator.family is family]
            yield list(_climb(judge, family, chosen, study, progress))


def _climb(
    judge: Judge, family: Family, estimators: Sequence[Estimator], study: Study, progress: Progress
) -> Iterator[Sample]:
    """All samples of a family, from cheap settings to dear ones."""
    # A first call may compile.
    family.make(family.ladder[0], study.hops)(_RING, torch.Generator().manual_seed(0))
    repeats = 1 if any(estimator.biased for estimator in estimators) else study.repeats
    before = 0.0
    for setting in family.ladder:
        progress(f"{judge.graph.name}: {family.name} {setting:g}")
        found: list[Sample] = []
        start, drawing = perf_counter(), 0.0
        for seed in range(study.seed, study.seed + repeats):
            draws = Draws(family.make(setting, study.hops), judge.topology, seed)
            for estimator in estimators:
                found += judge.samples(estimator, setting, draws)
            drawing = max(drawing, draws.seconds)
            if perf_counter() - start > study.time_limit and seed - study.seed + 1 >= _FEWEST:
                break
        yield from found
        entries = min(sample.entries for sample in found)
        if _has_ended(found, entries, before, drawing, study):
            return
        before = entries


def _has_ended(
    found: Sequence[Sample], entries: float, before: float, seconds: float, study: Study
) -> bool:
    """Whether the settings that follow need not be drawn.

    Args:
        found: of this setting.
        entries: that a row stores here.
        before: that it stored at the setting before, 0 where there was none.
        seconds: of the longest draw here.
        study: with the limits.
    """
    growth = entries / before if before else math.inf
    wanted = max(comparable(study.entries, sample.support) for sample in found)
    full = entries >= study.most_entries or (before and entries * growth > study.most_entries)
    exact = all(sample.error < ROUNDING for sample in found)
    slow = entries >= wanted and seconds > study.time_limit
    settled = entries >= wanted / 2 and growth < _SETTLED
    return bool(full or exact or slow or settled)
