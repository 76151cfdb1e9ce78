"""Rows as plotly figures, and as a page where a click on a node shows its row."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape as escape_html
from pathlib import Path
from typing import Any

import numpy as np

from graphmask._atomic import replacing
from graphmask.extras import require

from ._rows import Row
from ._scene import CHOSEN, EDGE, PLAIN, Scene, dot_size

# Nodes from which on the plane is drawn by WebGL.
_WEBGL = 3000

# Entries of a row that a page lists, and that it draws in a graph without triangles.
_LISTED, LARGEST = 15, 2048

# A click selects the nearest node that has a row on the page; the slider selects a head, the menu a
# matrix. Each shows the frame of that name. A frame drawn while the click is still handled would
# confuse plotly's scene, hence the timeout.
_SCRIPT = """
const plot = document.getElementById("{plot_id}");
const {nodes, pos, heads, node, head} = plot.layout.meta;
const atOnce = {mode: "immediate", transition: {duration: 0}, frame: {duration: 0, redraw: true}};
const state = plot.graphmask = {mask: 0, node, head};
const show = () => setTimeout(() => {
  const name = [state.mask, Math.min(state.head, heads[state.mask] - 1), state.node].join(".");
  plot.ready = Plotly.animate(plot, [name], atOnce);
}, 0);
plot.on("plotly_click", ({points: [point]}) => {
  const at = [point.x, point.y, point.z];
  const distance = pos.map((other) => Math.hypot(...other.map((value, axis) => value - at[axis])));
  const nearest = distance.indexOf(Math.min(...distance));
  if (nearest < 0) return;  // a point without coordinates, of the frame before
  state.node = nodes[nearest];
  show();
});
plot.on("plotly_sliderchange", ({slider}) => { state.head = slider.active; show(); });
plot.on("plotly_buttonclicked", ({active}) => { state.mask = active; show(); });
"""


def escape(text: str) -> str:
    """A text that plotly draws as it is: neither HTML nor a place such as ``%{meta}``."""
    return escape_html(text).replace("%{", "%&#123;")


def draw(scene: Scene, row: Row) -> Any:
    """Draw a row; the traces are named edges, nodes, row and chosen."""
    figure = require("plotly.graph_objects", extra="viz").Figure(_traces(scene))
    for trace, update in zip(figure.data[-2:], _update(scene, row), strict=True):
        trace.update(update)
    figure.update_layout(
        title={"text": escape(row.title), "font": {"size": 14}},
        showlegend=False,
        hovermode="closest",
        margin={"l": 10, "r": 10, "t": 50, "b": 30},
        template="plotly_white",
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    if scene.in_space:
        figure.update_layout(scene=_view(scene, row))
    return figure


def make_frame(name: str, scene: Scene, row: Row) -> dict[str, Any]:
    """The frame of a row on a page: what ``draw`` draws, and a list of the largest entries."""
    entries, chosen = _update(scene, row, LARGEST)
    if scene.is_surface:
        del entries["customdata"]  # weights of all nodes would double the size of the page
    lines = {"text": _list_entries(scene, row)}
    layout = {"title": {"text": escape(row.title)}, "annotations": [lines]}
    return {"name": name, "data": [_encode(entries), _encode(chosen)], "layout": layout}


def write_page(
    path: Path, figure: Any, frames: Sequence[dict[str, Any]], meta: dict[str, Any], foot: str
) -> None:
    """Write a figure and the frames of its clickable rows as one file that needs no network.

    Frames are named ``matrix.head.node``; ``meta`` has the ``names`` of matrices and their
    ``heads``, the ``nodes`` with a row and their ``pos``, and the first ``node`` and ``head``.
    """
    names, count = meta["names"], max(meta["heads"])
    first = next(x for x in frames if x["name"] == f"0.{meta['head']}.{meta['node']}")
    corner = {"xref": "paper", "yref": "paper", "showarrow": False, "align": "left", "x": 0}
    entries = {**first["layout"]["annotations"][0], "xanchor": "right", "xshift": -10, "y": 1}
    below = {"text": escape(foot), "xanchor": "left", "xshift": -190, "y": 0}
    texts = [{**corner, "yanchor": "top", **text} for text in (entries, below)]
    figure.update_layout(meta=meta, margin={"l": 210}, annotations=texts)
    if count > 1:
        steps = [{"label": f"{head}", "method": "skip"} for head in range(count)]
        prefix = {"prefix": "head "}
        slider = {"active": meta["head"], "steps": steps, "currentvalue": prefix, "len": 0.4}
        figure.update_layout(sliders=[slider], margin={"b": 90})
    if len(names) > 1:
        buttons = [{"label": escape(name), "method": "skip"} for name in names]
        position = {"x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}
        figure.update_layout(updatemenus=[{"buttons": buttons, **position}])
    plain = "node %{pointNumber}<extra></extra>"
    figure.update_traces({"hovertemplate": plain, "customdata": None}, {"type": "mesh3d"})
    traces = [len(figure.data) - 2, len(figure.data) - 1]
    # Frames are not validated: plotly's validation of thousands of them would take minutes.
    page = {**figure.to_dict(), "frames": [{**frame, "traces": traces} for frame in frames]}
    config = {"responsive": True, "displaylogo": False, "scrollZoom": True, "typesetMath": False}
    options = {"config": config, "auto_play": False, "post_script": _SCRIPT, "validate": False}
    with replacing(path) as aside:
        require("plotly.io", extra="viz").write_html(page, aside, **options)


def _traces(scene: Scene) -> list[dict[str, Any]]:
    """The attributes of traces that are the same for all rows."""
    size, bar = dot_size(scene.num_nodes), {"thickness": 14, "len": 0.75}
    colors = {"cmax": 100, "colorbar": {**bar, "title": {"text": "weight"}}}
    in_plane = "scattergl" if scene.num_nodes > _WEBGL else "scatter"
    common = {"type": "scatter3d" if scene.in_space else in_plane, "mode": "markers"}
    symbol: dict[str, Any] = {"symbol": "diamond", "size": max(7.0, 1.3 * size)}
    if not scene.in_space:
        symbol = {"symbol": "circle-open", "size": 1.6 * size, "line": {"width": 3}}
    marker, hover = {"color": CHOSEN, **symbol}, "chosen node %{text}<extra></extra>"
    chosen = {**common, "name": "chosen", "hovertemplate": hover, "marker": marker}
    if scene.is_surface:
        surface = {
            "type": "mesh3d",
            "name": "row",
            "hovertemplate": "node %{pointNumber}<br>weight %{customdata:.3g}<extra></extra>",
            "lighting": {"ambient": 0.78, "diffuse": 0.4, "specular": 0.05, "roughness": 0.9},
            **_coordinates(scene.pos),
            **dict(zip("ijk", scene.face.T, strict=True)),
            **colors,
        }
        return [surface, chosen]
    name = "" if scene.names is None else " %{text}"
    weight = "weight %{customdata[1]:.3g}<extra></extra>"
    common["hovertemplate"] = f"node %{{customdata[0]}}{name}<br>{weight}"
    edges = {
        **common,
        "name": "edges",
        "mode": "lines",
        "line": {"color": EDGE, "width": 2 if scene.in_space else 1.2},
        "hoverinfo": "skip",
        "hovertemplate": None,
        **_coordinates(scene.edge_path(scene.edges)),
    }
    background = scene.background()
    nodes = {
        **common,
        **_entries(scene, background, np.zeros(len(background))),
        "name": "nodes",
        "mode": "markers+text" if scene.is_labelled else "markers",
        "textposition": "top right" if scene.is_labelled else None,
        "marker": {"size": 0.7 * size, "color": PLAIN, "opacity": scene.opacity},
    }
    points = {**common, "name": "row", "marker": {"size": 1.25 * size, **colors}}
    return [edges, nodes, points, chosen]


def _update(
    scene: Scene, row: Row, limit: int | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The attributes of the traces "row" and "chosen" that depend on the row."""
    # As bytes, of which a page may hold millions.
    percent = np.rint(100 * row.levels()).astype(np.int8)
    levels, texts = row.ticks()
    share = np.linspace(0, 1, len(row.colors)).tolist()
    colors = {
        "colorscale": list(map(list, zip(share, row.colors, strict=True))),
        "cmin": -100 if row.signed else 0,
        "colorbar": {"tickvals": [100 * level for level in levels], "ticktext": texts},
    }
    chosen = {
        **_coordinates(scene.mark(row.node)[None]),
        "customdata": [row.node],
        "text": [escape(scene.label(row.node))],
    }
    if scene.is_surface:
        return {"intensity": percent, "customdata": row.weights, **colors}, chosen
    others = row.others[:limit][::-1]  # the largest last, on top
    entries = _entries(scene, others, row.weights[others])
    return {**entries, "marker": {"color": percent[others], **colors}}, chosen


def _list_entries(scene: Scene, row: Row) -> str:
    """The own entry of a row and its largest others, as lines of HTML."""
    total = float(np.abs(row.weights).sum()) or 1.0
    node, *others = [
        f"{escape(scene.label(other))}: {row.weights[other]:.3g} "
        f"({abs(row.weights[other]) / total:.1%})"
        for other in (row.node, *row.others[:_LISTED])
    ]
    return "<br>".join([f"<b>node {node}</b>", f"{len(row.others):,} other entries", "", *others])


def _encode(value: Any) -> Any:
    """Arrays as the base64 texts that plotly reads."""
    if isinstance(value, dict):
        return {name: _encode(item) for name, item in value.items()}
    if not isinstance(value, np.ndarray):
        return value
    dtype = "i1" if value.dtype == np.int8 else "f4"
    data = base64.b64encode(value.astype(f"<{dtype}").tobytes()).decode("ascii")
    return {"dtype": dtype, "bdata": data, "shape": ", ".join(map(str, value.shape))}


def _view(scene: Scene, row: Row) -> dict[str, Any]:
    """Axes and an eye such that the ball to show fills the view; its radius is plotly's 1/2."""
    center, radius = scene.view(row)
    target, eye = (center - scene.center) / (2 * radius), scene.eye(row.node)
    # The field of view is 45 degrees wide.
    vectors = {"center": target, "eye": target + 0.5 / np.sin(np.radians(22.5)) * eye}
    vectors["up"] = np.eye(3)[scene.up]
    half = scene.diameter / 2
    axes = {
        f"{name}axis": {"visible": False, "showspikes": False, "range": [x - half, x + half]}
        for name, x in zip("xyz", scene.center.tolist(), strict=True)
    }
    return {
        **axes,
        "aspectmode": "manual",
        "aspectratio": dict.fromkeys("xyz", half / radius),
        "camera": {name: _coordinates(xyz) for name, xyz in vectors.items()},
    }


def _coordinates(pos: np.ndarray) -> dict[str, Any]:
    return dict(zip("xyz", pos.T, strict=False))


def _entries(scene: Scene, nodes: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Coordinates, names and weights of nodes."""
    names = None if scene.names is None else [escape(scene.names[node]) for node in nodes]
    customdata = np.stack([nodes, weights], 1).astype(np.float32)
    return {**_coordinates(scene.pos[nodes]), "customdata": customdata, "text": names}
