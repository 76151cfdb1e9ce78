"""``graphmask info``: of a file, or of the installation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from graphmask._console import (
    checked,
    empty_table,
    find_named,
    format_number,
    make_console,
    make_fact_table,
    split,
)
from graphmask._machine import describe_machine
from graphmask.extras import installed_extras
from graphmask.topology import Topology
from graphmask.view.graphs import NEIGHBOURS, read_graph

from .advice import advise
from .candidates import find_candidates
from .estimates import SIZES, Estimate, estimate
from .graph import describe_graph


def info(
    file: Annotated[
        Path | None,
        typer.Argument(help="A mesh, a point cloud or a graph. Default: versions and machine."),
    ] = None,
    masks: Annotated[
        str, typer.Option(help="Names, such as walk,grf; or none, for facts alone. Default: all.")
    ] = "",
    whole: Annotated[
        bool, typer.Option("--whole", help="Measure on the whole graph, whatever it costs.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads. Default: torch's choice.")
    ] = None,
    cpu_time: Annotated[
        bool,
        typer.Option(
            "--cpu-time",
            help="Time that processors work, not that passes: for a busy machine, with --threads 1.",
        ),
    ] = False,
    neighbours: Annotated[
        int, typer.Option(help="Of each point of a cloud without edges.")
    ] = NEIGHBOURS,
    directed: Annotated[
        bool, typer.Option("--directed", help="Edge lists as they stand, not both ways.")
    ] = False,
    item: Annotated[int, typer.Option(help="Which line of a file of molecules.")] = 0,
) -> None:
    """Tell of a graph: its size, its degrees, what each mask would cost on it here, and which to take.

    Without a file: versions, the machine, accelerators and which extras are installed.
    """
    console = make_console()
    if file is None:
        _show_installation(console)
        return
    data = checked("FILE", lambda: read_graph(file, directed, item, neighbours))
    facts = describe_graph(data, made_edges=bool(data.get("made_edges")))
    console.print(make_fact_table(file.name, facts.rows()))
    candidates = find_candidates(facts)
    if masks == "none":
        candidates = []
    elif masks:
        candidates = list(checked("--masks", lambda: find_named("masks", split(masks), candidates)))
    if candidates and facts.num_edges:
        topology = Topology.from_data(data)
        with Console(stderr=True).status("searching") as status:
            found = list(estimate(candidates, topology, whole, threads, cpu_time, status.update))
        console.print(_make_table(found))
        console.print(_explain(found), style="dim", highlight=False)
    console.print(make_fact_table("Take", {each.what: each.why for each in advise(facts)}))


def _show_installation(console: Any) -> None:
    console.print(make_fact_table("Machine and versions", describe_machine()))
    extras = {name: _list_packages(packages) for name, packages in installed_extras().items()}
    console.print(make_fact_table("Extras", extras))


def _list_packages(packages: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {version or '(absent)'}" for name, version in packages.items())


def _make_table(found: Sequence[Estimate]) -> Any:
    table = empty_table("Attention under each mask, 4 heads of 16 channels, forward and backward")
    table.add_column("mask", no_wrap=True)
    for heading in ("once per graph, s", "a call, ms", "peak, MiB", "stored per node"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for each in found:
        if math.isnan(each.seconds):
            table.add_row(each.name, *["-"] * 4, each.reason)
            continue
        entries = "-" if each.entries is None else format_number(each.entries)
        numbers = (each.prepare, 1e3 * each.seconds, each.peak)
        table.add_row(
            each.name,
            *map(format_number, numbers),
            entries,
            "measured" if each.measured else "estimated",
        )
    return table


def _explain(found: Sequence[Estimate]) -> str:
    if all(each.measured or each.reason for each in found):
        return "Measured on the whole graph, each mask in a process of its own; memory is above the graph and its features."
    small, large = SIZES
    return (
        f"Estimated: measured here on the {small:,} and {large:,} nodes that a breadth-first search meets first, each mask in "
        "a process of its own, and extrapolated along N, N + E, N log N or the pairs stored, counted for some nodes of "
        "the whole graph. Expect a factor of two, and of three where a mask is known by its products; --whole measures."
    )
