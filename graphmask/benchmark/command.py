"""``graphmask bench``: the options of the benchmark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from graphmask._checks import refuse

from .contenders import CONTENDERS, find_contenders
from .estimators.command import estimators
from .estimators.concentration_command import concentration
from .machine import describe_machine, summarize
from .options import INTERRUPTED, check_files, checked, split
from .report import make_console, make_fact_table, print_report
from .results import Measurement, write_csv
from .scaling import Settings, run

_SMALLEST = 1024
_LARGEST = 131_072

bench = typer.Typer(invoke_without_command=True, help="Measure how cost grows with nodes.")
bench.command("estimators")(estimators)
bench.command("concentration")(concentration)


@bench.callback()
def scaling(
    context: typer.Context,
    nodes: Annotated[str, typer.Option(help="Sizes, such as 1024,4096. Default: powers of two from 1024.")] = "",
    max_nodes: Annotated[int | None, typer.Option(help="Largest size. Default: 131072, or the largest of --nodes.")] = None,
    contenders: Annotated[str, typer.Option(help="Names, such as walk,sdpa. Default: all.")] = "",
    time_limit: Annotated[float, typer.Option(help="Seconds that a forward and backward call may take.")] = Settings.time_limit,
    memory_limit: Annotated[float | None, typer.Option(help="GiB above the baseline. Default: half of the memory.")] = None,
    repeats: Annotated[int, typer.Option(help="Rounds; the median counts.")] = Settings.repeats,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = Settings.device,
    threads: Annotated[int | None, typer.Option(help="CPU threads. Default: torch's choice.")] = None,
    seed: Annotated[int, typer.Option(help="Of the graph, the features and the parameters.")] = Settings.seed,
    csv: Annotated[Path | None, typer.Option(help="Write all measurements to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw them into this picture.")] = None,
) -> None:
    """Measure how time and memory grow with nodes, forward and backward, beside PyG's layers and torch's attention."""
    if context.invoked_subcommand is not None:
        return
    write = checked("--csv, --plot", lambda: _prepare_files(csv, plot))
    chosen = checked("--contenders", lambda: find_contenders(split(contenders))) if contenders else CONTENDERS
    settings = checked(
        "options",
        lambda: Settings(_sizes(nodes, max_nodes), chosen, device, threads, repeats, time_limit, memory_limit, seed),
    )
    console, machine = make_console(), describe_machine(threads)
    measurements, complete = _collect(settings, lambda found: write(found, summarize(machine)))
    if measurements:
        print_report(console, measurements, settings, machine)
    if not complete:
        raise typer.Exit(INTERRUPTED)


@bench.command("contenders")
def list_contenders() -> None:
    """List who can be compared."""
    make_console().print(make_fact_table("Contenders", {each.name: each.about for each in CONTENDERS}))


def _collect(settings: Settings, write: Callable[[list[Measurement]], None]) -> tuple[list[Measurement], bool]:
    """The run, and whether it came to its end; files are written after every size, an interrupt keeps what is there."""
    measurements: list[Measurement] = []
    with Console(stderr=True).status("starting") as status:
        try:
            for found in run(settings, status.update):
                measurements += found
                write(measurements)
        except KeyboardInterrupt:
            typer.echo("interrupted: the larger sizes are missing", err=True)
            return measurements, False
    return measurements, True


def _prepare_files(csv: Path | None, plot: Path | None) -> Callable[[list[Measurement], str], None]:
    """What writes the files; that it can is found out before hours are spent."""
    check_files(csv, plot)

    def write(measurements: list[Measurement], machine: str) -> None:
        if csv is not None:
            write_csv(csv, measurements, machine)
        if plot is not None:
            from .plot import write_plot

            write_plot(plot, measurements, machine)

    return write


def _sizes(nodes: str, max_nodes: int | None) -> list[int]:
    """Powers of two, or those given, up to the largest."""
    largest = _LARGEST if max_nodes is None else max_nodes
    try:
        sizes = [int(size) for size in split(nodes)] if nodes else [_SMALLEST << power for power in range(32)]
    except ValueError:
        raise refuse("nodes", "integers with commas between them, such as 1024,4096", nodes) from None
    chosen = [size for size in sizes if size <= largest or (nodes and max_nodes is None)]
    if not chosen:
        raise refuse("max_nodes", f"at least {min(sizes):,}, the smallest size", max_nodes)
    return chosen
