"""Ratios of the cost of masked attention to that of its rivals; to add one, extend COMPARISONS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import quantiles
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from graphmask._console import find_named
from graphmask.masks import Diffusion, GlobalMask, GRFMask
from graphmask.nn import TopologicalTransformer
from graphmask.operators import Lifted
from graphmask.topology import Topology
from graphmask.walks import IIDWalks

from . import scaling
from .graphs import CHANNELS, HEADS, NamedGraph, Problem
from .implementations import WALK, Implementation, MaskedAttention, Workload, find_implementations
from .results import Measurement, make_row
from .worker import Settings

_LAYERS, _CLASSES = 4, 10

# Rows of a mask that its error is measured on.
_ERROR_ROWS = 256


@dataclass(frozen=True)
class Comparison:
    """Two implementations and the largest ratio of their times that meets the target.

    ``per_entry`` divides times by the stored mask entries. ``error_target`` is the largest ratio of
    the masks' relative Frobenius errors that meets the target; None compares no errors.
    """

    name: str
    ours: Implementation
    theirs: Implementation
    target: float
    per_entry: bool = False
    error_target: float | None = None

    @property
    def about(self) -> str:
        """Both implementations in one line."""
        suffix = ", both per mask entry" if self.per_entry else ""
        return f"{self.ours.about}; over {self.theirs.about}{suffix}"


@dataclass(frozen=True)
class Ratio:
    """The result of a comparison on one graph, with the errors of both masks where compared."""

    comparison: Comparison
    graph: str
    ours: Measurement
    theirs: Measurement
    errors: tuple[float, ...] = ()

    @property
    def note(self) -> str:
        """The reason why one of them was cut off."""
        return self.ours.note or self.theirs.note

    @property
    def rounds(self) -> list[float]:
        """Our time over theirs, round by round; empty if one of them was cut off."""
        share = 1.0
        if self.comparison.per_entry and self.ours.entries and self.theirs.entries:
            share = self.theirs.entries / self.ours.entries
        pairs = zip(self.ours.both, self.theirs.both, strict=False)
        return [share * ours / theirs for ours, theirs in pairs]

    @property
    def quartiles(self) -> Sequence[float]:
        """The quartiles of the ratios, the median in the middle; empty without rounds."""
        rounds = self.rounds
        return quantiles(rounds, method="inclusive") if len(rounds) > 1 else rounds * 3

    @property
    def met(self) -> bool | None:
        """True if the median meets the target; :obj:`None` without rounds."""
        return self.quartiles[1] <= self.comparison.target if self.rounds else None

    @property
    def error_ratio(self) -> float | None:
        """Our error over theirs; 0 where ours is exact."""
        if not self.errors:
            return None
        ours, theirs = self.errors
        return ours / theirs if ours else 0.0

    def row(self) -> dict[str, Any]:
        """Return the cells of a table row: times in seconds."""
        low, middle, high = self.quartiles or (None, None, None)
        columns = (
            "comparison=comparison.name graph nodes=ours.nodes edges=ours.edges "
            "ours_s=ours.both_seconds theirs_s=theirs.both_seconds "
            "ours_entries_per_node=ours.entries_per_node "
            "theirs_entries_per_node=theirs.entries_per_node per_entry=comparison.per_entry "
            "target=comparison.target met error_ratio error_target=comparison.error_target note"
        )
        ratios = {"ratio": middle, "ratio_low": low, "ratio_high": high, "rounds": len(self.rounds)}
        return make_row(self, columns) | ratios


def run(
    comparisons: Sequence[Comparison],
    graphs: Sequence[NamedGraph],
    settings: Settings,
    progress: scaling.Progress = lambda _: None,
) -> Iterator[list[Ratio]]:
    """Compare in interleaved rounds, graph by graph and size by size.

    Implementations and graph of the settings are replaced.
    """
    compared = {side.name: side for pair in comparisons for side in (pair.ours, pair.theirs)}
    for graph in graphs:
        own = replace(settings, implementations=tuple(compared.values()), make_problem=graph.make)
        for measurements in scaling.run(own, progress):
            by_name = {run.implementation: run for run in measurements}
            ratios = []
            for comparison in comparisons:
                sides = comparison.ours, comparison.theirs
                errors: tuple[float, ...] = ()
                if comparison.error_target is not None:
                    problem = graph.make(measurements[0].nodes, settings.seed, settings.device)
                    errors = tuple(mask_error(side, problem) for side in sides)
                ours, theirs = (by_name[side.name] for side in sides)
                ratios.append(Ratio(comparison, graph.name, ours, theirs, errors))
            yield ratios


@torch.no_grad()
def mask_error(implementation: Implementation, problem: Problem) -> float:
    """Compute the relative Frobenius error of an estimated mask on some of its rows."""
    assert isinstance(implementation, MaskedAttention)
    mask: Any = implementation.mask().to(problem.device)
    topology = implementation.prepare(problem)
    nodes = torch.randperm(problem.num_nodes, generator=torch.Generator().manual_seed(0))
    nodes = nodes[:_ERROR_ROWS].to(problem.device)
    exact = mask.target(topology).rows(nodes).double()
    return float((mask(topology).rows(nodes) - exact).norm() / exact.norm())


class TrainingStep(MaskedAttention):
    """Forward, loss, backward and AdamW of a four-layer transformer on one graph it prepared."""

    def build(self, problem: Problem, prepared: Topology) -> Workload:
        model = TopologicalTransformer(
            CHANNELS, CHANNELS, _CLASSES, _LAYERS, HEADS, mask=self.mask()
        ).to(problem.device)
        optimizer = torch.optim.AdamW(model.parameters())
        prepared = model.prepare(prepared)
        x = problem.x.detach()
        label = x[:, :_CLASSES].argmax(1)

        def step() -> None:
            cross_entropy(model(x, prepared), label).backward()
            optimizer.step()
            optimizer.zero_grad()

        return Workload(lambda: model(x, prepared), (), self.entries(prepared), step=step)


_LAYER, _PERFORMER, _GPS, _CONV = find_implementations(
    ["walk-layer", "performer", "gps", "transformer-conv"]
)
_DIFFUSION = MaskedAttention(
    "walk",
    "attention under WalkMask, a diffusion kernel on resampled walks, about 64 entries per node",
    partial(WALK, alpha=partial(Diffusion, scale=1.0)),
)
# As published for images of 14 x 14 patches (Reid et al. 2025, table 2); f * f is the diffusion
# kernel of scale 1.
_PUBLISHED = MaskedAttention(
    "grf-iid",
    "attention under GRFMask, the same kernel on 20 independent walks, p_halt = 0.1, lifted",
    partial(
        GRFMask,
        hops=8,
        heads=HEADS,
        f=partial(Diffusion, scale=0.5),
        sampler=IIDWalks(num_walks=20, p_halt=0.1, hops=8),
    ),
    execution=Lifted(),
)
_STEP = TrainingStep(
    "walk-step", "training step of 4 layers under WalkMask, 64 channels, 4 heads, AdamW", WALK
)
_UNMASKED_STEP = TrainingStep(
    "global-step", "training step of 4 layers under GlobalMask, unmasked", GlobalMask
)

COMPARISONS: tuple[Comparison, ...] = (
    Comparison("performer", _LAYER, _PERFORMER, target=0.8),
    Comparison("gps", _LAYER, _GPS, target=1 / 50),
    Comparison("published", _DIFFUSION, _PUBLISHED, target=1 / 5, error_target=1 / 10),
    Comparison("entry", _LAYER, _CONV, target=1 / 25, per_entry=True),
    Comparison("step", _STEP, _UNMASKED_STEP, target=1.3),
)


def find_comparisons(names: Sequence[str]) -> tuple[Comparison, ...]:
    """Select comparisons by name, in the order of the names."""
    return find_named("only", names, COMPARISONS)
