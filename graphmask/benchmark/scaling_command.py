"""``graphmask bench`` without a flag, and with ``--memory``: all contenders at many sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from graphmask._checks import check_integer, value_error
from graphmask._console import checked, split
from graphmask._machine import summarize

from .contenders import CONTENDERS, find_contenders
from .options import Common, check_files, collect, given, split_sizes
from .page import GROWTH
from .report import print_report
from .results import Measurement, summarize_growth
from .scaling import Settings, run

_SMALLEST = 1024
_LARGEST, _LARGEST_FOR_MEMORY = 131_072, 1_048_576

# Most that is measured once may take longer than what is measured in rounds.
_SECONDS_FOR_MEMORY = 120.0


class Growth(NamedTuple):
    """The options of both benchmarks, as they were given."""

    common: Common
    nodes: str
    max_nodes: int | None
    contenders: str
    time_limit: float | None
    memory_limit: float | None
    reorder: bool

    def settings(self, default: int, step: int, **others: Any) -> Settings:
        """What to measure."""
        limits = given(time_limit=self.time_limit, memory_limit=self.memory_limit)
        return Settings(
            _sizes(self.nodes, self.max_nodes, default, step),
            find_contenders(split(self.contenders)) if self.contenders else CONTENDERS,
            self.common.device,
            self.common.threads,
            seed=self.common.seed,
            reorder=self.reorder,
            **{**others, **limits},
        )


def run_scaling(growth: Growth, repeats: int | None, plot: Path | None, keep_memory: bool) -> bool:
    """Time and memory; whether the run came to its end."""
    checked("--plot", lambda: check_files(None, plot))
    if repeats is not None:
        checked("--repeats", lambda: check_integer("repeats", repeats, 1))
    others = {**given(repeats=repeats), "keep_memory": keep_memory}
    return _run(
        growth.common, checked("options", lambda: growth.settings(_LARGEST, 1, **others)), plot
    )


def run_memory(growth: Growth) -> bool:
    """Memory alone; whether the run came to its end."""
    others = {"repeats": 0, "time_limit": _SECONDS_FOR_MEMORY}
    return _run(
        growth.common,
        checked("options", lambda: growth.settings(_LARGEST_FOR_MEMORY, 2, **others)),
        None,
    )


def _run(common: Common, settings: Settings, plot: Path | None) -> bool:
    def keep(found: list[list[Measurement]]) -> None:
        measurements = [each for group in found for each in group]
        told = {
            "nodes": settings.nodes,
            "contenders": [each.name for each in settings.contenders],
            "repeats": settings.repeats,
            "time_limit": settings.time_limit,
            "reorder": settings.reorder,
            "keep_memory": settings.keep_memory,
            "memory_limit_bytes": settings.memory_bytes,
        }
        common.write(measurements, told, summarize_growth(measurements))
        if plot is not None:
            from .plot import write_plot

            write_plot(plot, measurements, summarize(common.machine))

    _ = common.machine
    found, complete = collect(lambda progress: run(settings, progress), keep)
    if found:
        measurements = [each for group in found for each in group]
        report = common.report("graphmask bench", plot)
        print_report(report, measurements, settings, common.machine)
        report.write([each.row() for each in measurements], GROWTH)
    return complete


def _sizes(nodes: str, max_nodes: int | None, default: int, step: int) -> list[int]:
    """Powers of ``2^step``, or those given, up to the largest."""
    largest = default if max_nodes is None else max_nodes
    sizes = split_sizes(nodes) if nodes else [_SMALLEST << power for power in range(0, 32, step)]
    chosen = [size for size in sizes if size <= largest or (nodes and max_nodes is None)]
    if not chosen:
        raise value_error("max_nodes", f"at least {min(sizes):,}, the smallest size", max_nodes)
    return chosen
