"""Comparisons on the terminal: both sides' times, their ratio, and whether it meets its target."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from graphmask._console import empty_table, format_number
from graphmask.benchmark.report import CALM

from .comparisons import Comparison
from .results import Paired

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from graphmask.benchmark.page import Report

_NOTHING = "-"


def print_report(
    console: Console | Report, found: Sequence[Paired], comparisons: Sequence[Comparison]
) -> None:
    """Print the table, errors and failures below it, and what the sides are.

    Raises:
        MissingExtraError: without rich.
    """
    console.print(make_table(found))
    for line in (
        *tell_errors(found),
        *tell_failures(found),
        *warn_of_noise(found),
        *explain(comparisons),
    ):
        console.print(line, style="dim", highlight=False)


def make_table(found: Sequence[Paired]) -> Table:
    """A row per comparison and graph.

    Raises:
        MissingExtraError: without rich.
    """
    table = empty_table("Forward + backward, and whole steps, in turn: ours over theirs")
    for heading in ("comparison", "graph"):
        table.add_column(heading, no_wrap=True)
    for heading in (
        "nodes",
        "ours, ms",
        "theirs, ms",
        "ratio",
        "quartiles",
        "target",
        "",
        "rounds",
        "entries/node",
    ):
        table.add_column(heading, justify="right")
    for each in found:
        table.add_row(*_cells(each))
    return table


def _cells(each: Paired) -> list[str]:
    names = [each.comparison + (" *" if each.per_entry else ""), each.graph, f"{each.nodes:,}"]
    if each.ratio is None:
        return [*names, *[_NOTHING] * 4, format_target(each.target), "failed", "0", _NOTHING]
    times = [
        format_number(1e3 * median(seconds)) for seconds in (each.ours_seconds, each.theirs_seconds)
    ]
    quartiles = f"{format_number(each.ratio.low)} .. {format_number(each.ratio.high)}"
    entries = [
        format_number(count / each.nodes) if count else _NOTHING
        for count in (each.ours_entries, each.theirs_entries)
    ]
    return [
        *names,
        *times,
        format_number(each.ratio.middle),
        quartiles,
        format_target(each.target),
        _verdict(each.met),
        str(len(each.ratios)),
        " / ".join(entries) if any(entry != _NOTHING for entry in entries) else _NOTHING,
    ]


def format_target(most: float) -> str:
    """A ratio as people say it.

    Example:
        >>> format_target(1.5), format_target(1 / 50)
        ('<= 1.5', '<= 1/50')
    """
    return f"<= {most:g}" if most >= 1 else f"<= 1/{1 / most:g}"


def tell_errors(found: Sequence[Paired]) -> list[str]:
    """Time and mask error in one line, where both are compared."""
    lines = []
    for each in found:
        if each.errors is None or each.ratio is None:
            continue
        e = each.errors
        lines.append(
            f"{each.comparison}, {each.graph}: {format_number(each.ratio.middle)} of the time "
            f"({format_target(each.target)}, {_verdict(each.met)}) at {format_number(e.ratio)} of the mask error "
            f"({format_target(e.most)}, {_verdict(e.met)}): {e.ours:.2g} with {e.ours_entries:.3g} entries per node against "
            f"{e.theirs:.2g} with {e.theirs_entries:.3g} in each factor, {e.theirs_pairs:.3g} pairs. Relative Frobenius errors."
        )
    return lines


def tell_failures(found: Sequence[Paired]) -> list[str]:
    """One line per comparison that ended early, with the reason."""
    return [f"{each.comparison}, {each.graph}: {each.note}" for each in found if each.note]


def warn_of_noise(found: Sequence[Paired]) -> list[str]:
    """A line where the ratios of a comparison differ much from round to round.

    Then other programs were running.

    Example:
        >>> seconds = (1.0, 2.0, 3.0)
        >>> warn_of_noise([Paired("gps", "torus", 64, 320, "walk", "gps", 0.02, seconds, (4.0, 4.0, 4.0))])
        ['quartiles of a ratio are up to 67% apart (gps, torus): was the machine busy?']
    """
    spreads = [
        (each.ratio.high / each.ratio.low - 1, each) for each in found if each.ratio is not None
    ]
    apart, worst = max(spreads, key=lambda spread: spread[0], default=(0.0, None))
    if worst is None or apart <= CALM:
        return []
    return [
        f"quartiles of a ratio are up to {apart:.0%} apart ({worst.comparison}, {worst.graph}): was the machine busy?"
    ]


def explain(comparisons: Sequence[Comparison]) -> list[str]:
    """What is divided by what."""
    lines = [f"{each.name}: {each.about}." for each in comparisons]
    if any(each.per_entry for each in comparisons):
        lines.append("*: the ratio is that of times per mask entry.")
    return lines


def _verdict(met: bool | None) -> str:
    return "met" if met else "MISSED"
