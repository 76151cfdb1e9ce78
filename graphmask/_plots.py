"""Figures of matplotlib, and lines in panels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ._atomic import replacing
from .extras import require


def make_figure(width: float, height: float) -> Any:
    """Make a figure, in inches, without pyplot: no window system, and no global state."""
    figure = require("matplotlib.figure", extra="viz")
    return figure.Figure(figsize=(width, height), layout="constrained")


class Panel(NamedTuple):
    """Lines ``{label: {x: y}}`` of one part of a picture; those in ``dashed`` are dashed.

    A label may go on after two spaces, say with an exponent; what precedes them names the line.
    """

    title: str
    xlabel: str
    ylabel: str
    lines: Mapping[str, Mapping[Any, float]]
    dashed: frozenset[str] = frozenset()


def write_plot(
    path: str | Path, panels: Sequence[Panel], footer: str = "", columns: int = 3
) -> None:
    """Draw panels into a picture with a text below; panels without lines are left out."""
    panels = [panel for panel in panels if panel.lines]
    columns = min(columns, max(len(panels), 1))
    rows = max(math.ceil(len(panels) / columns), 1)
    figure = make_figure(6 * columns, 6.5 * rows)
    colors = require("matplotlib", extra="viz").colormaps["tab20"].colors
    # A name keeps its colour in panels where others are absent.
    names = list(dict.fromkeys(_name(label) for panel in panels for label in panel.lines))
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, panel in zip(grid, panels, strict=False):
        for label, line in panel.lines.items():
            style = "s--" if label in panel.dashed else "o-"
            points = zip(*line.items(), strict=True)
            color = colors[names.index(_name(label)) % len(colors)]
            axes.plot(*points, style, color=color, label=label, markersize=4)
        axes.set(xscale="log", yscale="log", xlabel=panel.xlabel, ylabel=panel.ylabel)
        axes.set_title(panel.title, fontsize=9, parse_math=False)
        axes.grid(visible=True, which="major", alpha=0.3)
        legend = axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, fontsize=8, frameon=False
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    figure.supxlabel(footer, fontsize=7, wrap=True, parse_math=False)
    with replacing(path) as aside:
        figure.savefig(aside, dpi=100)


def _name(label: str) -> str:
    return label.partition("  ")[0]
