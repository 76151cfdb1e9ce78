"""``graphmask bench encodings``: the options, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphmask._console import (
    checked,
    empty_table,
    find_named,
    format_number,
    make_console,
    make_fact_table,
    split,
)
from graphmask._machine import describe_machine, summarize

from .encodings import ENCODERS, Encoding, Study, run
from .options import INTERRUPTED, check_files, collect
from .records import write_csv

if TYPE_CHECKING:
    from rich.table import Table


def encodings(
    nodes: Annotated[int, typer.Option(help="Points in the unit cube.")] = Study.nodes,
    neighbours: Annotated[
        int, typer.Option(help="Nearest neighbours that a point is joined with.")
    ] = Study.neighbours,
    steps: Annotated[int, typer.Option(help="K, of the encoding.")] = Study.steps,
    only: Annotated[str, typer.Option(help="Names, such as walk-encoding,pyg. Default: all.")] = "",
    threads: Annotated[int, typer.Option(help="CPU threads.")] = Study.threads,
    seed: Annotated[int, typer.Option(help="Of the points and of what is sampled.")] = Study.seed,
    csv: Annotated[Path | None, typer.Option(help="Write the table to this file.")] = None,
    names: Annotated[
        bool, typer.Option("--names", help="List the encoders, and measure nothing.")
    ] = False,
) -> None:
    """Measure time, peak memory and accuracy of random walk encodings, beside PyG's own.

    Each runs once, after a warm-up on a small graph, in a process of its own, which may take 85 %
    of the memory that is free. PyG's needs tens of GiB at the default size.
    """
    if names:
        make_console().print(
            make_fact_table("Encoders", {each.name: each.about for each in ENCODERS})
        )
        return
    study = checked("options", lambda: Study(nodes, neighbours, steps, threads, seed))
    chosen = checked(
        "--only", lambda: find_named("only", split(only), ENCODERS) if only else ENCODERS
    )
    checked("--csv", lambda: check_files(csv, None))
    machine = describe_machine(threads)

    def keep(found: Sequence[Encoding]) -> None:
        if csv is not None:
            write_csv(csv, found, summarize(machine))

    found, complete = collect(lambda progress: run(study, chosen, progress), keep)
    console = make_console()
    if found:
        console.print(make_table(found, study))
        console.print(make_fact_table("Machine", machine))
    if not complete:
        raise typer.Exit(INTERRUPTED)


def make_table(found: Sequence[Encoding], study: Study) -> Table:
    """A row per encoder.

    Raises:
        MissingExtraError: without rich.
    """
    table = empty_table(
        f"Walk encodings of {study.steps} steps, {study.nodes} points, {study.neighbours} neighbours"
    )
    table.add_column("encoder", no_wrap=True)
    for heading in ("s", "CPU s", "peak MiB", "relative error", "of the last step"):
        table.add_column(heading, justify="right")
    for each in found:
        cells = (each.seconds, each.cpu, each.peak_mib, each.error, each.last)
        table.add_row(
            each.name, *("no memory" if value is None else _format(value) for value in cells)
        )
    return table


def _format(value: float) -> str:
    return f"{value:.1e}" if value < 1e-3 else format_number(value)
