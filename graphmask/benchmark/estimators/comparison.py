"""Estimators at equal stored entries, read off their curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .results import ROUNDING, Point

OURS = "resampled"
_OURS_SYMMETRIC = "resampled-symmetric"
_IID, _IID_SYMMETRIC = "iid", "iid-symmetric"

# A mask that stores more than this share of what the exact one would is no saving: smaller graphs
# are compared there.
_SHARE = 0.5


class Curve(NamedTuple):
    """An estimator, and what of it counts.

    Stored entries per factor and row, or pairs of the product.
    """

    estimator: str
    by_pairs: bool = False

    def cost(self, point: Point) -> float:
        """What counts."""
        return (point.pairs if self.by_pairs else point.entries).value


@dataclass(frozen=True)
class Comparison:
    """All estimators on one graph and kernel at one cost.

    Args:
        graph: its name.
        kernel: its name.
        entries: per row, the cost.
        errors: relative Frobenius errors by curve, :obj:`None` where no setting is as cheap or as
            dear; 0 where exact.
    """

    graph: str
    kernel: str
    entries: float
    errors: dict[Curve, float | None]

    def ratio(self, by_pairs: bool) -> float | None:
        """The error of independent walks, in the better of their two forms, over that of resampled ones, asymmetric.

        0 where independent walks are exact, infinite where resampled ones are, NaN where both are,
        and :obj:`None` where either side has no error at this cost.

        Args:
            by_pairs: whether the symmetric form of independent walks is charged the pairs of its
                product, which an execution by pairs would store, or, in its favour, the entries of
                one of its two factors.
        """
        return self._over([Curve(_IID), Curve(_IID_SYMMETRIC, by_pairs)], Curve(OURS))

    def symmetric_ratio(self, by_pairs: bool) -> float | None:
        """The same for the symmetric forms of both."""
        return self._over([Curve(_IID_SYMMETRIC, by_pairs)], Curve(_OURS_SYMMETRIC, by_pairs))

    def _over(self, rivals: Sequence[Curve], ours: Curve) -> float | None:
        errors = [self.errors.get(curve) for curve in rivals]
        known, own = [error for error in errors if error is not None], self.errors.get(ours)
        if not known or own is None:
            return None
        if own:
            return min(known) / own
        return math.inf if min(known) else math.nan


def comparable(entries: float, support: float) -> float:
    """The entries per row at which to compare.

    Fewer where the exact mask connects few pairs, ``support`` per row.
    """
    return min(entries, _SHARE * support)


def compare(points: Sequence[Point], entries: float) -> list[Comparison]:
    """Errors at equal stored entries, for each graph and kernel.

    Where half of the pairs that the exact mask connects are fewer than ``entries``, at that half.

    Args:
        points: of a study.
        entries: per row.
    """
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point.graph, point.kernel), []).append(point)
    curves = list_curves(points)
    found = []
    for (graph, kernel), group in groups.items():
        cost = comparable(entries, group[0].support)
        errors = {
            curve: error_at([p for p in group if p.estimator == curve.estimator], curve, cost)
            for curve in curves
        }
        found.append(Comparison(graph, kernel, cost, errors))
    return found


def list_curves(points: Sequence[Point]) -> list[Curve]:
    """The curves of all estimators, in order of appearance: products have two."""
    products = {point.estimator: point.sets > 1 for point in points}
    return [
        Curve(name, by_pairs)
        for name, product in products.items()
        for by_pairs in ((False, True) if product else (False,))
    ]


def error_at(points: Sequence[Point], curve: Curve, cost: float) -> float | None:
    """The error at a cost, by linear interpolation of logarithms between the settings on both sides of it.

    Beside an exact setting nothing is interpolated: the cheaper setting counts. Where all settings
    are cheaper, none is known to be as dear, unless the dearest is exact.

    Example:
        >>> from graphmask.benchmark.estimators.results import Mean, Point
        >>> def point(entries, error):
        ...     nothing = Mean(0.0, 0.0)
        ...     cost, wrong = Mean(entries, 0.0), Mean(error, 0.0)
        ...     return Point("er", 20, "heat", "iid", 1, 1, 2, cost, cost, 20.0, wrong, wrong, wrong, 0.0, nothing)
        >>> round(error_at([point(10, 0.4), point(40, 0.1)], Curve("iid"), 20), 9)
        0.2
    """
    curve_points = sorted((curve.cost(point), point.error.value) for point in points)
    below = [each for each in curve_points if each[0] <= cost]
    above = [each for each in curve_points if each[0] > cost]
    if not below:
        return None
    (low, high_error) = below[-1]
    if high_error < ROUNDING:
        return 0.0
    if low == cost:
        return high_error
    if not above:
        return None
    (high, low_error) = above[0]
    if low_error < ROUNDING:
        return high_error
    share = math.log(cost / low) / math.log(high / low)
    return math.exp((1 - share) * math.log(high_error) + share * math.log(low_error))
