"""Bodies on the terminal: times, and ratios to the one in use."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from graphmask._console import empty_table, format_number
from graphmask.benchmark.statistics import Spread

from .bodies import Body
from .study import BodyTimes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from graphmask.benchmark.page import Report


def print_report(
    console: Console | Report, found: Sequence[BodyTimes], bodies: Sequence[Body]
) -> None:
    """Print a table per graph and operation, who was not timed and why, and what the bodies are.

    Raises:
        MissingExtraError: without rich.
    """
    groups: dict[tuple[str, int, str], list[BodyTimes]] = {}
    for each in found:
        groups.setdefault((each.graph, each.nodes, each.operation), []).append(each)
    for group in groups.values():
        console.print(make_table(group))
    composed = (
        "Attention (pairs) of all but the body in use is the composition of their sddmm and spmm."
    )
    for line in (
        composed,
        *tell_faults(found),
        *(f"{body.name}: {body.about}." for body in bodies),
    ):
        console.print(line, style="dim", highlight=False)


def tell_faults(found: Sequence[BodyTimes]) -> list[str]:
    """One line per body and reason not to time it, with the operations that it holds for.

    Example:
        >>> faults = [BodyTimes("torus", 64, 640, each, "torch-sparse", note="not installed") for each in ("spmm", "pairs")]
        >>> tell_faults(faults)
        ['torch-sparse: not installed (spmm, pairs).']
    """
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    for each in found:
        if each.note:
            reasons.setdefault((each.body, each.note), {})[each.operation] = None
    return [
        f"{body}: {note} ({', '.join(operations)})." for (body, note), operations in reasons.items()
    ]


def make_table(group: Sequence[BodyTimes]) -> Table:
    """A row per body that was timed.

    Raises:
        MissingExtraError: without rich.
    """
    first = group[0]
    table = empty_table(
        f"{first.operation}, {first.graph}, {first.nodes:,} nodes, {first.entries / first.nodes:.3g} entries per node, "
        "4 heads of 16"
    )
    table.add_column("body", no_wrap=True)
    for heading in (
        "forward [ms]",
        "over in use",
        "quartiles",
        "forward + backward [ms]",
        "over in use",
        "quartiles",
        "rounds",
    ):
        table.add_column(heading, justify="right")
    for each in group:
        if not each.note:
            cells = [
                *_cells(each.forward, each.forward_ratios),
                *_cells(each.both, each.both_ratios),
            ]
            table.add_row(each.body, *cells, str(len(each.forward)))
    return table


def _cells(seconds: Sequence[float], ratios: Sequence[float]) -> list[str]:
    spread = Spread.of(ratios)
    quartiles = f"{format_number(spread.low)} .. {format_number(spread.high)}"
    return [format_number(1e3 * median(seconds)), format_number(spread.middle), quartiles]
