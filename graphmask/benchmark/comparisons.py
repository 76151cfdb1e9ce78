"""Ratios of the cost of masked attention to that of its rivals; to add one, extend COMPARISONS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import quantiles
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from graphmask._console import find_named
from graphmask.masks import Diffusion, GlobalMask, GRFMask
from graphmask.nn import TopologicalTransformer, TopologicalTransformerLayer
from graphmask.operators import Lifted
from graphmask.topology import Topology
from graphmask.walks import IIDWalks

from . import scaling
from .graphs import CHANNELS, HEADS, Molecules, NamedGraph, Problem
from .implementations import (
    GPS,
    GPS_ABOUT,
    WALK,
    Implementation,
    Layer,
    MaskedAttention,
    Workload,
    find_implementations,
)
from .results import Measurement
from .settings import Settings

# As published for images of 14 x 14 patches: 20 walks, p_halt = 0.1 (Reid et al. 2025, table 2).
_WALKS, _P_HALT = 20, 0.1

_LAYERS, _CLASSES = 4, 10

_MOLECULES = 128

# Rows of a mask that its error is measured on.
_ERROR_ROWS = 256


@dataclass(frozen=True)
class Comparison:
    """Two implementations and the largest ratio of their times that meets the target.

    ``per_entry`` divides times by the stored mask entries. ``error_target`` is the largest ratio of
    the masks' relative Frobenius errors that meets the target; None compares no errors. ``batched``
    comparisons run on a batch of molecules instead of large graphs.
    """

    name: str
    ours: Implementation
    theirs: Implementation
    target: float
    per_entry: bool = False
    error_target: float | None = None
    batched: bool = False

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
        """Whether the median meets the target."""
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
        return {
            "comparison": self.comparison.name,
            "graph": self.graph,
            "nodes": self.ours.nodes,
            "edges": self.ours.edges,
            "rounds": len(self.rounds),
            "ours_s": self.ours.both_seconds,
            "theirs_s": self.theirs.both_seconds,
            "ours_entries_per_node": self.ours.entries_per_node,
            "theirs_entries_per_node": self.theirs.entries_per_node,
            "per_entry": self.comparison.per_entry,
            "ratio": middle,
            "ratio_low": low,
            "ratio_high": high,
            "target": self.comparison.target,
            "met": self.met,
            "error_ratio": self.error_ratio,
            "error_target": self.comparison.error_target,
            "note": self.ours.note or self.theirs.note,
        }


def run(
    comparisons: Sequence[Comparison],
    graphs: Sequence[NamedGraph],
    settings: Settings,
    progress: scaling.Progress = lambda _: None,
) -> Iterator[list[Ratio]]:
    """Compare, graph by graph and size by size.

    All implementations of a graph are measured by :func:`graphmask.benchmark.run`, that is in
    interleaved rounds: ratios are those of one round.

    Args:
        comparisons: see :data:`COMPARISONS`.
        graphs: batches of molecules serve batched comparisons, all others the rest.
        settings: of the run; its implementations and its graph are replaced.
        progress: called with short texts about the present step.

    Yields:
        The ratios of one graph and size.
    """
    for graph in graphs:
        chosen = [each for each in comparisons if each.batched == graph.batched]
        implementations = {
            each.name: each
            for comparison in chosen
            for each in (comparison.ours, comparison.theirs)
        }
        if not chosen:
            continue
        run_settings = replace(
            settings,
            nodes=[_MOLECULES] if graph.batched else settings.nodes,
            implementations=tuple(implementations.values()),
            make_problem=graph.make,
        )
        for measurements in scaling.run(run_settings, progress):
            yield _compare(chosen, graph, measurements, run_settings)


def _compare(
    comparisons: Sequence[Comparison],
    graph: NamedGraph,
    measurements: Sequence[Measurement],
    settings: Settings,
) -> list[Ratio]:
    by_name = {each.implementation: each for each in measurements}
    ratios = []
    for comparison in comparisons:
        errors: tuple[float, ...] = ()
        if comparison.error_target is not None:
            problem = graph.make(measurements[0].nodes, settings.seed, settings.device)
            ours = mask_error(comparison.ours, problem)
            errors = ours, mask_error(comparison.theirs, problem)
        pair = by_name[comparison.ours.name], by_name[comparison.theirs.name]
        ratios.append(Ratio(comparison, graph.name, *pair, errors))
    return ratios


@torch.no_grad()
def mask_error(implementation: Implementation, problem: Problem) -> float:
    """Compute the relative Frobenius error of an estimated mask on some of its rows."""
    assert isinstance(implementation, MaskedAttention)
    mask, topology = implementation.mask().to(problem.device), implementation.prepare(problem)
    rows = torch.randperm(problem.num_nodes, generator=torch.Generator().manual_seed(0))
    rows = rows[:_ERROR_ROWS].to(problem.device)
    # Rows of M are columns of its transpose.
    unit = torch.zeros(problem.num_nodes, len(rows), dtype=torch.double, device=problem.device)
    unit[rows, torch.arange(len(rows), device=problem.device)] = 1
    exact = mask.target(topology).mT @ unit
    return float((mask(topology).mT @ unit - exact).norm() / exact.norm())


class TrainingStep(MaskedAttention):
    """Forward, loss, backward and AdamW of a four-layer transformer on one graph."""

    def build(self, problem: Problem, prepared: Topology) -> Workload:
        model = TopologicalTransformer(
            CHANNELS, CHANNELS, _CLASSES, _LAYERS, HEADS, mask=self.mask()
        ).to(problem.device)
        optimizer = torch.optim.AdamW(model.parameters())
        x = problem.x.detach()
        label = x[:, :_CLASSES].argmax(1)

        def step() -> None:
            cross_entropy(model(x, prepared), label).backward()
            optimizer.step()
            optimizer.zero_grad()

        return Workload(lambda: model(x, prepared), (), self.entries(prepared), step=step)


def _walk_block() -> nn.Module:
    return TopologicalTransformerLayer(CHANNELS, HEADS, WALK())


def _with_new_topology(layer: nn.Module, molecules: Molecules) -> Tensor:
    return layer(molecules.x, Topology.from_data(molecules.data))


def _with_known_topology(layer: nn.Module, molecules: Molecules) -> Tensor:
    return layer(molecules.x, molecules.topology)


def _with_dense_batch(layer: nn.Module, molecules: Molecules) -> Tensor:
    return layer(molecules.x, molecules.data.edge_index, molecules.data.batch)


_LAYER, _PERFORMER, _GPS, _CONV = find_implementations(
    ["walk-layer", "performer", "gps", "transformer-conv"]
)
_DIFFUSION = MaskedAttention(
    "walk",
    "attention under WalkMask, a diffusion kernel on resampled walks, about 64 entries per node",
    partial(WALK, alpha=partial(Diffusion, scale=1.0)),
)
# f * f is the diffusion kernel of scale 1.
_PUBLISHED_MASK = partial(
    GRFMask,
    hops=8,
    heads=HEADS,
    f=partial(Diffusion, scale=0.5),
    sampler=IIDWalks(n_walks=_WALKS, p_halt=_P_HALT, hops=8),
)
_PUBLISHED = MaskedAttention(
    "grf-iid",
    f"attention under GRFMask, the same kernel on {_WALKS} independent walks, "
    f"p_halt = {_P_HALT}, lifted",
    _PUBLISHED_MASK,
    execution=Lifted(),
)
_STEP = TrainingStep(
    "walk-step", "training step of 4 layers under WalkMask, 64 channels, 4 heads, AdamW", WALK
)
_UNMASKED_STEP = TrainingStep(
    "global-step", "training step of 4 layers under GlobalMask, unmasked", GlobalMask
)
_BLOCK = "TopologicalTransformerLayer(64, 4) under WalkMask, its topology"
_NEW_BATCH = Layer("walk-block", f"{_BLOCK} built in every call", _walk_block, _with_new_topology)
_KNOWN_BATCH = Layer("walk-block-known", f"{_BLOCK} known", _walk_block, _with_known_topology)
_DENSE_BATCH = Layer("gps-batch", f"{GPS_ABOUT} and its dense batches", GPS, _with_dense_batch)

COMPARISONS: tuple[Comparison, ...] = (
    Comparison("performer", _LAYER, _PERFORMER, target=1.0),
    Comparison("gps", _LAYER, _GPS, target=1 / 50),
    Comparison("published", _DIFFUSION, _PUBLISHED, target=1 / 5, error_target=1 / 10),
    Comparison("entry", _LAYER, _CONV, target=1 / 8, per_entry=True),
    Comparison("step", _STEP, _UNMASKED_STEP, target=1.5),
    Comparison("molecules", _NEW_BATCH, _DENSE_BATCH, target=1 / 2, batched=True),
    Comparison("molecules-known", _KNOWN_BATCH, _DENSE_BATCH, target=1 / 2, batched=True),
)


def find_comparisons(names: Sequence[str]) -> tuple[Comparison, ...]:
    """Select comparisons by name, in the order of the names.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    return find_named("only", names, COMPARISONS)
