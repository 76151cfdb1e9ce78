"""``graphmask bench families``: its options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from graphmask._checks import check_integer
from graphmask._console import checked, make_fact_table, split
from graphmask._machine import summarize as summarize_machine
from graphmask.benchmark.options import (
    INTERRUPTED,
    Common,
    check_files,
    collect,
    given,
    split_sizes,
)
from graphmask.benchmark.page import GROWTH
from graphmask.benchmark.report import print_tables
from graphmask.benchmark.results import Measurement
from graphmask.benchmark.scaling import Settings, run

from .families import FAMILIES, find_families
from .report import print_report
from .results import summarize

_SIZES = "1024,2048,4096,8192,16384,32768,65536"


def families(
    families: Annotated[str, typer.Option(help="Names, such as walk,grf. Default: all.")] = "",
    nodes: Annotated[str, typer.Option(help="Sizes; powers of two suit every graph.")] = _SIZES,
    time_limit: Annotated[
        float, typer.Option(help="Seconds that a forward and backward call may take.")
    ] = Settings.time_limit,
    memory_limit: Annotated[
        float | None, typer.Option(help="GiB above the baseline. Default: half of the memory.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Rounds; the median counts.")] = Settings.repeats,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = Settings.device,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads. Default: torch's choice.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the graphs, the features and the parameters.")
    ] = Settings.seed,
    csv: Annotated[Path | None, typer.Option(help="Write all measurements to this file.")] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write machine, settings, every round and summaries here.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw them into this picture.")] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            help="A page with tables and plots. Default: beside the first other file, if any."
        ),
    ] = None,
    cpu_time: Annotated[
        bool,
        typer.Option(
            "--cpu-time",
            help="Time that processors work, not that passes: for a busy machine, with --threads 1.",
        ),
    ] = False,
    every_size: Annotated[
        bool, typer.Option("--every-size", help="Print every size, too.")
    ] = False,
) -> None:
    """Measure attention under every family of masks as nodes grow, beside what the definitions say.

    Each family runs on a graph that suits it, with 4 heads of 16 channels and ReLU features; times
    are taken in turn.
    """
    common = checked("options", lambda: Common(device, threads, seed, csv, json, html))
    checked("--plot", lambda: check_files(None, plot))
    checked("--repeats", lambda: check_integer("repeats", repeats, 1))
    chosen = checked("--families", lambda: find_families(split(families))) if families else FAMILIES
    limits = given(repeats=repeats, time_limit=time_limit, memory_limit=memory_limit)
    others = {"seed": seed, "cpu_time": cpu_time, **limits}
    settings = checked(
        "options", lambda: Settings(split_sizes(nodes), chosen, device, threads, **others)
    )
    _ = common.machine

    def keep(found: list[list[Measurement]]) -> None:
        measurements = _join(found)
        common.write(measurements, _describe(settings), summarize(measurements, chosen))
        if plot is not None:
            from graphmask.benchmark.plot import write_plot

            write_plot(plot, measurements, summarize_machine(common.machine))

    found, complete = collect(lambda progress: run(settings, progress), keep)
    if found:
        report, measurements = common.report("graphmask bench families", plot), _join(found)
        if every_size:
            print_tables(report, measurements, settings)
        print_report(report, measurements, chosen)
        report.print(make_fact_table("Machine", common.machine))
        report.write([each.row() for each in measurements], GROWTH)
    if not complete:
        raise typer.Exit(INTERRUPTED)


def _join(found: Sequence[list[Measurement]]) -> list[Measurement]:
    return [each for group in found for each in group]


def _describe(settings: Settings) -> dict[str, Any]:
    return {
        "nodes": settings.nodes,
        "families": [each.name for each in settings.contenders],
        "repeats": settings.repeats,
        "time_limit": settings.time_limit,
        "cpu_time": settings.cpu_time,
        "memory_limit_bytes": settings.memory_bytes,
    }
