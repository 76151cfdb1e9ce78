"""The page: plotly itself, the figure, the rows and the script that joins them, in one file."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from graphmask.extras import require

from .packed import Packed, encode, pack
from .scene import Scene
from .sources import Source


def write_page(
    path: Path,
    scene: Scene,
    sources: Sequence[Source],
    node: int,
    head: int,
    figure: Any,
    logarithmic: bool,
    budget: int,
    note: str,
) -> None:
    """Write it; see :meth:`graphmask.view.Picture.write_html`."""
    packs = [pack(source, node, budget) for source in sources]
    whole = {
        "node": node,
        "head": head,
        "logarithmic": logarithmic,
        "pos": encode(scene.pos),
        "axes": scene.pos.shape[1],
        "surface": scene.is_surface,
        "pins": encode(scene.pins),
        "names": scene.names,
        "masks": [
            {
                "name": source.name,
                "about": say_what_is_there(rows, scene.num_nodes),
                **rows.encode(),
            }
            for source, rows in zip(sources, packs, strict=True)
        ],
    }
    foot = [f"{scene.num_nodes:,} nodes", *_remarks(scene), note]
    path.write_text(
        fill(
            "page.html",
            title=scene.title or "graphmask view",
            foot="; ".join(filter(None, foot)),
            figure=figure,
            data=whole,
        ),
        encoding="utf-8",
    )


def say_what_is_there(rows: Packed, num_nodes: int) -> str:
    """Which rows a page carries, and how much of each."""
    known = len(rows.nodes)
    which = (
        "A click on any node shows its row."
        if known == num_nodes
        else (
            f"Rows of {known:,} of {num_nodes:,} nodes are on this page: a click goes to the nearest of these."
        )
    )
    whole = rows.share > 1 - 1e-9
    return (
        which
        if whole
        else f"{which} Of each row the largest entries are kept, {rows.share:.1%} of all weight."
    )


def _remarks(scene: Scene) -> list[str]:
    found = []
    if len(scene.shown()) < scene.num_nodes and not scene.is_surface:
        found.append(f"{len(scene.shown()):,} of them drawn grey, and all of a row")
    if scene.placed:
        found.append("places are laid out from the edges, since the file has none")
    return found


def fill(template: str, title: str, foot: str, figure: Any, data: dict[str, Any]) -> str:
    """A page from a template of this folder, with all it needs inside it.

    Raises:
        MissingExtraError: without plotly.
    """
    plotly = require("plotly.offline", extra="viz").get_plotlyjs()
    folder = resources.files("graphmask.view")
    parts = {
        "TITLE": html.escape(title),
        "FOOT": html.escape(foot),
        "FIGURE": _inside_script(figure.to_json()),
        "DATA": _inside_script(json.dumps(data, allow_nan=False)),
        "SCRIPT": (folder / "page.js").read_text(encoding="utf-8"),
        # Last, since what is filled in is not looked through again.
        "PLOTLY": plotly,
    }
    text = (folder / template).read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text


def _inside_script(text: str) -> str:
    """JSON that cannot end the element it stands in."""
    return text.replace("<", "\\u003c")
