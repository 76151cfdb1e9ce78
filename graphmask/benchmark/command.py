"""``graphmask bench``: the options of the benchmark."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from graphmask._checks import refuse

from .contenders import CONTENDERS, find_contenders
from .extras import require
from .machine import describe_machine, summarize
from .report import make_console, make_fact_table, print_report
from .results import Measurement, write_csv
from .scaling import Settings, run

_SMALLEST = 1024
_LARGEST = 131_072

# As shells tell of an interrupt at the keyboard.
_INTERRUPTED = 130

bench = typer.Typer(invoke_without_command=True, help="Measure how cost grows with nodes.")


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
    write = _checked("--csv, --plot", lambda: _prepare_files(csv, plot))
    chosen = _checked("--contenders", lambda: find_contenders(_split(contenders))) if contenders else CONTENDERS
    settings = _checked(
        "options",
        lambda: Settings(_sizes(nodes, max_nodes), chosen, device, threads, repeats, time_limit, memory_limit, seed),
    )
    console, machine = make_console(), describe_machine(threads)
    measurements, complete = _collect(settings, lambda found: write(found, summarize(machine)))
    if measurements:
        print_report(console, measurements, settings, machine)
    if not complete:
        raise typer.Exit(_INTERRUPTED)


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
    for name, path in (("csv", csv), ("plot", plot)):
        if path is not None:
            _check_writable(name, path)
    if plot is not None:
        require("matplotlib.figure", extra="viz")

    def write(measurements: list[Measurement], machine: str) -> None:
        if csv is not None:
            write_csv(csv, measurements, machine)
        if plot is not None:
            from .plot import write_plot

            write_plot(plot, measurements, machine)

    return write


def _check_writable(name: str, path: Path) -> None:
    target = path if path.exists() else path.parent
    if path.is_dir() or not path.parent.is_dir() or not os.access(target, os.W_OK):
        raise refuse(name, "a file in a folder that exists and can be written", str(path))


def _sizes(nodes: str, max_nodes: int | None) -> list[int]:
    """Powers of two, or those given, up to the largest."""
    largest = _LARGEST if max_nodes is None else max_nodes
    try:
        sizes = [int(size) for size in _split(nodes)] if nodes else [_SMALLEST << power for power in range(32)]
    except ValueError:
        raise refuse("nodes", "integers with commas between them, such as 1024,4096", nodes) from None
    chosen = [size for size in sizes if size <= largest or (nodes and max_nodes is None)]
    if not chosen:
        raise refuse("max_nodes", f"at least {min(sizes):,}, the smallest size", max_nodes)
    return chosen


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _checked(options: str, make: Callable[[], Any]) -> Any:
    """What is made from options; a refusal becomes the command line's own kind of error."""
    try:
        return make()
    except (ValueError, TypeError, ImportError) as error:
        raise typer.BadParameter(f"{error}", param_hint=options) from error
