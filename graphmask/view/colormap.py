"""Rows, and their weights as colours: shares of the largest, linear or logarithmic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Orders of magnitude that a logarithmic scale covers.
DECADES = 4

# From zero to the largest, and from the most negative to the largest.
POSITIVE = (
    (0.0, "#e4e4ea"),
    (0.03, "#fde0ae"),
    (0.35, "#f79540"),
    (0.7, "#c2285f"),
    (1.0, "#3a0e52"),
)
SIGNED = (
    (0.0, "#173f7a"),
    (0.25, "#5b9bd5"),
    (0.5, "#e4e4ea"),
    (0.75, "#f08a5d"),
    (1.0, "#a3133a"),
)
PLAIN = "#b9bac4"
CHOSEN = "#0a7d57"


@dataclass(frozen=True)
class ColorScale:
    """A map from weights to levels, which are -1 or 0 to 1.

    Args:
        largest: the absolute weight of the strongest colour.
        signed: whether weights may be negative.
        logarithmic: whether levels are orders of magnitude, not shares of the largest.
    """

    largest: float
    signed: bool
    logarithmic: bool

    @classmethod
    def of(cls, weights: np.ndarray, signed: bool, logarithmic: bool | None = None) -> ColorScale:
        """The scale of a row; by default logarithmic where most is below 1/20 of the largest."""
        size = np.abs(weights[weights != 0])
        largest = float(size.max(initial=0.0))
        if logarithmic is None:
            logarithmic = bool(size.size and np.median(size) < 0.05 * largest)
        return cls(largest, signed, logarithmic)

    @property
    def colors(self) -> tuple[tuple[float, str], ...]:
        """Colours by their position from 0 to 1."""
        return SIGNED if self.signed else POSITIVE

    @property
    def lowest(self) -> int:
        """The lowest level."""
        return -1 if self.signed else 0

    def levels(self, weights: np.ndarray) -> np.ndarray:
        """Levels of weights."""
        share = np.clip(np.abs(weights) / (self.largest or 1.0), 0, 1)
        if self.logarithmic:
            with np.errstate(divide="ignore"):
                share = np.clip(1 + np.log10(share) / DECADES, 0, 1)
        return np.sign(weights) * share

    def ticks(self) -> tuple[list[float], list[str]]:
        """Levels to mark on a colour bar, and the weights there."""
        level = np.linspace(0, 1, 5)
        share = 10.0 ** (DECADES * (level - 1)) if self.logarithmic else level
        weight = self.largest * share
        if self.signed:
            level, weight = (np.append(-x[:0:-1], x) for x in (level, weight))
        return level.tolist(), [f"{value:.2g}" for value in weight]


@dataclass(frozen=True)
class Row:
    """A row to draw.

    Args:
        node: its index.
        weights: ``[N]``, its entries.
        scale: of the colours.
        title: of the figure.
    """

    node: int
    weights: np.ndarray
    scale: ColorScale
    title: str

    @cached_property
    def others(self) -> np.ndarray:
        """Nodes of the nonzero entries but the own one, the largest first."""
        return largest_others(self.weights, self.node)


def largest_others(weights: np.ndarray, node: int) -> np.ndarray:
    """Nodes of the nonzero entries of a row but its own, the largest first."""
    order = np.argsort(-np.abs(weights), kind="stable")
    return order[(weights[order] != 0) & (order != node)]
