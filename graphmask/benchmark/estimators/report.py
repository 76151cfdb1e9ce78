"""Results on the terminal: errors at equal stored entries, and every setting where asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphmask._console import empty_table, format_number

from .comparison import OURS, Comparison
from .contenders import Estimator
from .results import ROUNDING, Mean, Point

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from graphmask.benchmark.page import Report

_NOTHING = "-"
_EXACT = "exact"


def print_report(
    console: Console | Report,
    points: Sequence[Point],
    comparisons: Sequence[Comparison],
    estimators: Sequence[Estimator],
    full: bool,
) -> None:
    """Print the comparison, and what its columns mean; before it every setting, where ``full``.

    Raises:
        MissingExtraError: without rich.
    """
    if full:
        for graph in dict.fromkeys(point.graph for point in points):
            console.print(make_point_table([point for point in points if point.graph == graph]))
    for by_pairs in (False, True):
        if any(curve.by_pairs >= by_pairs for curve in comparisons[0].errors):
            console.print(make_comparison_table(comparisons, estimators, by_pairs))
    for line in explain(points, comparisons, estimators):
        console.print(line, style="dim", highlight=False)


def make_comparison_table(
    comparisons: Sequence[Comparison], estimators: Sequence[Estimator], by_pairs: bool
) -> Table:
    """A row per graph and kernel.

    The error of each estimator, and by how many times resampled walks have less.

    Args:
        comparisons: of a study.
        estimators: of the same study.
        by_pairs: whether products are charged their pairs, and nothing but products is shown; or
            the entries of one factor.

    Raises:
        MissingExtraError: without rich.
    """
    cost = "pairs of the product per row" if by_pairs else "stored entries per row"
    table = empty_table(f"Relative Frobenius error at equal {cost}")
    table.padding = (0, 1, 0, 0)
    for heading in ("graph", "kernel"):
        table.add_column(heading, no_wrap=True)
    biased = {estimator.name for estimator in estimators if estimator.biased}
    curves = [curve for curve in comparisons[0].errors if curve.by_pairs == by_pairs]
    names = [
        curve.estimator.replace("-", " ") + ("*" if curve.estimator in biased else "")
        for curve in curves
    ]
    for heading in (
        "pairs" if by_pairs else "entries",
        *names,
        "iid over ours",
        "symmetric over symmetric",
    ):
        table.add_column(heading, justify="right")
    for each in comparisons:
        errors = [format_error(each.errors[curve]) for curve in curves]
        ratios = [
            format_ratio(ratio) for ratio in (each.ratio(by_pairs), each.symmetric_ratio(by_pairs))
        ]
        table.add_row(each.graph, each.kernel, format_number(each.entries), *errors, *ratios)
    return table


def make_point_table(points: Sequence[Point]) -> Table:
    """A row per kernel, estimator and setting of one graph, with standard errors.

    Raises:
        MissingExtraError: without rich.
    """
    table = empty_table(f"{points[0].graph}, {points[0].nodes:,} nodes")
    for heading in ("kernel", "estimator"):
        table.add_column(heading, no_wrap=True)
    for heading in (
        "setting",
        "draws",
        "entries/row",
        "pairs/row",
        "error",
        "off-diagonal",
        "diagonal",
        "truncation",
        "seconds",
    ):
        table.add_column(heading, justify="right")
    for point in points:
        table.add_row(
            point.kernel,
            point.estimator,
            format_number(point.setting),
            str(point.repeats),
            format_number(point.entries.value),
            format_number(point.pairs.value),
            *(format_mean(mean) for mean in (point.error, point.off_diagonal, point.diagonal)),
            format_number(point.truncation) if point.truncation > ROUNDING else "0",
            format_number(point.seconds.value),
        )
    return table


def explain(
    points: Sequence[Point], comparisons: Sequence[Comparison], estimators: Sequence[Estimator]
) -> list[str]:
    """What the columns of the comparison mean."""
    lines = [
        "error: |M' - M| / |M|, Frobenius norms, not squared (papers print squares); means over draws, between settings.",
        "M is what an estimator estimates: the series cut at K hops, or the product of series cut there.",
    ]
    if any(curve.by_pairs for curve in comparisons[0].errors):
        lines.append(
            "Products: stored entries are those of one of the factors; their pairs are what an execution by pairs would store."
        )
    if any(each.ratio(by_pairs) is not None for each in comparisons for by_pairs in (False, True)):
        lines.append(
            f"iid over ours: the better of `iid` and `iid-symmetric`, over `{OURS}`; symmetric over symmetric: the forms "
            "Phi Phi'^T of both."
        )
    if any(estimator.biased for estimator in estimators):
        lines.append("*: a bias, the same at every draw.")
    if any(error is None for each in comparisons for error in each.errors.values()):
        lines.append("-: no setting stores as little, or none as much.")
    far = max(points, key=lambda point: point.truncation)
    if far.truncation > ROUNDING:
        lines.append(
            f"Products go on beyond K hops: what they estimate differs from the series cut there by up to {far.truncation:.2g} "
            f"({far.estimator}, {far.kernel}, {far.graph})."
        )
    return lines


def format_error(error: float | None) -> str:
    """Three digits, ``exact``, or a dash where none is known.

    Example:
        >>> format_error(0.01234), format_error(0.0), format_error(None)
        ('0.0123', 'exact', '-')
    """
    if error is None:
        return _NOTHING
    return format_number(error) if error else _EXACT


def format_ratio(ratio: float | None) -> str:
    """By how much ours is ahead.

    ``exact`` where ours is, ``iid exact`` where only independent walks are.

    Example:
        >>> format_ratio(12.34), format_ratio(float("inf")), format_ratio(0.0), format_ratio(None)
        ('12.3', 'exact', 'iid exact', '-')
    """
    if ratio is None:
        return _NOTHING
    if math.isnan(ratio):
        return "both exact"
    if math.isinf(ratio):
        return _EXACT
    return format_number(ratio) if ratio else "iid exact"


def format_mean(mean: Mean) -> str:
    """A mean with its standard error; ``exact`` for rounding.

    Example:
        >>> format_mean(Mean(0.1234, 0.0012)), format_mean(Mean(1e-8, 1e-9)), format_mean(Mean(0.5, float("nan")))
        ('0.123 ± 0.0012', 'exact', '0.5')
    """
    if mean.value < ROUNDING:
        return _EXACT
    return format_number(mean.value) + ("" if math.isnan(mean.error) else f" ± {mean.error:.2g}")
