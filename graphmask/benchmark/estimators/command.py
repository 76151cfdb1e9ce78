"""``graphmask bench estimators``: the options of the study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from graphmask._checks import check_integer
from graphmask._console import checked, find_named, make_console, make_fact_table, split
from graphmask._machine import describe_machine
from graphmask._machine import summarize as summarize_machine
from graphmask.benchmark.options import INTERRUPTED, check_files, collect, limited
from graphmask.benchmark.page import Chart, Report, page_path
from graphmask.benchmark.records import write_csv, write_json

from .comparison import compare
from .contenders import Estimator, make_estimators
from .files import read_graph
from .graphs import GRAPHS, Graph
from .kernels import KERNELS
from .report import print_report
from .results import Sample, summarize
from .study import Study, run

# What a picture shows where its kernel is not asked for.
_DRAWN = "diffusion-1"

_CHARTS = (
    Chart(
        "Relative error at stored entries per row",
        "entries",
        "error",
        ("estimator",),
        ("graph", "kernel"),
    ),
    Chart(
        "Relative error at seconds of drawing",
        "seconds",
        "error",
        ("estimator",),
        ("graph", "kernel"),
    ),
)


def estimators(
    graphs: Annotated[
        str,
        typer.Option(help="Names, such as karate,sphere. Default: all, or none beside --graph."),
    ] = "",
    graph: Annotated[
        list[Path] | None, typer.Option(help="A graph from a file: .npz, .csv, or any mesh.")
    ] = None,
    estimators: Annotated[
        str, typer.Option(help="Names, such as iid,resampled. Default: all.")
    ] = "",
    kernels: Annotated[
        str, typer.Option(help="Names, such as diffusion-1,pagerank. Default: all.")
    ] = "",
    entries: Annotated[
        float, typer.Option(help="Stored entries per row at which estimators are compared.")
    ] = Study.entries,
    hops: Annotated[
        int, typer.Option(help="Where series of W are cut, of estimates and targets alike.")
    ] = Study.hops,
    rows: Annotated[
        int, typer.Option(help="Rows by which graphs of more than 1,000 nodes are judged.")
    ] = Study.rows,
    repeats: Annotated[
        int, typer.Option(help="Draws of each setting; dear ones get two.")
    ] = Study.repeats,
    most_entries: Annotated[
        float, typer.Option(help="Stored entries per row at which settings end.")
    ] = Study.most_entries,
    time_limit: Annotated[
        float, typer.Option(help="Seconds of drawing after which settings end.")
    ] = Study.time_limit,
    p_halt: Annotated[float, typer.Option(help="Halting probability of walks that halt.")] = 0.1,
    seed: Annotated[
        int, typer.Option(help="Of the graphs, the rows and the first draws.")
    ] = Study.seed,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads. Default: torch's choice.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write every setting to this file.")] = None,
    json: Annotated[
        Path | None,
        typer.Option(help="Write machine, settings, every draw and every setting here."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw error against entries and time into this picture.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            help="A page with tables and plots. Default: beside the first other file, if any."
        ),
    ] = None,
    plot_kernel: Annotated[
        str, typer.Option(help="The kernel of the picture. Default: diffusion-1, or the first.")
    ] = "",
    every_setting: Annotated[
        bool, typer.Option("--every-setting", help="Print every setting, too.")
    ] = False,
    names: Annotated[
        bool,
        typer.Option("--names", help="List graphs, kernels and estimators, and measure nothing."),
    ] = False,
) -> None:
    """Measure how accurate estimated masks are, at equal stored entries and at equal drawing time.

    Errors are relative Frobenius errors, not squared; papers on graph random features print their
    squares. Every series is cut at --hops on both sides, so that errors are those of the walks
    alone. Graphs of more than 1,000 nodes are judged by --rows of their rows against exact ones.
    """
    known = checked("--p-halt", lambda: make_estimators(p_halt))
    if names:
        _list_names(known)
        return
    checked("--csv, --json, --plot, --html", lambda: check_files(csv, plot, json, html))
    if threads is not None:
        checked("--threads", lambda: check_integer("threads", threads, 1))
    study = checked(
        "options",
        lambda: Study(
            _choose_graphs(graphs, graph or []),
            find_named("estimators", split(estimators), known) if estimators else known,
            find_named("kernels", split(kernels), KERNELS) if kernels else KERNELS,
            hops,
            rows,
            repeats,
            seed,
            entries,
            most_entries,
            time_limit,
        ),
    )
    drawn = checked("--plot-kernel", lambda: _choose_kernel(plot_kernel, study))
    machine = describe_machine(threads)

    def write(samples: list[Sample]) -> None:
        if csv is not None:
            write_csv(csv, summarize(samples), summarize_machine(machine))
        if json is not None:
            write_json(json, samples, summarize(samples), _describe(study), machine)

    with limited(threads):
        samples, complete = _collect(study, write)
    points = summarize(samples)
    if plot is not None:
        from .plot import write_plot

        write_plot(plot, points, drawn, summarize_machine(machine))
    if points:
        console = Report(
            make_console(), page_path(html, json, csv, plot), "graphmask bench estimators"
        )
        print_report(console, points, compare(points, entries), study.estimators, every_setting)
        console.print(make_fact_table("Machine", machine))
        console.write([point.row() for point in points], _CHARTS)
    if not complete:
        raise typer.Exit(INTERRUPTED)


def _collect(study: Study, write: Callable[[list[Sample]], None]) -> tuple[list[Sample], bool]:
    """The samples, and whether the study came to its end.

    ``write`` has them after every graph and family of estimators.
    """
    found, complete = collect(
        lambda progress: run(study, progress), lambda groups: write(_join(groups))
    )
    return _join(found), complete


def _join(groups: Sequence[list[Sample]]) -> list[Sample]:
    return [sample for group in groups for sample in group]


def _describe(study: Study) -> dict[str, Any]:
    """The study's settings, things with a name by their names."""
    return {
        field.name: [each.name for each in value] if isinstance(value, tuple) else value
        for field in fields(study)
        for value in [getattr(study, field.name)]
    }


def _choose_graphs(names: str, files: list[Path]) -> tuple[Graph, ...]:
    """Graphs by name, then those of files; all by name where neither is given."""
    chosen = find_named("graphs", split(names), GRAPHS) if names else () if files else GRAPHS
    return (*chosen, *map(read_graph, files))


def _choose_kernel(name: str, study: Study) -> str:
    if name:
        return find_named("plot_kernel", [name], study.kernels)[0].name
    return next(
        (kernel.name for kernel in study.kernels if kernel.name == _DRAWN), study.kernels[0].name
    )


def _list_names(estimators: Sequence[Estimator]) -> None:
    for title, things in (("Graphs", GRAPHS), ("Kernels", KERNELS), ("Estimators", estimators)):
        make_console().print(make_fact_table(title, {each.name: each.about for each in things}))
