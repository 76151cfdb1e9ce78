"""``graphmask bench``: its options, and which of its benchmarks they ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from graphmask._checks import value_error
from graphmask._console import checked, make_console, make_fact_table

from .bodies import BODIES
from .bodies.command import run_bodies
from .comparisons import COMPARISONS
from .comparisons.command import run_comparisons
from .contenders import CONTENDERS
from .encodings_command import encodings
from .estimators.command import estimators
from .estimators.concentration_command import concentration
from .families import FAMILIES
from .families.command import families
from .features_command import features
from .options import INTERRUPTED, Common
from .scaling import Settings
from .scaling_command import Growth, run_memory, run_scaling

bench = typer.Typer(
    invoke_without_command=True,
    help="Measure how cost grows with nodes; or, by one flag: ratios to rivals, bodies of primitives, memory alone.",
)
bench.command("estimators")(estimators)
bench.command("concentration")(concentration)
bench.command("features")(features)
bench.command("encodings")(encodings)
bench.command("families")(families)

# The options that each benchmark reads, beside those that all do.
_SCALING = (
    "max_nodes",
    "contenders",
    "time_limit",
    "memory_limit",
    "repeats",
    "plot",
    "reorder",
    "keep_memory",
)
_MEMORY = ("max_nodes", "contenders", "time_limit", "memory_limit", "reorder")
_COMPARE = ("only", "mesh", "molecules", "time_limit", "repeats")
_BODIES = ("only", "mesh", "time_limit", "repeats")


class _Benchmark(NamedTuple):
    """What a flag asks for: the options that it reads, and the run, which tells whether it came to its end."""

    flag: str
    reads: tuple[str, ...]
    run: Callable[[], bool]


@bench.callback()
def measure(
    context: typer.Context,
    compare: Annotated[
        bool, typer.Option("--compare", help="Instead: rivals, ratios beside their targets.")
    ] = False,
    bodies: Annotated[
        bool, typer.Option("--bodies", help="Instead: possible bodies of the sparse primitives.")
    ] = False,
    memory: Annotated[
        bool, typer.Option("--memory", help="Instead: peak memory alone, to a million nodes.")
    ] = False,
    nodes: Annotated[
        str,
        typer.Option(
            help="Sizes, such as 1024,4096. Default: powers of two, of four for --memory; or 32768."
        ),
    ] = "",
    max_nodes: Annotated[
        int | None,
        typer.Option(
            help="Largest size. Default: 131072, 1048576 for --memory, or the largest of --nodes."
        ),
    ] = None,
    contenders: Annotated[str, typer.Option(help="Names, such as walk,sdpa. Default: all.")] = "",
    only: Annotated[
        str,
        typer.Option(help="Names of comparisons or bodies, such as performer,gps. Default: all."),
    ] = "",
    mesh: Annotated[
        list[Path] | None,
        typer.Option(
            help="A mesh to compare on, too: .npz, or what trimesh reads. Cut to --nodes around its first vertex."
        ),
    ] = None,
    molecules: Annotated[
        Path | None, typer.Option(help="A file of SMILES to compare on. Default: generated.")
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            help="Seconds that a forward and backward call may take (default: 30; 120 for --memory); for --compare and "
            "--bodies, after which no round begins, from the fourth on (30)."
        ),
    ] = None,
    memory_limit: Annotated[
        float | None, typer.Option(help="GiB above the baseline. Default: half of the memory.")
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            help="Rounds; the median counts. Default: 5; 15 for --compare, 9 for --bodies."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = Settings.device,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads. Default: torch's choice.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the graph, the features and the parameters.")
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
    reorder: Annotated[
        bool, typer.Option("--reorder", help="Nodes in the order that ReorderNodes gives.")
    ] = False,
    keep_memory: Annotated[
        bool,
        typer.Option(
            "--keep-memory", help="Timed processes keep the memory that they free (Linux)."
        ),
    ] = False,
) -> None:
    """Measure how time and memory grow with nodes, forward and backward, beside PyG's layers and torch's attention.

    One of --compare, --bodies and --memory measures that instead; each refuses options that it does
    not read.
    """
    if context.invoked_subcommand is not None:
        return
    common = checked("options", lambda: Common(device, threads, seed, csv, json, html))
    asked = {"--compare": compare, "--bodies": bodies, "--memory": memory}
    growth = Growth(common, nodes, max_nodes, contenders, time_limit, memory_limit, reorder)
    benchmarks = (
        _Benchmark("", _SCALING, lambda: run_scaling(growth, repeats, plot, keep_memory)),
        _Benchmark("--memory", _MEMORY, lambda: run_memory(growth)),
        _Benchmark(
            "--compare",
            _COMPARE,
            lambda: run_comparisons(
                common, nodes, only, mesh or [], molecules, time_limit, repeats
            ),
        ),
        _Benchmark(
            "--bodies",
            _BODIES,
            lambda: run_bodies(common, nodes, only, mesh or [], time_limit, repeats),
        ),
    )
    chosen = checked(
        "options",
        lambda: _choose(benchmarks, [flag for flag, wanted in asked.items() if wanted], context),
    )
    if not chosen.run():
        raise typer.Exit(INTERRUPTED)


@bench.command("contenders")
def list_contenders() -> None:
    """List who can be compared, the comparisons, the bodies of the sparse primitives, and the families of masks."""
    lists = (
        ("Contenders", CONTENDERS),
        ("Comparisons", COMPARISONS),
        ("Bodies", BODIES),
        ("Families", FAMILIES),
    )
    for title, known in lists:
        make_console().print(make_fact_table(title, {each.name: each.about for each in known}))


def _choose(
    benchmarks: Sequence[_Benchmark], flags: Sequence[str], context: typer.Context
) -> _Benchmark:
    """The benchmark that is asked for.

    Options that were given and would not be read are refused.
    """
    if len(flags) > 1:
        raise value_error(
            "--compare, --bodies, --memory", "at most one of them", " and ".join(flags)
        )
    chosen = next(each for each in benchmarks if each.flag == "".join(flags))
    for name in sorted({name for each in benchmarks for name in each.reads} - set(chosen.reads)):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            readers = " or ".join(
                each.flag or "no flag" for each in benchmarks if name in each.reads
            )
            raise value_error(
                f"--{name.replace('_', '-')}",
                f"given with {readers}",
                f"it with {chosen.flag or 'no flag'}",
            )
    return chosen
