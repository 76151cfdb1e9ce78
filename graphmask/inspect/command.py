"""The command ``graphmask info``: a summary of a file, or of the installation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from graphmask import _console
from graphmask._console import checked, make_fact_table
from graphmask._machine import describe_machine
from graphmask.extras import installed_extras
from graphmask.io import NEIGHBOURS, read_graph
from graphmask.topology import Topology
from graphmask.view.command import Columns, Directed, Item, Neighbours

from .costs import CHANNELS, HEADS, MaskCost, mask_costs
from .recommendations import recommend
from .summary import summarize_graph

_FILE = "A mesh, a point cloud or a graph. Default: versions and machine."
_MASKS = "Names, such as walk,grf; or none, for the graph alone. Default: all."
_WHOLE = "Prepare and time each mask on the whole graph."
_THREADS = "CPU threads of timed calls. Default: those of torch."


def info(
    file: Annotated[Path | None, typer.Argument(help=_FILE)] = None,
    masks: Annotated[str, typer.Option(help=_MASKS)] = "",
    whole: Annotated[bool, typer.Option("--whole", help=_WHOLE)] = False,
    threads: Annotated[int | None, typer.Option(help=_THREADS)] = None,
    neighbours: Neighbours = NEIGHBOURS,
    directed: Directed = False,
    item: Item = 0,
    columns: Columns = None,
) -> None:
    """Summarize a graph: its size, its degrees, the costs of each mask, and which to take.

    Without a file: versions, the machine, accelerators and which extras are installed.
    """
    console = _console.make_console()
    if file is None:
        console.print(make_fact_table("Machine and versions", describe_machine()))
        extras = {
            name: ", ".join(f"{key} {version or '(absent)'}" for key, version in packages.items())
            for name, packages in installed_extras().items()
        }
        console.print(make_fact_table("Extras", extras))
        return
    read = partial(read_graph, file, directed, item, neighbours, columns, attributes=())
    data = checked("FILE", read)
    summary = summarize_graph(data, made_edges=bool(data.get("made_edges")))
    console.print(make_fact_table(file.name, summary.rows()))
    if masks != "none" and summary.num_edges:
        names, topology = tuple(_console.split(masks)) if masks else (), Topology.from_data(data)
        costs = partial(mask_costs, summary, topology, names, whole, threads)
        console.print(_make_table(checked("--masks", lambda: list(costs())), whole))
    console.print(make_fact_table("Recommendations", recommend(summary)))


def _make_table(costs: Sequence[MaskCost], measured: bool) -> Any:
    table = _console.empty_table(f"Attention under each mask, {HEADS} heads of {CHANNELS} channels")
    table.add_column("mask", no_wrap=True)
    headings = ["M @ x, per head and column", "walk pairs per node"]
    if measured:
        headings += ["multiply-adds", "once per graph, s", "a call and its gradient, ms"]
    for heading in headings:
        table.add_column(heading, justify="right")
    table.add_column("")
    for cost in costs:
        formula = f"O({cost.mask.cost})" if cost.mask is not None and cost.mask.cost else "-"
        values = [cost.pairs]
        if measured:
            call = None if cost.call_seconds is None else 1e3 * cost.call_seconds
            values += [cost.multiply_adds, cost.prepare_seconds, call]
        cells = ["-" if value is None else _console.format_number(value) for value in values]
        table.add_row(cost.name, formula, *cells, cost.reason)
    return table
