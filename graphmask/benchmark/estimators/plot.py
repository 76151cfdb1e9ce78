"""Results as a picture: for each graph, error against stored entries and error against drawing time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from graphmask.extras import require

from .results import ROUNDING, Point

_PANELS: dict[str, Callable[[Point], float]] = {
    "stored entries per row (of each factor)": lambda point: point.entries.value,
    "seconds to draw": lambda point: point.seconds.value,
}

# In inches.
_ROW, _WIDTH = 4, 13


def write_plot(path: str | Path, points: Sequence[Point], kernel: str, machine: str = "") -> None:
    """Draw the curves of all estimators under one kernel, a row of two panels for each graph, with standard errors.

    Args:
        path: of the picture; its ending tells the format.
        points: of a study.
        kernel: its name.
        machine: printed below.

    Raises:
        MissingExtraError: without matplotlib.
        OSError: where the file cannot be written.
    """
    points = [point for point in points if point.kernel == kernel]
    graphs = list(dict.fromkeys(point.graph for point in points))
    estimators = list(dict.fromkeys(point.estimator for point in points))
    # A figure of its own, without pyplot: no window system is asked for and no global state is left
    # behind.
    figure = require("matplotlib.figure", extra="viz").Figure(
        figsize=(_WIDTH, _ROW * max(len(graphs), 1)), layout="constrained"
    )
    for graph, row in zip(
        graphs, figure.subplots(max(len(graphs), 1), 2, squeeze=False), strict=False
    ):
        group = [point for point in points if point.graph == graph]
        for axes, (label, cost) in zip(row, _PANELS.items(), strict=True):
            _draw(axes, group, estimators, cost)
            axes.set(
                yscale="log",
                xlabel=label,
                ylabel="relative Frobenius error",
                title=f"{graph}, {kernel}",
            )
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:.3g}")
            axes.grid(visible=True, which="major", alpha=0.3)
        row[1].legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8, frameon=False)
    figure.supxlabel(
        f"{machine}\nExact masks lie on the lowest line, at {ROUNDING:g}.", fontsize=7, wrap=True
    )
    figure.savefig(path, dpi=100)


def _draw(
    axes: Any, points: Sequence[Point], estimators: Sequence[str], cost: Callable[[Point], float]
) -> None:
    colors = require("matplotlib", extra="viz").colormaps["tab20"].colors
    for number, name in enumerate(estimators):
        group = [point for point in points if point.estimator == name]
        error = [max(point.error.value, ROUNDING) for point in group]
        # Where a standard error is not known or reaches down to zero, a logarithmic axis has no
        # place for it.
        spread = [
            point.error.error if point.error.error < point.error.value else 0.0 for point in group
        ]
        style = "s--" if any(point.sets > 1 for point in group) else "o-"
        color = colors[number % len(colors)]
        axes.errorbar(
            list(map(cost, group)),
            error,
            spread,
            fmt=style,
            color=color,
            label=name,
            markersize=4,
            capsize=2,
        )
