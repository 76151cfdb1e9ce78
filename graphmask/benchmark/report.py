"""Results as tables and remarks on the terminal, and as panels of pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from graphmask._console import empty_table, format_number, make_console, make_fact_table
from graphmask._machine import GIB
from graphmask._plots import Panel

from .comparisons import Ratio
from .results import QUANTITIES, Measurement, Quantity, Status, fit_exponent, group_by_name
from .worker import Settings

if TYPE_CHECKING:
    from rich.table import Table

_NOTHING = "-"

# Rounds that differ by more than this share were disturbed by other programs.
_NOISY = 0.25


def print_report(
    tables: Sequence[Table], remarks: Sequence[str], facts: Mapping[str, Mapping[str, str]]
) -> None:
    """Print tables with cells, remarks below them, and tables of facts by title."""
    console = make_console()
    for table in tables:
        if table.row_count:
            console.print(table)
    for remark in remarks:
        console.print(remark, style="dim", highlight=False)
    for title, values in facts.items():
        console.print(make_fact_table(title, values))


def scaling_tables(measurements: Sequence[Measurement], settings: Settings) -> list[Table]:
    """Make a table per quantity."""
    names = ("forward", "both", "peak", "prepare") if settings.repeats else ("peak", "share")
    return [_scaling_table(QUANTITIES[name], measurements, settings) for name in names]


def _scaling_table(
    quantity: Quantity, measurements: Sequence[Measurement], settings: Settings
) -> Table:
    """Make a table of one quantity: implementations by sizes, exponents and entries per node."""
    # Exponents are fitted over the larger half of the sizes, and over all, since the constant cost
    # of a call flattens the small ones.
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
        by_size = {run.nodes: _format_cell(quantity, run, settings) for run in group}
        values = quantity.values(group)
        exponents = [_format_exponent(fit_exponent(values, share)) for share in shares.values()]
        entries = [run.entries_per_node for run in group if run.entries_per_node is not None]
        cells = *(by_size.get(size, "") for size in sizes), *exponents
        table.add_row(name, *cells, _format_known(entries[-1] if entries else None))
    return table


def _format_cell(quantity: Quantity, measurement: Measurement, settings: Settings) -> str:
    value = quantity.of(measurement)
    if value is not None:
        return format_number(value * quantity.scale)
    if measurement.status is Status.TIME:
        return f"> {settings.time_limit:g} s"
    if measurement.status is Status.MEMORY:
        return f"> {settings.memory_bytes / GIB:.3g} GiB"
    return "failed" if measurement.status is Status.FAILED else _NOTHING


def _format_exponent(exponent: float) -> str:
    return _NOTHING if math.isnan(exponent) else f"{exponent:.2f}"


def scaling_panels(measurements: Sequence[Measurement]) -> list[Panel]:
    """Make the panels of a picture, with peers dashed and exponents in the labels."""
    panels = []
    for quantity in (QUANTITIES[name] for name in ("forward", "both", "peak")):
        lines, dashed = {}, set()
        for name, group in group_by_name(measurements).items():
            if values := quantity.values(group):
                label = f"{name}  N^{_format_exponent(fit_exponent(values))}"
                lines[label] = values
                if group[0].library != "graphmask":
                    dashed.add(label)
        panels.append(Panel(quantity.title, "nodes", quantity.unit, lines, frozenset(dashed)))
    return panels


def scaling_remarks(measurements: Sequence[Measurement]) -> list[str]:
    """Explain which implementations were cut off, and warn of rounds that differ much."""
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
    sides = ratio.ours, ratio.theirs
    cells = [ratio.comparison.name, ratio.graph, f"{ratio.ours.nodes:,}"]
    target = f"<= {ratio.comparison.target:.3g}"
    if not ratio.quartiles:
        return [*cells, *[_NOTHING] * 4, target, "failed", "0", _NOTHING]
    times = [format_number(1e3 * median(side.both)) for side in sides]
    low, middle, high = map(format_number, ratio.quartiles)
    entries = " / ".join(_format_known(side.entries_per_node) for side in sides)
    verdict, rounds = _verdict(bool(ratio.met)), str(len(ratio.rounds))
    return [*cells, *times, middle, f"{low} .. {high}", target, verdict, rounds, entries]


def _format_known(value: float | None) -> str:
    return format_number(value) if value else _NOTHING


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
        if ratio.note:
            remarks.append(f"{where}: {ratio.note}")
        if target is not None and error_ratio is not None:
            ours, theirs = ratio.errors
            remarks.append(
                f"{where}: {format_number(error_ratio)} of the mask error (<= {target:.3g}, "
                f"{_verdict(error_ratio <= target)}): {ours:.2g} and {theirs:.2g}, relative"
            )
    return remarks
