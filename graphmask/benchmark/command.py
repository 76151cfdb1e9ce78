"""``graphmask bench``: its options, and which of its benchmarks they ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from graphmask._checks import refuse

from .bodies import BODIES
from .bodies.command import run_bodies
from .comparisons import COMPARISONS
from .comparisons.command import run_comparisons
from .contenders import CONTENDERS
from .estimators.command import estimators
from .estimators.concentration_command import concentration
from .options import INTERRUPTED, Common, checked
from .report import make_console, make_fact_table
from .scaling import Settings
from .scaling_command import run_memory, run_scaling

bench = typer.Typer(invoke_without_command=True, help="Measure how cost grows with nodes, and beside rivals.")
bench.command("estimators")(estimators)
bench.command("concentration")(concentration)

# The options that each benchmark reads, beside those that all do.
_SCALING = ("max_nodes", "contenders", "time_limit", "memory_limit", "repeats", "plot")
_MEMORY = ("max_nodes", "contenders", "time_limit", "memory_limit")
_COMPARE = ("only", "mesh", "molecules", "time_limit", "repeats")
_BODIES = ("only", "mesh", "time_limit", "repeats")


@bench.callback()
def measure(
    context: typer.Context,
    compare: Annotated[bool, typer.Option("--compare", help="Instead: rivals, ratios beside their targets.")] = False,
    bodies: Annotated[bool, typer.Option("--bodies", help="Instead: possible bodies of the sparse primitives.")] = False,
    memory: Annotated[bool, typer.Option("--memory", help="Instead: peak memory alone, to a million nodes.")] = False,
    nodes: Annotated[
        str, typer.Option(help="Sizes, such as 1024,4096. Default: powers of two, of four for --memory; or 32768.")
    ] = "",
    max_nodes: Annotated[
        int | None, typer.Option(help="Largest size. Default: 131072, 1048576 for --memory, or the largest of --nodes.")
    ] = None,
    contenders: Annotated[str, typer.Option(help="Names, such as walk,sdpa. Default: all.")] = "",
    only: Annotated[str, typer.Option(help="Names of comparisons or bodies, such as performer,gps. Default: all.")] = "",
    mesh: Annotated[
        list[Path] | None,
        typer.Option(help="A mesh to compare on, too: .npz, or what trimesh reads. Cut to --nodes around its first vertex."),
    ] = None,
    molecules: Annotated[Path | None, typer.Option(help="A file of SMILES to compare on. Default: generated.")] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            help="Seconds that a forward and backward call may take (default: 30; 120 for --memory); for --compare and "
            "--bodies, after which no round begins, from the fourth on (30)."
        ),
    ] = None,
    memory_limit: Annotated[float | None, typer.Option(help="GiB above the baseline. Default: half of the memory.")] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Rounds; the median counts. Default: 5; 15 for --compare, 9 for --bodies.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = Settings.device,
    threads: Annotated[int | None, typer.Option(help="CPU threads. Default: torch's choice.")] = None,
    seed: Annotated[int, typer.Option(help="Of the graph, the features and the parameters.")] = Settings.seed,
    csv: Annotated[Path | None, typer.Option(help="Write all measurements to this file.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write machine, settings, every round and summaries here.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw them into this picture.")] = None,
) -> None:
    """Measure how time and memory grow with nodes, forward and backward, beside PyG's layers and torch's attention.

    One of --compare, --bodies and --memory measures that instead; each refuses options that it does not read.
    """
    if context.invoked_subcommand is not None:
        return
    common = checked("options", lambda: Common(device, threads, seed, csv, json))
    runs: dict[str, tuple[tuple[str, ...], Callable[[], bool]]] = {
        "": (
            _SCALING,
            lambda: run_scaling(common, nodes, max_nodes, contenders, time_limit, memory_limit, repeats, plot),
        ),
        "--memory": (_MEMORY, lambda: run_memory(common, nodes, max_nodes, contenders, time_limit, memory_limit)),
        "--compare": (_COMPARE, lambda: run_comparisons(common, nodes, only, mesh or [], molecules, time_limit, repeats)),
        "--bodies": (_BODIES, lambda: run_bodies(common, nodes, only, mesh or [], time_limit, repeats)),
    }
    flags = [flag for flag, asked in (("--compare", compare), ("--bodies", bodies), ("--memory", memory)) if asked]
    flag = checked("options", lambda: _one(flags))
    checked("options", lambda: _check_read(context, flag, {name: read for name, (read, _) in runs.items()}))
    if not runs[flag][1]():
        raise typer.Exit(INTERRUPTED)


@bench.command("contenders")
def list_contenders() -> None:
    """List who can be compared, the comparisons, and the bodies of the sparse primitives."""
    for title, known in (("Contenders", CONTENDERS), ("Comparisons", COMPARISONS), ("Bodies", BODIES)):
        make_console().print(make_fact_table(title, {each.name: each.about for each in known}))


def _one(flags: list[str]) -> str:
    if len(flags) > 1:
        raise refuse("--compare, --bodies, --memory", "at most one of them", " and ".join(flags))
    return flags[0] if flags else ""


def _check_read(context: typer.Context, flag: str, read: dict[str, tuple[str, ...]]) -> None:
    """Refuse options that were given and would not be read."""
    for name in sorted(set().union(*read.values()) - set(read[flag])):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option, readers = f"--{name.replace('_', '-')}", [each for each, names in read.items() if each and name in names]
            expected = " or ".join((["no flag"] if name in read[""] else []) + readers)
            raise refuse(option, f"given with {expected}", f"it with {flag or 'no flag'}")
