"""Medians and quartiles."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles
from typing import NamedTuple


class Spread(NamedTuple):
    """A median between its quartiles."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of some values.

        Example:
            >>> Spread.of([4.0, 1.0, 3.0, 2.0, 5.0])
            Spread(middle=3.0, low=2.0, high=4.0)
        """
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, _, high = quantiles(values, method="inclusive")
        return cls(median(values), low, high)
