"""``graphmask bench features``: the options of the study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from graphmask._checks import check_integer, value_error
from graphmask._console import checked, find_named, make_console, make_fact_table, split
from graphmask._machine import describe_machine, summarize

from .features import MAPS, Accuracy, Inputs, Study, default_inputs, read_inputs, run
from .features_report import make_table, write_plot
from .options import INTERRUPTED, check_files, collect, limited
from .page import Chart, Report, page_path
from .records import write_csv

T = TypeVar("T")

_CHARTS = (
    Chart("Relative error of scores", "size", "error", ("features",), ("inputs", "channels")),
    Chart(
        "Relative error of attention", "size", "attention", ("features",), ("inputs", "channels")
    ),
)


def features(
    maps: Annotated[str, typer.Option(help="Names, such as favor-plus,oprf. Default: all.")] = "",
    channels: Annotated[str, typer.Option(help="Numbers d of channels.")] = "16,64",
    spreads: Annotated[
        str, typer.Option(help="Standard deviations of the entries of queries and keys.")
    ] = "0.25,0.5,1",
    inputs: Annotated[
        Path | None,
        typer.Option(help="Instead: an .npz file of queries q and keys k, each [n, d]."),
    ] = None,
    sizes: Annotated[
        str, typer.Option(help="Numbers m of features, multiples of 8.")
    ] = "16,64,256",
    draws: Annotated[int, typer.Option(help="Draws of each map.")] = Study.draws,
    nodes: Annotated[int, typer.Option(help="Numbers of generated queries, and of keys.")] = 64,
    seed: Annotated[
        int, typer.Option(help="Of the queries and keys, and of the first draw.")
    ] = Study.seed,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads. Default: torch's choice.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write all accuracies to this file.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw errors against m into this picture.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            help="A page with tables and plots. Default: beside the first other file, if any."
        ),
    ] = None,
    names: Annotated[
        bool, typer.Option("--names", help="List the maps, and measure nothing.")
    ] = False,
) -> None:
    """Measure how accurate random features of the softmax kernel are, at equal dimension.

    Errors of scores are root mean squares of estimate / exact - 1 over all pairs and draws: where
    they are large, a few draws make them up, and more draws find more. Errors of attention are
    relative Frobenius errors of its normalised matrix, medians over draws. Maps that can be
    calibrated are, on the same queries and keys.
    """
    if names:
        make_console().print(make_fact_table("Maps", {each.name: each.about for each in MAPS}))
        return
    checked("--csv, --plot, --html", lambda: check_files(csv, plot, html=html))
    if threads is not None:
        checked("--threads", lambda: check_integer("threads", threads, 1))
    given = checked("inputs", lambda: _choose_inputs(inputs, channels, spreads, nodes, seed))
    study = checked("options", lambda: _make_study(given, maps, sizes, draws, seed))
    machine = describe_machine(threads)
    with limited(threads):
        found, complete = collect(
            lambda progress: run(study, progress), lambda groups: _write(csv, groups, machine)
        )
    accuracies = [each for group in found for each in group]
    if accuracies:
        if plot is not None:
            write_plot(plot, accuracies, summarize(machine))
        report = Report(make_console(), page_path(html, csv, plot), "graphmask bench features")
        report.print(make_table(accuracies))
        report.print(make_fact_table("Machine", machine))
        report.write([each.row() for each in accuracies], _CHARTS)
    if not complete:
        raise typer.Exit(INTERRUPTED)


def _choose_inputs(
    path: Path | None, channels: str, spreads: str, nodes: int, seed: int
) -> list[Inputs]:
    if path is not None:
        return [read_inputs(path)]
    return default_inputs(
        _numbers("channels", channels, int), _numbers("spreads", spreads, float), nodes, seed
    )


def _make_study(inputs: Sequence[Inputs], maps: str, sizes: str, draws: int, seed: int) -> Study:
    chosen = find_named("maps", split(maps), MAPS) if maps else MAPS
    return Study(inputs, chosen, _numbers("sizes", sizes, int), draws, seed)


def _write(csv: Path | None, groups: Sequence[Sequence[Accuracy]], machine: dict[str, str]) -> None:
    if csv is not None:
        write_csv(csv, [each for group in groups for each in group], summarize(machine))


def _numbers(name: str, text: str, kind: Callable[[str], T]) -> list[T]:
    try:
        return [kind(part) for part in split(text)]
    except ValueError:
        raise value_error(name, "numbers with commas between them", text) from None
