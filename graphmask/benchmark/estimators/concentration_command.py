"""``graphmask bench concentration``: the options of the study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from graphmask._console import checked, find_named, make_console, split
from graphmask.benchmark.options import check_files
from graphmask.benchmark.page import Chart, Report, page_path
from graphmask.masks import Diffusion

from .concentration import Tail, measure_tails, write_plot
from .graphs import GRAPHS

# The chance at which distances are printed.
_CHANCE = 0.01

_CHARTS = (
    Chart("Chance that an entry is off by more", "distance", "chance", ("what",), log_x=False),
)


def concentration(
    graph: Annotated[
        str, typer.Option(help="The name of a small graph; see graphmask bench estimators --names.")
    ] = "regular",
    walks: Annotated[str, typer.Option(help="Numbers of walks.")] = "4,16,64",
    draws: Annotated[int, typer.Option(help="Draws for each number of walks.", min=2)] = 1000,
    scale: Annotated[
        float,
        typer.Option(help="Of the heat kernel exp(-scale (I - W)), the mask that is estimated."),
    ] = 1.0,
    p_halt: Annotated[float, typer.Option(help="Halting probability.")] = 0.1,
    hops: Annotated[int, typer.Option(help="Where the series is cut.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the graph and the first draw.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Draw the tails into this picture.")] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="A page with tables and plots. Default: beside the picture, if any."),
    ] = None,
) -> None:
    """Measure how often masks of graph random features are far off, beside the bound of Reid et al. (2025), Theorem 3.2."""
    checked("--plot, --html", lambda: check_files(None, plot, html=html))
    chosen = checked("--graph", lambda: find_named("graph", [graph], GRAPHS))[0]
    numbers = checked("--walks", lambda: [int(number) for number in split(walks)])
    f = checked("--scale, --hops", lambda: Diffusion(hops, scale=scale / 2)()[0].detach())
    topology = chosen.make(seed)
    with Console(stderr=True).status("starting") as status:
        study = checked(
            "options",
            lambda: list(measure_tails(topology, f, p_halt, numbers, draws, seed, status.update)),
        )
    if plot is not None:
        write_plot(
            plot,
            study,
            f"{chosen.about}; heat kernel of scale {scale:g}, p_halt = {p_halt:g}, {draws:,} draws",
        )
    table = Table(title=f"Distance exceeded with a chance of {_CHANCE:.0%}: {chosen.about}")
    for heading in ("walks", "worst pair", "bound", "bound / worst", "bound holds"):
        table.add_column(heading, justify="right")
    for tail in study:
        worst, allowed = tail.exceeded(_CHANCE)
        row = (
            str(tail.n_walks),
            f"{worst:.3g}",
            f"{allowed:.3g}",
            f"{allowed / worst:.3g}",
            "yes" if tail.holds else "NO",
        )
        table.add_row(*row)
    report = Report(make_console(), page_path(html, plot), "graphmask bench concentration")
    report.print(table)
    report.write([row for tail in study for row in _rows(tail)], _CHARTS)


def _rows(tail: Tail) -> list[dict[str, Any]]:
    """Distances, and how often the worst pair is that far off, and may be."""
    return [
        {"distance": distance, "chance": chance, "what": f"{what}, {tail.n_walks} walks"}
        for what, chances in (("worst pair", tail.worst), ("bound", tail.bound.clamp(max=1)))
        for distance, chance in zip(tail.distance.tolist(), chances.tolist(), strict=True)
    ]
