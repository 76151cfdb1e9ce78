"""Families on the terminal.

Costs at the largest size, and measured exponents beside those of the definitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphmask._console import empty_table, format_number
from graphmask.benchmark.report import explain_cuts, format_exponent, warn_of_drift
from graphmask.benchmark.results import Measurement

from .families import Family
from .results import FamilyCosts, summarize

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from graphmask.benchmark.page import Report

_NOTHING = "-"

# By how much a measured exponent may exceed the definition's before the table says so.
NOISE = 0.1

_HEADINGS = (
    "definition",
    "N^",
    "measured N^",
    "of all",
    "",
    "nodes",
    "ms",
    "over global",
    "MiB",
    "MiB N^",
    "made once, ms",
    "N^",
)


def print_report(
    console: Console | Report, measurements: Sequence[Measurement], families: Sequence[Family]
) -> None:
    """Print the table, what was cut off and why, and what the families are.

    Raises:
        MissingExtraError: without rich.
    """
    found = summarize(measurements, families)
    console.print(make_table(found))
    told = (
        *explain_exponents(found),
        *explain_cuts(measurements),
        *warn_of_drift(measurements),
        *explain(families),
    )
    for line in told:
        console.print(line, style="dim", highlight=False)


def make_table(found: Sequence[FamilyCosts]) -> Table:
    """A row per family.

    Raises:
        MissingExtraError: without rich.
    """
    table = empty_table(
        "Forward + backward, fastest rounds: exponents over the larger half of the sizes, costs at the largest"
    )
    for heading in ("family", "graph"):
        table.add_column(heading, no_wrap=True)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    for each in found:
        table.add_row(each.family, each.ground, *_cells(each))
    return table


def exceeds(costs: FamilyCosts) -> bool:
    """Whether time was measured to grow faster than the definition says.

    Example:
        >>> nan = float("nan")
        >>> exceeds(FamilyCosts("walk", "sphere", "N p", 1.0, 1.2, 1.0, 1.0, 4096))
        True
    """
    return costs.exponent > costs.defined + NOISE


def explain(families: Sequence[Family]) -> list[str]:
    """What each family and each graph is."""
    grounds = {each.ground.name: each.ground.about for each in families}
    lines = [f"{each.name}: {each.about}." for each in families]
    return [*lines, *(f"On {name}: {about}." for name, about in grounds.items())]


def explain_exponents(found: Sequence[FamilyCosts]) -> list[str]:
    """A line that names who grew faster than defined."""
    names = [
        f"{each.family} ({each.exponent:.2f} against {each.defined:.2f})"
        for each in found
        if exceeds(each)
    ]
    return (
        [f"*: grew faster than its definition by more than {NOISE:g}: {', '.join(names)}"]
        if names
        else []
    )


def _cells(each: FamilyCosts) -> list[str]:
    slopes = [each.defined, each.exponent, each.exponent_of_all]
    seconds = [None if value is None else 1e3 * value for value in (each.seconds, each.prepare)]
    return [
        each.definition or _NOTHING,
        *map(format_exponent, slopes),
        "*" if exceeds(each) else "",
        f"{each.nodes:,}" if each.nodes else _NOTHING,
        *map(_number, (seconds[0], each.ratio, each.peak)),
        format_exponent(each.memory),
        _number(seconds[1]),
        format_exponent(each.prepare_exponent),
    ]


def _number(value: float | None) -> str:
    return _NOTHING if value is None else format_number(value)
