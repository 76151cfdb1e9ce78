"""Weights as colours: shares of the largest, linear or by their order of magnitude."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Orders of magnitude that a logarithmic scale covers.
DECADES = 4

# From nothing to the largest, and from the most negative to the largest.
RISING = (
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
class Shades:
    """A scale of colours.

    Args:
        largest: the absolute weight of the strongest colour.
        signed: whether weights may be negative.
        logarithmic: whether four orders of magnitude are shown, or shares of the largest.
    """

    largest: float
    signed: bool
    logarithmic: bool

    @classmethod
    def of(cls, weights: np.ndarray, signed: bool) -> Shades:
        """The scale of a row without its own entry.

        Logarithmic where most of it would look like nothing.
        """
        size = np.abs(weights[weights != 0])
        largest = float(size.max()) if size.size else 0.0
        return cls(largest, signed, bool(size.size and np.median(size) < 0.05 * largest))

    def levels(self, weights: np.ndarray) -> np.ndarray:
        """Numbers from 0, or -1, to 1."""
        share = np.clip(np.abs(weights) / (self.largest or 1.0), 0, 1)
        if self.logarithmic:
            with np.errstate(divide="ignore"):
                share = np.clip(1 + np.log10(share) / DECADES, 0, 1)
        return np.sign(weights) * share

    @property
    def scale(self) -> tuple[tuple[float, str], ...]:
        """Colours by place."""
        return SIGNED if self.signed else RISING

    def ticks(self) -> tuple[list[float], list[str]]:
        """Levels of the colour bar, and the weights there."""
        if self.logarithmic:
            marks = [
                (1 - power / DECADES, self.largest * 10.0**-power) for power in range(DECADES + 1)
            ]
        else:
            marks = [(share, self.largest * share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
        marks = sorted(marks)
        if self.signed:
            marks = [(-level, -weight) for level, weight in reversed(marks) if level] + marks
        return [level for level, _ in marks], [f"{weight:.2g}" for _, weight in marks]
