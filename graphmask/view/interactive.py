"""A row as a plotly figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphmask.extras import require

from .scene import Scene
from .shades import CHOSEN, PLAIN, Shades

# Beyond so many nodes the plane is drawn by WebGL, too.
_VECTORS = 3000

_EDGE = "#d3d4dc"


def draw(scene: Scene, node: int, weights: np.ndarray, shades: Shades, title: str) -> Any:
    """The figure of a row ``[N]``; its traces are called edges, nodes, row and chosen.

    Raises:
        MissingExtraError: without plotly.
    """
    objects = require("plotly.graph_objects", extra="viz")
    traces = [_surface(objects, scene, node, weights, shades)] if scene.is_surface else []
    if not scene.is_surface:
        traces = [_lines(objects, scene)] if len(scene.edges) else []
        traces += [_background(objects, scene), _row(objects, scene, node, weights, shades)]
    traces.append(_chosen(objects, scene, node))
    figure = objects.Figure(traces)
    hidden = {"visible": False, "showspikes": False}
    figure.update_layout(
        title={"text": title, "font": {"size": 14}},
        showlegend=False,
        margin={"l": 0, "r": 0, "t": 40, "b": 0},
        paper_bgcolor="white",
        plot_bgcolor="white",
        hovermode="closest",
    )
    if scene.in_space:
        figure.update_scenes(
            xaxis=hidden,
            yaxis=hidden,
            zaxis=hidden,
            aspectmode="data",
            camera=_camera(scene, node, weights),
        )
    else:
        figure.update_xaxes(visible=False)
        figure.update_yaxes(visible=False, scaleanchor="x")
    return figure


def _camera(scene: Scene, node: int, weights: np.ndarray) -> dict[str, Any]:
    """The whole, or the neighbourhood of a row that would be a speck in it.

    Plotly measures in means of the three extents.
    """
    extent = np.ptp(scene.pos, axis=0).astype(float)
    mean = float(np.prod(np.maximum(extent, 1e-3 * extent.max() or 1.0)) ** (1 / 3))
    reach = scene.reach(node, weights) * np.linalg.norm(extent) / mean
    distance = float(np.clip(7 * reach, 0.9 if scene.is_surface else 0.2, 1.7))
    middle = (scene.pos.max(0) + scene.pos.min(0)) / 2
    center = (1 - distance / 1.7) * (scene.pos[node] - middle) / mean
    up = (0, 1, 0) if scene.is_surface else (0, 0, 1)
    places = {"up": up, "center": center, "eye": center + distance * scene.seen_from(node)}
    return {
        name: dict(zip("xyz", map(float, place), strict=True)) for name, place in places.items()
    }


def _at(scene: Scene, nodes: Any) -> dict[str, np.ndarray]:
    return dict(zip("xyz", scene.pos[nodes].T, strict=False))


def _points(objects: Any, scene: Scene, **options: Any) -> Any:
    kind = (
        objects.Scatter3d
        if scene.in_space
        else objects.Scattergl
        if scene.num_nodes > _VECTORS
        else objects.Scatter
    )
    return kind(**options)


def _texts(scene: Scene, nodes: Sequence[int] | np.ndarray) -> list[str] | None:
    return None if scene.names is None else [scene.names[node] for node in nodes]


def _lines(objects: Any, scene: Scene) -> Any:
    ends = scene.pos[scene.edges]
    gap = np.full((len(ends), 1, ends.shape[2]), np.nan, np.float32)
    path = np.concatenate([ends, gap], 1).reshape(-1, ends.shape[2])
    return _points(
        objects,
        scene,
        **dict(zip("xyz", path.T, strict=False)),
        mode="lines",
        name="edges",
        hoverinfo="skip",
        line={"color": _EDGE, "width": 1.2 if not scene.in_space else 2},
    )


def _background(objects: Any, scene: Scene) -> Any:
    nodes = scene.shown()
    named = "" if scene.names is None else " %{text}"
    return _points(
        objects,
        scene,
        **_at(scene, nodes),
        mode="markers+text" if scene.is_labelled else "markers",
        name="nodes",
        customdata=nodes.astype(np.int32),
        text=_texts(scene, nodes),
        hovertemplate=f"node %{{customdata}}{named}<br>weight 0<extra></extra>",
        textposition="top right" if scene.is_labelled else None,
        marker={
            "size": 0.7 * scene.size,
            "color": PLAIN,
            "opacity": scene.haze,
            "line": {"width": 0},
        },
    )


def _colours(shades: Shades) -> dict[str, Any]:
    places, texts = shades.ticks()
    bar = {
        "tickvals": places,
        "ticktext": texts,
        "thickness": 14,
        "len": 0.75,
        "title": {"text": "weight"},
    }
    return {
        "colorscale": [list(each) for each in shades.scale],
        "cmin": -1 if shades.signed else 0,
        "cmax": 1,
        "colorbar": bar,
    }


def _row(objects: Any, scene: Scene, node: int, weights: np.ndarray, shades: Shades) -> Any:
    others = np.flatnonzero(weights)
    others = others[others != node]
    names = _texts(scene, others) or [""] * len(others)
    text = [
        f"{name}<br>weight {weight:.3g}"
        for name, weight in zip(names, weights[others], strict=True)
    ]
    return _points(
        objects,
        scene,
        **_at(scene, others),
        mode="markers",
        name="row",
        customdata=others.astype(np.int32),
        text=text,
        hovertemplate="node %{customdata} %{text}<extra></extra>",
        marker={
            "size": 1.25 * scene.size,
            "color": shades.levels(weights[others]),
            "opacity": 1.0,
            "line": {"width": 0},
            **_colours(shades),
        },
    )


def _surface(objects: Any, scene: Scene, node: int, weights: np.ndarray, shades: Shades) -> Any:
    levels = shades.levels(weights).astype(np.float32)
    levels[node] = 1
    text = [f"{weight:.3g}" for weight in weights]
    return objects.Mesh3d(
        **_at(scene, slice(None)),
        **dict(zip("ijk", scene.face.T, strict=True)),
        name="row",
        intensity=levels,
        text=text,
        hovertemplate="node %{pointNumber}<br>weight %{text}<extra></extra>",
        lighting={"ambient": 0.78, "diffuse": 0.4, "specular": 0.05, "roughness": 0.9},
        flatshading=False,
        **_colours(shades),
    )


def _chosen(objects: Any, scene: Scene, node: int) -> Any:
    symbol = "diamond" if scene.in_space else "circle-open"
    marker = {
        "size": 1.6 * scene.size,
        "color": CHOSEN,
        "symbol": symbol,
        "line": {"width": 3, "color": CHOSEN},
    }
    if scene.in_space:
        marker = {"size": max(5.0, 1.3 * scene.size), "color": CHOSEN, "symbol": "diamond"}
    return _points(
        objects,
        scene,
        **dict(zip("xyz", scene.pins[[node]].T, strict=False)),
        mode="markers",
        name="chosen",
        customdata=[node],
        text=[scene.call(node)],
        hovertemplate="node %{text}: the chosen one<extra></extra>",
        marker=marker,
    )
