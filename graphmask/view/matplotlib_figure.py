"""Rows as one matplotlib figure: a line of panels per matrix, a panel per head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphmask.extras import require

from .colormap import CHOSEN, PLAIN, Row
from .scene import Scene, dot_size

# Surfaces of more triangles are drawn by their vertices.
_TRIANGLES = 80_000

# The half width of a panel, in the unit of matplotlib's projection, for a box of diagonal 1.
_HALF_WIDTH = 0.46
_LARGEST_ZOOM = 1.6

# In inches.
_PANEL = 4.6


def draw(scene: Scene, lines: Sequence[Sequence[Row]]) -> Any:
    """Draw lines of panels, a row in each.

    Raises:
        MissingExtraError: without matplotlib.
    """
    columns = max(map(len, lines))
    # Without pyplot: no window system is needed, and no global state is left behind.
    figure = require("matplotlib.figure", extra="viz").Figure(
        figsize=(_PANEL * columns, _PANEL * len(lines)), layout="constrained"
    )
    options = {"projection": "3d", "computed_zorder": False} if scene.in_space else {}
    for line, panels in enumerate(lines):
        for column, panel in enumerate(panels):
            position = (len(lines), columns, line * columns + column + 1)
            axes = figure.add_subplot(*position, **options)
            _draw_panel(figure, axes, scene, panel)
    figure.suptitle(scene.title, fontsize=10)
    return figure


def _draw_panel(figure: Any, axes: Any, scene: Scene, row: Row) -> None:
    colors, scale, title = require("matplotlib.colors", extra="viz"), row.scale, row.title
    colormap = colors.LinearSegmentedColormap.from_list("weights", scale.colors)
    norm = colors.Normalize(scale.lowest, 1)
    radius = scene.closeup(row.node, row.weights)
    shown = np.ones(scene.num_nodes, bool)
    if radius is not None:
        shown = np.linalg.norm(scene.pos - scene.pos[row.node], axis=1) <= radius
        title = f"{title}\n{shown.sum():,} nodes around it"
    if scene.is_surface and len(scene.face) <= _TRIANGLES:
        levels = scale.levels(row.weights)
        levels[row.node] = 1
        _draw_triangles(axes, scene, colormap(norm(levels)))
    else:
        _draw_points(axes, scene, row, shown, {"cmap": colormap, "norm": norm})
    mark = (
        {"c": CHOSEN, "marker": "D", "s": 40 if scene.is_surface else (1.6 * scene.size) ** 2}
        if scene.in_space
        else {"c": "none", "marker": "o", "s": (1.6 * scene.size) ** 2}
    )
    position = _turn(scene, scene.pos[[row.node]]).T
    axes.scatter(*position, edgecolors=CHOSEN, linewidths=2, zorder=9, **mark)
    axes.set_title(title, fontsize=8, wrap=True)
    axes.set_axis_off()
    if scene.in_space:
        _set_eye(axes, scene, row.node, radius)
    else:
        axes.set_aspect("equal")
    bar = require("matplotlib.cm", extra="viz").ScalarMappable(norm, colormap)
    ticks, labels = scale.ticks()
    colorbar = figure.colorbar(bar, ax=axes, shrink=0.6, fraction=0.05, pad=0.01)
    colorbar.set_ticks(ticks, labels=labels, fontsize=7)


def _set_eye(axes: Any, scene: Scene, node: int, radius: float | None) -> None:
    """Look at the node from its side, with all that is drawn inside the panel."""
    eye = scene.eye_direction(node)
    x, y, z = _turn(scene, eye[None])[0]
    axes.view_init(elev=float(np.degrees(np.arcsin(z))), azim=float(np.degrees(np.arctan2(y, x))))
    limits = np.array([axes.get_xlim3d(), axes.get_ylim3d(), axes.get_zlim3d()])
    extent = np.maximum(np.ptp(limits, axis=1), 1e-9)
    size = scene.silhouette(eye)[1].max() if radius is None else radius
    zoom = min(_LARGEST_ZOOM, _HALF_WIDTH * np.linalg.norm(extent) / max(size, 1e-9))
    axes.set_box_aspect(extent, zoom=zoom)


def _turn(scene: Scene, pos: np.ndarray) -> np.ndarray:
    """Surfaces stand on their second axis, the pictures of matplotlib on their third."""
    return pos[:, [2, 0, 1]] if scene.is_surface else pos


def _draw_points(
    axes: Any, scene: Scene, row: Row, shown: np.ndarray, colors: dict[str, Any]
) -> None:
    pos = _turn(scene, scene.pos)
    options = {"depthshade": False} if scene.in_space else {}
    if len(scene.edges):
        segments = pos[scene.edges[shown[scene.edges].all(1)]]
        collection = (
            require("mpl_toolkits.mplot3d.art3d", extra="viz").Line3DCollection
            if scene.in_space
            else require("matplotlib.collections", extra="viz").LineCollection
        )
        axes.add_collection(collection(segments, colors="#d3d4dc", linewidths=0.6, zorder=0))
    is_closeup = not shown.all()
    background = np.flatnonzero(shown) if is_closeup else scene.background()
    area = 0.8 * dot_size(len(background)) ** 2
    rest = background[row.weights[background] == 0]
    opacity = 1.0 if is_closeup else scene.opacity
    plain = {"s": 0.3 * area, "c": PLAIN, "alpha": opacity, "zorder": 1}
    axes.scatter(*pos[rest].T, linewidths=0, **plain, **options)
    # The largest last, on top.
    others = row.others[::-1]
    weighted = {"s": area, "c": row.scale.levels(row.weights[others]), "zorder": 2, **colors}
    axes.scatter(*pos[others].T, linewidths=0, **weighted, **options)
    if scene.in_space:
        axes.auto_scale_xyz(*pos[shown].T)
    if scene.is_labelled:
        for name, position in zip(scene.names or (), pos, strict=True):
            axes.annotate(name, position, xytext=(5, 5), textcoords="offset points", fontsize=8)


def _draw_triangles(axes: Any, scene: Scene, color: np.ndarray) -> None:
    pos = _turn(scene, scene.pos)
    corners, color = pos[scene.face], color[scene.face].mean(1)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    # Weaker than the shades of matplotlib, which would hide the weights.
    color[:, :3] *= 0.72 + 0.28 * np.abs(normal @ [[0.6], [0.35], [0.72]])
    faces = require("mpl_toolkits.mplot3d.art3d", extra="viz").Poly3DCollection(
        corners, facecolors=color, edgecolors="none"
    )
    axes.add_collection3d(faces)
    axes.auto_scale_xyz(*pos.T)
