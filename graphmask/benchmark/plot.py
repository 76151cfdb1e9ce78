"""Results as a picture: log-log lines with their exponents in the legend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphmask.extras import require

from .report import format_exponent
from .results import QUANTITIES, Measurement, Quantity, by_contender, fit_exponent

_PANELS = ("forward", "both", "peak")
_OWN = "graphmask"


def write_plot(path: str | Path, measurements: Sequence[Measurement], machine: str = "") -> None:
    """Draw time and memory against nodes: this library's contenders as solid lines, peers dashed.

    Args:
        path: of the picture; its ending tells the format.
        measurements: of a run.
        machine: printed below.

    Raises:
        MissingExtraError: without matplotlib.
        OSError: where the file cannot be written.

    Example:
        >>> import tempfile, pathlib
        >>> from graphmask.benchmark import Measurement
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "costs.png"
        >>> write_plot(path, [Measurement("walk", "graphmask", nodes=n, both=(1e-6 * n,)) for n in (64, 128)])
        >>> path.stat().st_size > 0
        True
    """
    # A figure of its own, without pyplot: no window system is asked for and no global state is left
    # behind.
    figure = require("matplotlib.figure", extra="viz").Figure(figsize=(18, 8), layout="constrained")
    panels = [QUANTITIES[name] for name in _PANELS if QUANTITIES[name].values(measurements)]
    # Where all were cut off there is nothing to draw, and the picture says so by being empty.
    for axes, quantity in zip(
        figure.subplots(1, max(len(panels), 1), squeeze=False)[0], panels, strict=False
    ):
        _draw(axes, quantity, measurements)
    figure.supxlabel(machine, fontsize=7, wrap=True)
    figure.savefig(path, dpi=120)


def _draw(axes: Any, quantity: Quantity, measurements: Sequence[Measurement]) -> None:
    sizes = sorted({each.nodes for each in measurements})
    colors = require("matplotlib", extra="viz").colormaps["tab20"].colors
    for number, (name, group) in enumerate(by_contender(measurements).items()):
        values = quantity.values(group)
        style = "o-" if group[0].library == _OWN else "s--"
        label = f"{name}  N^{format_exponent(fit_exponent(values))}"
        axes.plot(
            values.keys(),
            values.values(),
            style,
            color=colors[number % len(colors)],
            label=label,
            markersize=4,
        )
    axes.set(xscale="log", yscale="log", xlabel="nodes", ylabel=quantity.unit, title=quantity.title)
    axes.title.set_fontsize(9)
    axes.set_xticks(sizes, labels=[f"{size:,}" for size in sizes], rotation=45, fontsize=7)
    axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, fontsize=8, frameon=False)
