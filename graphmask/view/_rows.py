"""A row of a matrix as it is drawn: its weights, and their levels on a scale of colours."""

from __future__ import annotations

import numpy as np

# Orders of magnitude that a logarithmic scale covers.
DECADES = 4

# Colours at equal distances: from zero, or from the most negative weight, to the largest.
POSITIVE = ("#e4e4ea", "#fbb95f", "#e55a4f", "#96195b", "#3a0e52")
SIGNED = ("#173f7a", "#5b9bd5", "#e4e4ea", "#f08a5d", "#a3133a")


class Row:
    """A row to draw, whose weights have levels from 0 to 1, or from -1 where they are signed.

    Levels are shares of the largest weight or, if ``logarithmic``, orders of magnitude; by default
    where most weights are below 1/20 of the largest.
    """

    def __init__(
        self,
        node: int,
        weights: np.ndarray,
        title: str = "",
        signed: bool = False,
        logarithmic: bool | None = None,
    ) -> None:
        self.node, self.weights, self.title, self.signed = node, weights, title, signed
        order = np.argsort(-np.abs(weights), kind="stable")
        # Nodes of the nonzero entries, the largest first. The own entry is often the largest, and
        # would make the others pale.
        self.others = order[(weights[order] != 0) & (order != node)]
        sizes = np.abs(weights[self.others])
        self.largest = float(sizes.max(initial=0.0)) or 1.0
        if logarithmic is None:
            logarithmic = bool(len(sizes) and np.median(sizes) < 0.05 * self.largest)
        self.logarithmic = logarithmic
        self.colors = SIGNED if signed else POSITIVE

    def levels(self) -> np.ndarray:
        """Levels ``[N]`` of the weights; 1 for the node's own."""
        share = np.clip(np.abs(self.weights) / self.largest, 0, 1)
        if self.logarithmic:
            with np.errstate(divide="ignore"):
                share = np.clip(1 + np.log10(share) / DECADES, 0, 1)
        levels = np.sign(self.weights) * share
        levels[self.node] = 1
        return levels

    def ticks(self) -> tuple[list[float], list[str]]:
        """Levels to mark on a colour bar, and the weights there."""
        level = np.linspace(0, 1, 5)
        weight = self.largest * (10.0 ** (DECADES * (level - 1)) if self.logarithmic else level)
        if self.signed:
            level, weight = np.append(-level[:0:-1], level), np.append(-weight[:0:-1], weight)
        return level.tolist(), [f"{value:.2g}" for value in weight]
