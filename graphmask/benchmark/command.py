"""The command ``graphmask bench``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from typer import Option

from graphmask._atomic import check_replaceable
from graphmask._checks import check_integer, value_error
from graphmask._console import checked, split
from graphmask._machine import describe_machine, summarize
from graphmask._plots import Panel, write_plot
from graphmask.extras import require

from . import comparisons, report, scaling
from .comparisons import COMPARISONS, find_comparisons
from .graphs import SPHERE, read_mesh
from .implementations import IMPLEMENTATIONS, find_implementations
from .results import write_csv, write_json
from .worker import Settings

# The exit code of shells after an interrupt at the keyboard.
_INTERRUPTED = 130

_SMALLEST = 1024

# Largest size, rounds and time limit of each benchmark, where they are not given, and the options
# that it would ignore.
_DEFAULTS = {
    "": (131_072, 5, 30.0, ("only", "mesh")),
    "--compare": (32_768, 15, 30.0, ("implementations", "reorder")),
    "--memory": (2**20, 0, 120.0, ("only", "mesh", "repeats", "keep_memory")),
}

T = TypeVar("T")

bench = typer.Typer(
    invoke_without_command=True,
    help="Measure how cost grows with nodes; or ratios to rivals, or memory alone.",
)


@bench.callback()
def measure(
    context: typer.Context,
    compare: Annotated[
        bool, Option("--compare", help="Ratios to rivals and their targets.")
    ] = False,
    memory: Annotated[bool, Option("--memory", help="Peak memory, to a million nodes.")] = False,
    nodes: Annotated[str, Option(help="Sizes, such as 1024,4096.")] = "",
    max_nodes: Annotated[
        int | None, Option(help="Largest size. Default: 2^17, 2^15 or 2^20.")
    ] = None,
    implementations: Annotated[
        str, Option("--implementations", "--contenders", help="Names, such as walk,sdpa.")
    ] = "",
    only: Annotated[str, Option(help="Names of comparisons, such as performer,gps.")] = "",
    mesh: Annotated[list[Path] | None, Option(help="Compare on this mesh, cut to --nodes.")] = None,
    time_limit: Annotated[
        float | None, Option(help="Seconds per call. Default: 30 or 120.")
    ] = None,
    memory_limit: Annotated[float | None, Option(help="GiB above the baseline.")] = None,
    repeats: Annotated[int | None, Option(help="Rounds. Default: 5, or 15 for --compare.")] = None,
    device: Annotated[str, Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    threads: Annotated[int | None, Option(help="CPU threads. Default: those of torch.")] = None,
    seed: Annotated[int, Option(help="Seed of graph, features and parameters.")] = 0,
    csv: Annotated[Path | None, Option(help="Write all measurements to this table.")] = None,
    json: Annotated[Path | None, Option(help="Write machine, settings and all rounds.")] = None,
    plot: Annotated[Path | None, Option(help="Draw them into this picture.")] = None,
    reorder: Annotated[bool, Option("--reorder", help="Nodes along a Hilbert curve.")] = False,
    keep_memory: Annotated[bool, Option("--keep-memory", help="Keep freed RAM (Linux).")] = False,
) -> None:
    """Measure how time and memory grow with nodes, forward and backward, beside PyG and torch."""
    if context.invoked_subcommand is not None:
        return
    flag = checked("options", lambda: _choose(context, {"--compare": compare, "--memory": memory}))
    checked("options", lambda: _check_files(csv, json, plot))
    machine = describe_machine(threads)
    largest, rounds, seconds, _ = _DEFAULTS[flag]
    if repeats is not None:
        rounds = checked("--repeats", lambda: check_integer("repeats", repeats, 1))
    settings = checked(
        "options",
        lambda: Settings(
            _sizes(nodes, max_nodes, largest, flag),
            find_implementations(split(implementations)) if implementations else IMPLEMENTATIONS,
            device,
            threads,
            rounds,
            seconds if time_limit is None else time_limit,
            memory_limit,
            seed,
            reorder=reorder,
            keep_memory=keep_memory,
        ),
    )

    def write(results: list[Any], panels: Sequence[Panel]) -> None:
        if csv is not None:
            write_csv(csv, results, summarize(machine))
        if json is not None:
            names = [implementation.name for implementation in settings.implementations]
            write_json(json, results, vars(settings) | {"implementations": names}, machine)
        if plot is not None:
            write_plot(plot, panels, summarize(machine))

    if not compare:
        complete = _run(
            lambda progress: scaling.run(settings, progress),
            lambda results: write(results, report.scaling_panels(results)),
            lambda results: report.print_report(
                report.scaling_tables(results, settings),
                report.scaling_remarks(results),
                {"Machine": machine},
            ),
        )
    else:
        chosen = checked("--only", lambda: find_comparisons(split(only))) if only else COMPARISONS
        meshes = [checked("--mesh", partial(read_mesh, path)) for path in mesh or ()]
        graphs = list(chain(*meshes, SPHERE))
        complete = _run(
            lambda progress: comparisons.run(chosen, graphs, settings, progress),
            lambda results: write(results, report.comparison_panels(results)),
            lambda results: report.print_report(
                [report.comparison_table(results)],
                report.comparison_remarks(results),
                {"Comparisons": _describe(chosen), "Graphs": _describe(graphs), "Machine": machine},
            ),
        )
    if not complete:
        raise typer.Exit(_INTERRUPTED)


@bench.command("contenders", deprecated=True, hidden=True)
@bench.command("implementations")
def list_implementations() -> None:
    """List the names of implementations and comparisons."""
    named = {"Implementations": _describe(IMPLEMENTATIONS), "Comparisons": _describe(COMPARISONS)}
    report.print_report([], [], named)


def _describe(named: Iterable[Any]) -> dict[str, str]:
    return {item.name: item.about for item in named}


def _check_files(csv: Path | None, json: Path | None, plot: Path | None) -> None:
    """Raise before hours are spent where a file cannot be written."""
    for path in (csv, json, plot):
        if path is not None:
            check_replaceable(path)
    if plot is not None:
        require("matplotlib.figure", extra="viz")


def _choose(context: typer.Context, flags: dict[str, bool]) -> str:
    """Return the flag of the benchmark; raise for two, and for options that it would ignore."""
    chosen = [flag for flag, is_set in flags.items() if is_set]
    if len(chosen) > 1:
        raise value_error("--compare, --memory", "at most one of them", "both")
    flag = "".join(chosen)
    for name in _DEFAULTS[flag][3]:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            raise value_error(option, f"absent with {flag or 'no flag'}", "it")
    return flag


def _run(
    run: Callable[[Callable[[str], object]], Iterable[list[T]]],
    write: Callable[[list[T]], object],
    show: Callable[[list[T]], object],
) -> bool:
    """Show the results, written after each step; return whether the run was not interrupted."""
    results: list[T] = []
    complete = True
    with Console(stderr=True, markup=False, emoji=False).status("starting") as status:
        try:
            for step in run(status.update):
                results += step
                write(results)
        except KeyboardInterrupt:
            typer.echo("interrupted: the rest is missing", err=True)
            complete = False
    if results:
        show(results)
    return complete


def _sizes(nodes: str, max_nodes: int | None, largest: int, flag: str) -> list[int]:
    """Parse the sizes, or return the default ones, up to the largest."""
    if nodes:
        try:
            sizes = [int(size) for size in split(nodes)]
        except ValueError:
            expected = "integers with commas between them, such as 1024,4096"
            raise value_error("nodes", expected, nodes) from None
        largest = max(sizes)
    elif flag == "--compare":
        sizes = [largest]
    else:
        sizes = [_SMALLEST << power for power in range(0, 32, 2 if flag == "--memory" else 1)]
    largest = largest if max_nodes is None else max_nodes
    chosen = [size for size in sizes if size <= largest]
    if not chosen:
        raise value_error("max_nodes", f"at least {min(sizes):,}, the smallest size", max_nodes)
    return chosen
