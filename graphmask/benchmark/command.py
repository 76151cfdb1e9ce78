"""The command ``graphmask bench``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from typer import Option

from graphmask._checks import check_integer, value_error
from graphmask._console import checked, make_console, make_fact_table, split
from graphmask._machine import describe_machine, summarize
from graphmask.extras import require

from . import comparisons, scaling
from .comparisons import COMPARISONS, find_comparisons
from .graphs import SPHERE, read_mesh
from .implementations import IMPLEMENTATIONS, find_implementations
from .plot import Panel, write_plot
from .report import comparison_panels, print_comparisons, print_scaling, scaling_panels
from .results import write_csv, write_json
from .settings import Settings

# The exit code of shells after an interrupt at the keyboard.
_INTERRUPTED = 130

_SMALLEST = 1024

# Largest size, rounds and time limit of each benchmark, where they are not given.
_DEFAULTS = {"": (131_072, 5, 30.0), "--compare": (32_768, 15, 30.0), "--memory": (2**20, 0, 120.0)}

# Options that a benchmark would ignore.
_IGNORED = {
    "": ("only", "mesh"),
    "--compare": ("implementations", "reorder"),
    "--memory": ("only", "mesh", "repeats", "keep_memory"),
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
        bool, Option("--compare", help="Instead: ratios to rivals, beside their targets.")
    ] = False,
    memory: Annotated[
        bool, Option("--memory", help="Instead: peak memory alone, to a million nodes.")
    ] = False,
    nodes: Annotated[str, Option(help="Sizes, such as 1024,4096.")] = "",
    max_nodes: Annotated[
        int | None, Option(help="Largest size; 131072, 32768 or, for --memory, 1048576.")
    ] = None,
    implementations: Annotated[
        str, Option("--implementations", "--contenders", help="Names, such as walk,sdpa.")
    ] = "",
    only: Annotated[str, Option(help="Names of comparisons, such as performer,gps.")] = "",
    mesh: Annotated[
        list[Path] | None,
        Option(help="A mesh to compare on, too; cut to --nodes around its first vertex."),
    ] = None,
    time_limit: Annotated[
        float | None, Option(help="Seconds of a call; 30, or 120 for --memory.")
    ] = None,
    memory_limit: Annotated[
        float | None, Option(help="GiB above the baseline; half of the memory.")
    ] = None,
    repeats: Annotated[int | None, Option(help="Rounds; 5, or 15 for --compare.")] = None,
    device: Annotated[str, Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    threads: Annotated[int | None, Option(help="CPU threads; torch's choice.")] = None,
    seed: Annotated[int, Option(help="Of the graph, the features and the parameters.")] = 0,
    csv: Annotated[Path | None, Option(help="Write all measurements to this table.")] = None,
    json: Annotated[
        Path | None, Option(help="Write machine, settings and every round here.")
    ] = None,
    plot: Annotated[Path | None, Option(help="Draw them into this picture.")] = None,
    reorder: Annotated[bool, Option("--reorder", help="Nodes along a Hilbert curve.")] = False,
    keep_memory: Annotated[
        bool, Option("--keep-memory", help="Timed processes keep freed memory (Linux).")
    ] = False,
) -> None:
    """Measure how time and memory grow with nodes, forward and backward, beside PyG and torch.

    --compare and --memory measure something else instead, and refuse options that they do not read.
    """
    if context.invoked_subcommand is not None:
        return
    flag = checked("options", lambda: _choose(context, {"--compare": compare, "--memory": memory}))
    files = checked("options", lambda: _Files(csv, json, plot, threads))
    largest, rounds, seconds = _DEFAULTS[flag]
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
    if not compare:
        complete = _run(
            lambda progress: scaling.run(settings, progress),
            lambda results: files.write(results, settings, scaling_panels(results)),
            lambda results: print_scaling(results, settings, files.machine),
        )
    else:
        chosen = checked("--only", lambda: find_comparisons(split(only))) if only else COMPARISONS
        graphs = [
            graph for path in mesh or () for graph in checked("--mesh", partial(read_mesh, path))
        ]
        graphs += SPHERE
        complete = _run(
            lambda progress: comparisons.run(chosen, graphs, settings, progress),
            lambda results: files.write(results, settings, comparison_panels(results)),
            lambda results: print_comparisons(results, chosen, graphs, files.machine),
        )
    if not complete:
        raise typer.Exit(_INTERRUPTED)


@bench.command("implementations")
def list_implementations() -> None:
    """List the names of implementations and comparisons."""
    for title, named in (("Implementations", IMPLEMENTATIONS), ("Comparisons", COMPARISONS)):
        make_console().print(make_fact_table(title, {item.name: item.about for item in named}))


@bench.command("contenders", deprecated=True, hidden=True)
def _list_contenders() -> None:
    list_implementations()


class _Files:
    """The files to write, checked before hours are spent."""

    def __init__(
        self, csv: Path | None, json: Path | None, plot: Path | None, threads: int | None
    ) -> None:
        for path in (csv, json, plot):
            if path is not None:
                # Raises where the file cannot be written, and keeps what it holds.
                path.open("a").close()
        if plot is not None:
            require("matplotlib.figure", extra="viz")
        self._csv, self._json, self._plot = csv, json, plot
        self.machine = describe_machine(threads)

    def write(self, records: Sequence[Any], settings: Settings, panels: list[Panel]) -> None:
        """Write all files."""
        if self._csv is not None:
            write_csv(self._csv, records, summarize(self.machine))
        if self._json is not None:
            names = {
                "implementations": [
                    implementation.name for implementation in settings.implementations
                ]
            }
            write_json(self._json, records, vars(settings) | names, self.machine)
        if self._plot is not None:
            write_plot(self._plot, panels, summarize(self.machine))


def _choose(context: typer.Context, flags: dict[str, bool]) -> str:
    """Return the flag of the benchmark; raise for two, and for options that it would ignore."""
    chosen = [flag for flag, is_set in flags.items() if is_set]
    if len(chosen) > 1:
        raise value_error("--compare, --memory", "at most one of them", "both")
    flag = "".join(chosen)
    for name in _IGNORED[flag]:
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
    """Write the results after each step, so that an interrupt loses nothing, and show them.

    Returns whether the run came to its end.
    """
    results: list[T] = []
    complete = True
    with Console(stderr=True).status("starting") as status:
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
        sizes = _integers(nodes)
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


def _integers(text: str) -> list[int]:
    try:
        return [int(size) for size in split(text)]
    except ValueError:
        expected = "integers with commas between them, such as 1024,4096"
        raise value_error("nodes", expected, text) from None
