"""Results as one page: all tables that were printed, and lines to point at, by plotly inside the file; no network is needed."""

from __future__ import annotations

import html
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from graphmask.extras import require

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #24252e; max-width: 1200px; margin: 0 auto; padding: 16px; }
h1 { font-size: 20px; } h2 { font-size: 16px; margin: 28px 0 6px; } code { background: #f0f1f6; padding: 2px 5px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: 2px 12px 2px 0; text-align: left; border-bottom: 1px solid #e9eaf0; vertical-align: top; }
.right { text-align: right; } p.note { color: #63646f; margin: 2px 0; } div.wide { overflow-x: auto; }
"""

_MODES = ("lines+markers", "markers")


class Chart(NamedTuple):
    """Lines through the rows of a table.

    Args:
        title: what is drawn.
        x: the column along which lines run; texts become bars.
        y: the column of the heights.
        by: columns whose values together name a line.
        panels: columns for whose values there is a chart each.
        log_x: whether x has a logarithmic scale.
        log_y: whether y has.
        unit: of y, after ``scale`` has multiplied it.
        scale: see there.
    """

    title: str
    x: str
    y: str
    by: tuple[str, ...]
    panels: tuple[str, ...] = ()
    log_x: bool = True
    log_y: bool = True
    unit: str = ""
    scale: float = 1.0


# What grows with the nodes: of scaling runs, of memory alone and of families.
GROWTH = (
    Chart("Forward", "nodes", "forward_s", ("contender",), unit="ms", scale=1e3),
    Chart(
        "Forward and backward", "nodes", "forward_backward_s", ("contender",), unit="ms", scale=1e3
    ),
    Chart("Peak memory", "nodes", "peak_mib", ("contender",), unit="MiB"),
    Chart("Made once per graph", "nodes", "prepare_s", ("contender",), unit="s"),
)


def page_path(wanted: Path | None, *beside: Path | None) -> Path | None:
    """Where the page goes: where it was asked for.

    Else beside the first other file, if plotly is there; else nowhere.

    Example:
        >>> from pathlib import Path
        >>> page_path(Path("a.html"), Path("b.csv")), page_path(None, None)
        (PosixPath('a.html'), None)
    """
    if wanted is not None:
        require("plotly.graph_objects", extra="viz")
        return wanted
    other = next((path for path in beside if path is not None), None)
    return None if other is None or find_spec("plotly") is None else other.with_suffix(".html")


class Report:
    """A console that keeps what it prints, to write it as a page.

    Args:
        console: prints.
        path: of the page, or :obj:`None` for none.
        title: of the page.
    """

    def __init__(self, console: Console, path: Path | None, title: str) -> None:
        self._console, self.path, self.title = console, path, title
        self._printed: list[Any] = []

    def print(self, thing: Any, **options: Any) -> None:
        """As a rich console does."""
        self._printed.append(thing)
        self._console.print(thing, **options)

    def write(self, rows: Sequence[Mapping[str, Any]], charts: Sequence[Chart]) -> None:
        """Write the page, if one is wanted.

        Raises:
            OSError: where the file cannot be written.
        """
        if self.path is not None:
            self.path.write_text(
                make_page(self.title, self._printed, rows, charts), encoding="utf-8"
            )


def make_page(
    title: str, printed: Sequence[Any], rows: Sequence[Mapping[str, Any]], charts: Sequence[Chart]
) -> str:
    """The page, as text.

    Args:
        title: of the page.
        printed: rich tables, and texts.
        rows: what is drawn.
        charts: how.

    Raises:
        MissingExtraError: without plotly.
    """
    figures = [figure for chart in charts for figure in draw(chart, rows)]
    command = shlex.join(["graphmask", *sys.argv[1:]])
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    drawn = [
        figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False})
        for figure in figures
    ]
    parts = [
        "<!doctype html>", '<html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>",
        f"<script>{require('plotly.offline', extra='viz').get_plotlyjs() if drawn else ''}</script></head><body>",
        f"<h1>{html.escape(title)}</h1><p><code>{html.escape(command)}</code>, {now}</p>",
        *drawn, *map(_as_html, printed), "</body></html>",
    ]  # fmt: skip
    return "\n".join(parts)


def draw(chart: Chart, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """A figure for each panel that has something to show.

    Example:
        >>> rows = [{"nodes": n, "s": 2e-6 * n, "who": "walk"} for n in (64, 128)]
        >>> [figure] = draw(Chart("Time", "nodes", "s", ("who",)), rows)
        >>> figure.data[0].name, [float(y) for y in figure.data[0].y]
        ('walk', [0.000128, 0.000256])
    """
    usable = [row for row in rows if _is_number(row.get(chart.y)) and row.get(chart.x) is not None]
    values = [list(dict.fromkeys(row[name] for row in usable)) for name in chart.panels]
    figures = []
    for panel in product(*values):
        inside = [
            row
            for row in usable
            if all(row[name] == value for name, value in zip(chart.panels, panel, strict=True))
        ]
        if inside:
            figures.append(_draw_panel(chart, panel, inside))
    return figures


def _draw_panel(chart: Chart, panel: Sequence[Any], rows: Sequence[Mapping[str, Any]]) -> Any:
    objects = require("plotly.graph_objects", extra="viz")
    lines: dict[str, list[tuple[Any, float]]] = {}
    for row in rows:
        name = ", ".join(f"{row[column]}" for column in chart.by)
        lines.setdefault(name, []).append((row[chart.x], chart.scale * row[chart.y]))
    figure = objects.Figure()
    by_text = isinstance(rows[0][chart.x], str)
    for name, points in lines.items():
        x, y = zip(*(points if by_text else sorted(points)), strict=True)
        kind = objects.Bar if by_text else objects.Scatter
        figure.add_trace(
            kind(x=x, y=y, name=name)
            if by_text
            else kind(x=x, y=y, name=name, mode=_MODES[len(points) == 1])
        )
    axes = {"x": None if by_text or not chart.log_x else "log", "y": "log" if chart.log_y else None}
    title = ": ".join([chart.title, ", ".join(map(str, panel))]) if panel else chart.title
    figure.update_layout(
        title=title, height=460, template="plotly_white", xaxis_title=chart.x.replace("_", " ")
    )
    figure.update_xaxes(type=axes["x"])
    figure.update_yaxes(type=axes["y"], title=chart.unit or chart.y.replace("_", " "))
    return figure


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _as_html(thing: Any) -> str:
    if isinstance(thing, str):
        return f'<p class="note">{html.escape(thing)}</p>'
    return _table_as_html(thing)


def _table_as_html(table: Table) -> str:
    sides = ["right" if column.justify == "right" else "" for column in table.columns]

    def line(tag: str, cells: Sequence[Any]) -> str:
        return "".join(
            f'<{tag} class="{side}">{html.escape(str(cell))}</{tag}>'
            for side, cell in zip(sides, cells, strict=True)
        )

    head = (
        f"<thead><tr>{line('th', [column.header for column in table.columns])}</tr></thead>"
        if table.show_header
        else ""
    )
    body = "".join(
        f"<tr>{line('td', row)}</tr>"
        for row in zip(*(column._cells for column in table.columns), strict=True)
    )
    return f'<h2>{html.escape(str(table.title or ""))}</h2><div class="wide"><table>{head}<tbody>{body}</tbody></table></div>'
