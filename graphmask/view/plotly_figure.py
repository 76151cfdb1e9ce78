"""Rows as plotly figures, and as a page where a click on a node shows its row."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from graphmask.extras import require

from .colormap import CHOSEN, PLAIN, Row
from .scene import Scene

# Nodes from which on the plane is drawn by WebGL.
_WEBGL = 3000

_EDGE = "#d3d4dc"

# Tangent of half of plotly's field of view.
_TAN = np.tan(np.radians(22.5))

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
  state.node = nodes[distance.indexOf(Math.min(...distance))];
  show();
});
plot.on("plotly_sliderchange", ({slider}) => { state.head = slider.active; show(); });
plot.on("plotly_buttonclicked", ({active}) => { state.mask = active; show(); });
"""


def draw(scene: Scene, row: Row) -> Any:
    """Draw a row; the traces are named edges, nodes, row and chosen.

    Raises:
        MissingExtraError: without plotly.
    """
    objects = require("plotly.graph_objects", extra="viz")
    data = [_edges(scene), _nodes(scene)] if not scene.is_surface else []
    data += [_row_trace(scene), _chosen_trace(scene)]
    figure = objects.Figure(data, {"showlegend": False, "hovermode": "closest"})
    figure.update_layout(
        margin={"l": 10, "r": 10, "t": 50, "b": 30}, paper_bgcolor="white", plot_bgcolor="white"
    )
    for trace, update in zip(figure.data[-2:], _update(scene, row), strict=True):
        trace.update(update)
    figure.update_layout(title={"text": escape(row.title), "font": {"size": 14}})
    if scene.in_space:
        hidden = {"visible": False, "showspikes": False}
        figure.update_scenes(xaxis=hidden, yaxis=hidden, zaxis=hidden)
        figure.update_scenes(aspectmode="data", camera=_camera(scene, row))
    else:
        figure.update_xaxes(visible=False)
        figure.update_yaxes(visible=False, scaleanchor="x")
    return figure


def _update(
    scene: Scene, row: Row, limit: int | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The attributes of the traces "row" and "chosen" that depend on the row."""
    levels, texts = row.scale.ticks()
    colors = {
        "colorscale": [list(color) for color in row.scale.colors],
        "cmin": 100 * row.scale.lowest,
        "colorbar": {"tickvals": [100 * level for level in levels], "ticktext": texts},
    }
    chosen = {
        **_coordinates(scene.mark(row.node)[None]),
        "customdata": [row.node],
        "text": [escape(scene.label(row.node))],
    }
    if scene.is_surface:
        intensity = _percent(row.scale.levels(row.weights))
        intensity[row.node] = 100
        return {"intensity": intensity, "customdata": row.weights, **colors}, chosen
    # The largest last, on top.
    others = row.others[:limit][::-1]
    weights = row.weights[others]
    entries = {
        **_coordinates(scene.pos[others]),
        "customdata": np.stack([others, weights], 1),
        "text": _names(scene, others),
        "marker": {"color": _percent(row.scale.levels(weights)), **colors},
    }
    return entries, chosen


def make_frame(name: str, scene: Scene, row: Row) -> dict[str, Any]:
    """The frame of a row on a page: what :func:`draw` draws, and a list of the largest entries."""
    entries, chosen = _update(scene, row, LARGEST)
    if scene.is_surface:
        del entries["customdata"]
    lines = {"text": _list_entries(scene, row)}
    layout = {"title": {"text": escape(row.title)}, "annotations": [lines]}
    return {"name": name, "data": [_encode(entries), _encode(chosen)], "layout": layout}


def _list_entries(scene: Scene, row: Row) -> str:
    """The own entry of a row and its largest others, as lines of HTML."""
    total = float(np.abs(row.weights).sum()) or 1.0
    node, *others = [
        f"{escape(scene.label(other))}: {row.weights[other]:.3g} "
        f"({abs(row.weights[other]) / total:.1%})"
        for other in (row.node, *row.others[:_LISTED])
    ]
    return "<br>".join([f"<b>node {node}</b>", f"{len(row.others):,} other entries", "", *others])


def write_page(
    path: Path,
    figure: Any,
    frames: Sequence[dict[str, Any]],
    masks: Sequence[tuple[str, int]],
    meta: dict[str, Any],
    foot: str,
) -> None:
    """Write a figure and the frames of its clickable rows as one file that needs no network.

    Args:
        path: of the file.
        figure: of :func:`draw`.
        frames: of :func:`make_frame`, named ``mask.head.node``.
        masks: names of the matrices, with their numbers of heads.
        meta: ``nodes`` with a row and their ``pos``; the first ``node`` and ``head``.
        foot: a line below the figure.
    """
    heads = max(count for _, count in masks)
    first = next(x for x in frames if x["name"] == f"0.{meta['head']}.{meta['node']}")
    common = {"xref": "paper", "yref": "paper", "showarrow": False, "align": "left", "x": 0}
    entries = {**first["layout"]["annotations"][0], "xanchor": "right", "xshift": -10, "y": 1}
    below = {"text": escape(foot), "xanchor": "left", "xshift": -190, "y": 0, "yanchor": "top"}
    figure.update_layout(
        meta={**meta, "heads": [count for _, count in masks]},
        margin={"l": 210},
        annotations=[{**common, "yanchor": "top", **entries}, {**common, **below}],
    )
    if heads > 1:
        steps = [{"label": f"{head}", "method": "skip"} for head in range(heads)]
        prefix = {"prefix": "head "}
        slider = {"active": meta["head"], "steps": steps, "currentvalue": prefix, "len": 0.4}
        figure.update_layout(sliders=[slider], margin={"b": 90})
    if len(masks) > 1:
        buttons = [{"label": escape(name), "method": "skip"} for name, _ in masks]
        corner = {"x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}
        figure.update_layout(updatemenus=[{"buttons": buttons, **corner}])
    if figure.data[-2].type == "mesh3d":
        figure.data[-2].update(hovertemplate="node %{pointNumber}<extra></extra>", customdata=None)
    page = figure.to_dict()
    traces = [len(figure.data) - 2, len(figure.data) - 1]
    # Frames are not validated: plotly's validation of thousands of them would take minutes.
    page["frames"] = [{**frame, "traces": traces} for frame in frames]
    require("plotly.io", extra="viz").write_html(
        page,
        path,
        config={"responsive": True, "displaylogo": False, "scrollZoom": True},
        auto_play=False,
        post_script=_SCRIPT,
        validate=False,
    )


def _encode(value: Any) -> Any:
    """Arrays as the base64 texts that plotly reads."""
    if isinstance(value, dict):
        return {name: _encode(item) for name, item in value.items()}
    if not isinstance(value, np.ndarray):
        return [_encode(item) for item in value] if isinstance(value, list) else value
    dtype = "i1" if value.dtype == np.int8 else "f4"
    data = base64.b64encode(value.astype(f"<{dtype}").tobytes()).decode("ascii")
    return {"dtype": dtype, "bdata": data, "shape": ", ".join(map(str, value.shape))}


def _percent(levels: np.ndarray) -> np.ndarray:
    """Levels as bytes, of which a page may hold millions."""
    return np.rint(100 * levels).astype(np.int8)


def _camera(scene: Scene, row: Row) -> dict[str, Any]:
    """An eye that sees the whole, or the neighbourhood of a row that would be a speck in it."""
    extent = np.ptp(scene.pos, axis=0).astype(float)
    # Plotly's unit of length: the geometric mean of the extents.
    unit = float(np.prod(np.maximum(extent, 1e-3 * extent.max() or 1.0)) ** (1 / 3))
    eye, center = scene.eye_direction(row.node), np.zeros(3)
    depth, size = scene.silhouette(eye)
    distance = float((depth + size / _TAN).max()) / unit
    radius = scene.closeup(row.node, row.weights)
    if radius is not None:
        center = (scene.pos[row.node] - scene.middle) / unit
        distance = min(distance, max(0.2, radius / unit / _TAN))
    vectors = {"up": np.array(scene.up), "center": center, "eye": center + distance * eye}
    return {name: dict(zip("xyz", xyz.tolist(), strict=True)) for name, xyz in vectors.items()}


def _coordinates(pos: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip("xyz", pos.T, strict=False))


def _names(scene: Scene, nodes: np.ndarray) -> list[str] | None:
    return None if scene.names is None else [escape(scene.names[node]) for node in nodes]


def _hover_name(scene: Scene) -> str:
    return "" if scene.names is None else " %{text}"


def _trace(scene: Scene, name: str, **attributes: Any) -> dict[str, Any]:
    in_plane = "scattergl" if scene.num_nodes > _WEBGL else "scatter"
    return {"type": "scatter3d" if scene.in_space else in_plane, "name": name, **attributes}


def _edges(scene: Scene) -> dict[str, Any]:
    ends = scene.pos[scene.edges]
    # Gaps of NaN separate the segments of one line.
    gap = np.full((len(ends), 1, scene.pos.shape[1]), np.nan, np.float32)
    path = np.concatenate([ends, gap], 1).reshape(-1, scene.pos.shape[1])
    line = {"color": _EDGE, "width": 2 if scene.in_space else 1.2}
    options = {"mode": "lines", "line": line, "hoverinfo": "skip"}
    return _trace(scene, "edges", **_coordinates(path), **options)


def _nodes(scene: Scene) -> dict[str, Any]:
    nodes = scene.background()
    return _trace(
        scene,
        "nodes",
        **_coordinates(scene.pos[nodes]),
        mode="markers+text" if scene.is_labelled else "markers",
        customdata=nodes.astype(np.int32),
        text=_names(scene, nodes),
        textposition="top right" if scene.is_labelled else None,
        hovertemplate=f"node %{{customdata}}{_hover_name(scene)}<br>weight 0<extra></extra>",
        marker={"size": 0.7 * scene.size, "color": PLAIN, "opacity": scene.opacity},
    )


def _row_trace(scene: Scene) -> dict[str, Any]:
    colors = {"cmax": 100, "colorbar": {"thickness": 14, "len": 0.75, "title": {"text": "weight"}}}
    if scene.is_surface:
        return {
            "type": "mesh3d",
            "name": "row",
            **_coordinates(scene.pos),
            **dict(zip("ijk", scene.face.T, strict=True)),
            "hovertemplate": "node %{pointNumber}<br>weight %{customdata:.3g}<extra></extra>",
            "lighting": {"ambient": 0.78, "diffuse": 0.4, "specular": 0.05, "roughness": 0.9},
            **colors,
        }
    return _trace(
        scene,
        "row",
        mode="markers",
        hovertemplate=f"node %{{customdata[0]}}{_hover_name(scene)}<br>"
        "weight %{customdata[1]:.3g}<extra></extra>",
        marker={"size": 1.25 * scene.size, **colors},
    )


def _chosen_trace(scene: Scene) -> dict[str, Any]:
    marker = (
        {"symbol": "diamond", "size": max(7.0, 1.3 * scene.size)}
        if scene.in_space
        else {"symbol": "circle-open", "size": 1.6 * scene.size, "line": {"width": 3}}
    )
    template = "chosen node %{text}<extra></extra>"
    marker["color"] = CHOSEN
    return _trace(scene, "chosen", mode="markers", hovertemplate=template, marker=marker)
