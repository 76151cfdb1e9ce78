"""Draw a table that a study has written: lines on logarithmic axes.

Example:
    python benchmarks/plot.py features.csv features.png --x size --y error --by features
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from graphmask._console import split
from graphmask._plots import Panel, write_plot


def read_panels(
    path: Path, x: str, ys: Sequence[str], by: Sequence[str], panel: Sequence[str]
) -> list[Panel]:
    """Read a panel per value of the columns ``panel`` and per column of ``ys``.

    Lines are named by the columns ``by``. Rows without a number in x or y are left out, and values
    that are not positive, for which a logarithmic axis has no place.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    missing = {x, *ys, *by, *panel} - set(rows[0])
    if missing:
        raise SystemExit(f"{path} has no column {', '.join(missing)}; it has {', '.join(rows[0])}")
    panels: dict[tuple[str, str], dict[str, dict[float, float]]] = {}
    for row in rows:
        for y in ys:
            if row[x] and row[y] and float(row[y]) > 0:
                title = ", ".join(row[name] for name in panel)
                lines = panels.setdefault((title, y), {})
                label = ", ".join(row[name] for name in by)
                lines.setdefault(label, {})[float(row[x])] = float(row[y])
    return [
        Panel(title, x, y, {label: dict(sorted(line.items())) for label, line in lines.items()})
        for (title, y), lines in panels.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the table and draw the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--x", required=True)
    for name in ("--y", "--by", "--panel"):
        parser.add_argument(name, type=split, required=name != "--panel", default=[])
    parser.add_argument("--columns", type=int, default=3)
    options = parser.parse_args(arguments)
    panels = read_panels(options.table, options.x, options.y, options.by, options.panel)
    write_plot(options.picture, panels, columns=options.columns)


if __name__ == "__main__":
    main()
