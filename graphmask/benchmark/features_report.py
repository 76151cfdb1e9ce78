"""Accuracy of random features on the terminal, and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphmask._console import empty_table, format_number
from graphmask.extras import require

from .features import Accuracy

if TYPE_CHECKING:
    from rich.table import Table

# In inches, of one panel.
_WIDTH, _HEIGHT = 3, 3.2

# What errs by more is of no use, and of no interest.
_HIGHEST = 1e3


def make_table(found: Sequence[Accuracy]) -> Table:
    """A row per map and input.

    Errors of scores by m, then of attention by m, and the bias of the largest m.

    Raises:
        MissingExtraError: without rich.
    """
    table = empty_table("Relative errors of scores, and of rows of attention, at m features")
    for heading in ("d", "inputs", "features"):
        table.add_column(heading, no_wrap=True)
    sizes = sorted({each.size for each in found})
    for heading in (
        *(f"scores {m}" for m in sizes),
        *(f"attention {m}" for m in sizes),
        "bias",
        "bias / se",
    ):
        table.add_column(heading, justify="right")
    for (channels, inputs, name), group in _grouped(found).items():
        by_size = {each.size: each for each in group}
        last = group[-1]
        errors = (
            value
            for what in ("error", "attention")
            for value in (getattr(by_size[m], what) for m in sizes)
        )
        cells = map(format_error, errors)
        table.add_row(str(channels), inputs, name, *cells, f"{last.bias:.1g}", f"{last.bias_z:.1f}")
    return table


def format_error(error: float) -> str:
    """Three digits, or two and an exponent for what is hopeless.

    Example:
        >>> format_error(0.12345), format_error(123456.0)
        ('0.123', '1.2e+05')
    """
    return f"{error:.2g}" if error >= 1e4 else format_number(error)


def write_plot(path: str | Path, found: Sequence[Accuracy], machine: str = "") -> None:
    """Draw errors of scores against m: a row of panels per number of channels, a panel per input.

    Args:
        path: of the picture; its ending tells the format.
        found: of a study.
        machine: printed below.

    Raises:
        MissingExtraError: without matplotlib.
        OSError: where the file cannot be written.
    """
    panels: dict[int, dict[str, list[Accuracy]]] = {}
    for each in found:
        panels.setdefault(each.channels, {}).setdefault(each.inputs, []).append(each)
    columns = max(map(len, panels.values()))
    size = (_WIDTH * columns + 1.5, _HEIGHT * len(panels))
    # A figure of its own, without pyplot: no window system is asked for and no global state is left
    # behind.
    figure = require("matplotlib.figure", extra="viz").Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(panels), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    for row, (channels, inputs) in zip(grid, panels.items(), strict=True):
        for axes, (name, group) in zip(row, inputs.items(), strict=False):
            axes.set_visible(True)
            _draw(axes, group)
            axes.set_title(f"d = {channels}; {name}", fontsize=9)
    grid[0][0].set_ylabel("relative error of scores")
    figure.legend(
        *grid[0][0].get_legend_handles_labels(),
        loc="outside right upper",
        fontsize=8,
        frameon=False,
    )
    figure.supxlabel(
        f"m features; errors above {_HIGHEST:,.0f} are not shown\n{machine}", fontsize=7, wrap=True
    )
    figure.savefig(path, dpi=60)


def _draw(axes: Any, found: Sequence[Accuracy]) -> None:
    colors = require("matplotlib", extra="viz").colormaps["tab10"].colors
    for number, ((_, _, name), group) in enumerate(_grouped(found).items()):
        axes.plot(
            [each.size for each in group],
            [each.error for each in group],
            "o-",
            color=colors[number % 10],
            label=name,
        )
    axes.set(yscale="log")
    axes.set_ylim(top=min(_HIGHEST, axes.get_ylim()[1]))
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.grid(visible=True, which="major", alpha=0.3)


def _grouped(found: Sequence[Accuracy]) -> dict[tuple[int, str, str], list[Accuracy]]:
    groups: dict[tuple[int, str, str], list[Accuracy]] = {}
    for each in sorted(found, key=lambda each: each.size):
        groups.setdefault((each.channels, each.inputs, each.features), []).append(each)
    order = {(each.channels, each.inputs, each.features): None for each in found}
    return {key: groups[key] for key in order}
