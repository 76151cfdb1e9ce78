"""Results on the terminal: tables, their remarks, and the panels of pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from graphmask._console import empty_table, format_number, make_console, make_fact_table
from graphmask._machine import GIB

from .comparisons import Comparison, Ratio
from .graphs import NamedGraph
from .plot import Panel
from .results import QUANTITIES, Measurement, Quantity, Status, fit_exponent, group_by_name
from .settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

_NOTHING = "-"

# Rounds that differ by more than this share were disturbed by other programs.
_NOISY = 0.25


def print_scaling(
    measurements: Sequence[Measurement], settings: Settings, machine: dict[str, str]
) -> None:
    """Print a table per quantity, what was cut off and why, and the machine."""
    console = make_console()
    for name in ("forward", "both", "peak", "prepare") if settings.repeats else ("peak", "share"):
        table = scaling_table(QUANTITIES[name], measurements, settings)
        if table.row_count:
            console.print(table)
    for remark in scaling_remarks(measurements):
        console.print(remark, style="dim", highlight=False)
    console.print(make_fact_table("Machine", machine))


def print_comparisons(
    ratios: Sequence[Ratio],
    comparisons: Sequence[Comparison],
    graphs: Sequence[NamedGraph],
    machine: dict[str, str],
) -> None:
    """Print the ratios, mask errors and failures, and what was compared."""
    console = make_console()
    console.print(comparison_table(ratios))
    for remark in comparison_remarks(ratios):
        console.print(remark, style="dim", highlight=False)
    for title, named in (("Comparisons", comparisons), ("Graphs", graphs)):
        console.print(make_fact_table(title, {item.name: item.about for item in named}))
    console.print(make_fact_table("Machine", machine))


def scaling_table(
    quantity: Quantity, measurements: Sequence[Measurement], settings: Settings
) -> Table:
    """Make a table of one quantity: implementations by sizes, exponents and entries per node.

    Exponents are fitted over the larger half of the sizes, and over all, since the constant cost of
    a call flattens the small ones.
    """
    table = empty_table(f"{quantity.title} [{quantity.unit}]")
    sizes = sorted({run.nodes for run in measurements})
    shares = {} if quantity.per_node else {"exponent": 0.5, "of all": 1.0}
    table.add_column("implementation", no_wrap=True)
    for heading in (*(f"{size:,}" for size in sizes), *shares, "entries/node"):
        table.add_column(heading, justify="right")
    for name, group in group_by_name(measurements).items():
        # An implementation that was measured without a value has none at any size, such as the
        # walks of a peer that draws none.
        if group[0].status is Status.MEASURED and quantity.of(group[0]) is None:
            continue
        by_size = {run.nodes: format_cell(quantity, run, settings) for run in group}
        values = quantity.values(group)
        exponents = [format_exponent(fit_exponent(values, share)) for share in shares.values()]
        entries = [run.entries_per_node for run in group if run.entries_per_node is not None]
        last = format_number(entries[-1]) if entries else _NOTHING
        table.add_row(name, *(by_size.get(size, "") for size in sizes), *exponents, last)
    return table


def format_cell(quantity: Quantity, measurement: Measurement, settings: Settings) -> str:
    """Format a value, or the limit that was exceeded."""
    value = quantity.of(measurement)
    if value is not None:
        return format_number(value * quantity.scale)
    limits = {
        Status.MEASURED: _NOTHING,
        Status.TIME: f"> {settings.time_limit:g} s",
        Status.MEMORY: f"> {settings.memory_bytes / GIB:.3g} GiB",
        Status.FAILED: "failed",
    }
    return limits[measurement.status]


def format_exponent(exponent: float) -> str:
    """Format two digits, or a dash for NaN."""
    return _NOTHING if math.isnan(exponent) else f"{exponent:.2f}"


def scaling_panels(measurements: Sequence[Measurement]) -> list[Panel]:
    """Make the panels of a picture, with peers dashed and exponents in the labels."""
    panels = []
    for quantity in (QUANTITIES[name] for name in ("forward", "both", "peak")):
        lines, dashed = {}, set()
        for name, group in group_by_name(measurements).items():
            if values := quantity.values(group):
                label = f"{name}  N^{format_exponent(fit_exponent(values))}"
                lines[label] = values
                dashed |= {label} if group[0].library != "graphmask" else set()
        panels.append(Panel(quantity.title, "nodes", quantity.unit, lines, frozenset(dashed)))
    return panels


def scaling_remarks(measurements: Sequence[Measurement]) -> list[str]:
    """Explain which implementations were cut off, and warn of rounds that differ much.

    Example:
        >>> from graphmask.benchmark import Measurement, Status
        >>> cut = Measurement("gps", "PyG", 64, status=Status.TIME, note="no answer within 30 s")
        >>> scaling_remarks([cut, Measurement("walk", "graphmask", nodes=64, both=(1.0, 1.5))])
        ['gps: time limit, no answer within 30 s', 'rounds differ by up to 50% (walk, 64 nodes)']
    """
    cuts: dict[str, str] = {}
    for run in measurements:
        if run.status is not Status.MEASURED:
            cuts.setdefault(run.implementation, f"{run.status.value}, {run.note}")
    remarks = [f"{name}: {reason}" for name, reason in cuts.items()]
    worst = max(measurements, key=lambda measurement: measurement.spread)
    if worst.spread > _NOISY:
        where = f"{worst.implementation}, {worst.nodes:,} nodes"
        remarks.append(f"rounds differ by up to {worst.spread:.0%} ({where})")
    return remarks


def comparison_table(ratios: Sequence[Ratio]) -> Table:
    """Make a table with a row per comparison and graph."""
    table = empty_table("Forward + backward, and whole steps, interleaved: ours over theirs")
    for heading in ("comparison", "graph"):
        table.add_column(heading, no_wrap=True)
    headings = "nodes|ours, ms|theirs, ms|ratio|quartiles|target||rounds|entries/node"
    for heading in headings.split("|"):
        table.add_column(heading, justify="right")
    for ratio in ratios:
        table.add_row(*_comparison_cells(ratio))
    return table


def _comparison_cells(ratio: Ratio) -> list[str]:
    comparison = ratio.comparison
    cells, target = (
        [comparison.name, ratio.graph, f"{ratio.ours.nodes:,}"],
        f"<= {comparison.target:.3g}",
    )
    if not ratio.quartiles:
        return [*cells, *[_NOTHING] * 4, target, "failed", "0", _NOTHING]
    low, middle, high = map(format_number, ratio.quartiles)
    entries = [
        format_number(pair.entries_per_node) if pair.entries_per_node else _NOTHING
        for pair in (ratio.ours, ratio.theirs)
    ]
    return [
        *cells,
        *(format_number(1e3 * median(pair.both)) for pair in (ratio.ours, ratio.theirs)),
        middle,
        f"{low} .. {high}",
        target,
        _verdict(bool(ratio.met)),
        str(len(ratio.rounds)),
        " / ".join(entries),
    ]


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def comparison_panels(ratios: Sequence[Ratio]) -> list[Panel]:
    """Make a panel per graph: ratios against nodes."""
    panels: dict[str, dict[str, dict[float, float]]] = {}
    for ratio in ratios:
        if ratio.quartiles:
            line = panels.setdefault(ratio.graph, {}).setdefault(ratio.comparison.name, {})
            line[ratio.ours.nodes] = ratio.quartiles[1]
    return [Panel(graph, "nodes", "ours / theirs", lines) for graph, lines in panels.items()]


def comparison_remarks(ratios: Sequence[Ratio]) -> list[str]:
    """Report mask errors and failures."""
    remarks = []
    for ratio in ratios:
        where = f"{ratio.comparison.name}, {ratio.graph}"
        target, error_ratio = ratio.comparison.error_target, ratio.error_ratio
        if note := ratio.ours.note or ratio.theirs.note:
            remarks.append(f"{where}: {note}")
        if target is not None and error_ratio is not None:
            ours, theirs = ratio.errors
            remarks.append(
                f"{where}: {format_number(error_ratio)} of the mask error (<= {target:.3g}, "
                f"{_verdict(error_ratio <= target)}): {ours:.2g} and {theirs:.2g}, relative"
            )
    return remarks
