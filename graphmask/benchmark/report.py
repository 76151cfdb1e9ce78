"""Results on the terminal.

One table per quantity, contenders by sizes, and the machine they were found on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphmask._console import empty_table, format_number, make_fact_table
from graphmask._machine import GIB

from .results import QUANTITIES, Measurement, Quantity, Status, by_contender, fit_exponent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from .page import Report
    from .scaling import Settings

_LOG_WIDTH = 160

_NOTHING = "-"

# What a scaling run shows, and what a run without rounds does.
_COSTS = ("forward", "both", "peak", "prepare")
_MEMORY = ("peak", "share")

# Rounds that differ by more than this tell of a machine that was doing other things.
CALM = 0.25


def print_report(
    console: Console | Report,
    measurements: Sequence[Measurement],
    settings: Settings,
    machine: dict[str, str],
) -> None:
    """Print all tables, what was cut off and why, and the machine.

    Args:
        console: where to print, see :func:`make_console`.
        measurements: of a run.
        settings: of the same run.
        machine: see :func:`graphmask.benchmark.describe_machine`.

    Raises:
        MissingExtraError: without rich.
    """
    print_tables(console, measurements, settings)
    for line in (*explain_cuts(measurements), *warn_of_drift(measurements)):
        console.print(line, style="dim", highlight=False)
    console.print(make_fact_table("Machine", machine))


def print_tables(
    console: Console | Report, measurements: Sequence[Measurement], settings: Settings
) -> None:
    """Print one table per quantity.

    Raises:
        MissingExtraError: without rich.
    """
    for name in _COSTS if settings.repeats else _MEMORY:
        table = make_table(QUANTITIES[name], measurements, settings)
        if table.row_count:
            console.print(table)


def make_table(
    quantity: Quantity, measurements: Sequence[Measurement], settings: Settings
) -> Table:
    """One quantity: a row per contender that has it, a column per size, then exponents and the entries per node.

    Exponents are fitted over the larger half of the sizes, and over all, where the fixed cost of a
    call flattens the small ones. A quantity per node has none.

    Raises:
        MissingExtraError: without rich.
    """
    table = empty_table(f"{quantity.title} [{quantity.unit}]")
    sizes = sorted({each.nodes for each in measurements})
    table.add_column("contender", no_wrap=True)
    slopes = () if quantity.per_node else ("exponent", "of all")
    for heading in (*(f"{size:,}" for size in sizes), *slopes, "entries/node"):
        table.add_column(heading, justify="right")
    for name, group in by_contender(measurements).items():
        found = {each.nodes: each for each in group}
        # Who was measured and has no value has none at any size, such as walks of a peer that draws
        # none.
        if group[0].status is Status.MEASURED and quantity.of(group[0]) is None:
            continue
        cells = [
            format_cell(quantity, found[size], settings) if size in found else "" for size in sizes
        ]
        entries = [each.entries_per_node for each in group if each.entries_per_node is not None]
        exponents = [
            format_exponent(fit_exponent(quantity.values(group), share)) for share in (0.5, 1.0)
        ][: len(slopes)]
        table.add_row(name, *cells, *exponents, format_number(entries[-1]) if entries else _NOTHING)
    return table


def format_cell(quantity: Quantity, measurement: Measurement, settings: Settings) -> str:
    """A value, or which limit was exceeded.

    Example:
        >>> from graphmask.benchmark import QUANTITIES, Measurement, Settings, Status
        >>> cut = Measurement("gps", "PyG", nodes=65536, status=Status.TIME)
        >>> format_cell(QUANTITIES["both"], cut, Settings(time_limit=30))
        '> 30 s'
    """
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
    """Two digits, or a dash where there is none.

    Example:
        >>> format_exponent(1.0), format_exponent(float("nan"))
        ('1.00', '-')
    """
    return _NOTHING if exponent != exponent else f"{exponent:.2f}"


def explain_cuts(measurements: Sequence[Measurement]) -> list[str]:
    """One line per contender that was cut off, with the reason.

    Example:
        >>> from graphmask.benchmark import Measurement, Status
        >>> explain_cuts([Measurement("gps", "PyG", 65536, status=Status.TIME, note="no answer within 30 s")])
        ['gps: time limit, no answer within 30 s']
    """
    cut = {
        each.contender: each
        for each in reversed(measurements)
        if each.status is not Status.MEASURED
    }
    return [f"{name}: {each.status.value}, {each.note}" for name, each in reversed(cut.items())]


def warn_of_drift(measurements: Sequence[Measurement]) -> list[str]:
    """A line where rounds of one measurement differ much: then other programs were running.

    Example:
        >>> from graphmask.benchmark import Measurement
        >>> warn_of_drift([Measurement("walk", "graphmask", nodes=64, both=(1.0, 1.5))])
        ['rounds differ by up to 50% (walk at 64 nodes): was the machine busy?']
    """
    worst = max(measurements, key=lambda each: each.spread)
    if worst.spread <= CALM:
        return []
    return [
        f"rounds differ by up to {worst.spread:.0%} ({worst.contender} at {worst.nodes:,} nodes): was the machine busy?"
    ]
