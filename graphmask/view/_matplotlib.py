"""Rows as one matplotlib figure: a line of panels per matrix, a panel per head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphmask._plots import make_figure
from graphmask.extras import require

from ._rows import Row
from ._scene import CHOSEN, EDGE, PLAIN, Scene, dot_size

# Surfaces of more triangles are drawn by their vertices.
_TRIANGLES = 80_000

# A ball that touches the sides of the box of the axes then fills the panel.
_ZOOM = 1.6

# Width of a panel, in inches.
_PANEL = 4.6


def draw(scene: Scene, lines: Sequence[Sequence[Row]]) -> Any:
    """Draw lines of panels, a row in each."""
    columns = max(map(len, lines))
    figure = make_figure(_PANEL * columns, _PANEL * len(lines))
    projection = "3d" if scene.in_space else None
    for line, rows in enumerate(lines):
        for column, row in enumerate(rows):
            position = (len(lines), columns, line * columns + column + 1)
            _draw_panel(figure.add_subplot(*position, projection=projection), scene, row)
    figure.suptitle(scene.title, fontsize=10, parse_math=False)
    return figure


def _draw_panel(axes: Any, scene: Scene, row: Row) -> None:
    colors = require("matplotlib.colors", extra="viz")
    scale = require("matplotlib.cm", extra="viz").ScalarMappable(
        colors.Normalize(-1 if row.signed else 0, 1),
        colors.LinearSegmentedColormap.from_list("weights", row.colors),
    )
    color, title = scale.to_rgba(row.levels()), row.title
    center, radius = scene.view(row)
    shown = np.linalg.norm(scene.pos - center, axis=1) <= 1.001 * radius
    if not shown.all():
        title = f"{title}\n{shown.sum():,} nodes around it"
    if scene.is_surface and len(scene.face) <= _TRIANGLES:
        _draw_triangles(axes, scene, color)
    else:
        _draw_points(axes, scene, row, shown, color)
    mark = {"c": CHOSEN, "marker": "D"} if scene.in_space else {"c": "none", "edgecolors": CHOSEN}
    size = 2.5 * dot_size(scene.num_nodes) ** 2
    axes.scatter(*scene.pos[[row.node]].T, s=max(40, size), linewidths=2, zorder=9, **mark)
    axes.set_title(title, fontsize=8, wrap=True, parse_math=False)
    axes.set_axis_off()
    if scene.in_space:
        _set_view(axes, scene, row)
    else:
        axes.set_aspect("equal")
    bar = axes.figure.colorbar(scale, ax=axes, shrink=0.6, fraction=0.05, pad=0.01)
    ticks, labels = row.ticks()
    bar.set_ticks(ticks, labels=labels, fontsize=7)


def _set_view(axes: Any, scene: Scene, row: Row) -> None:
    """Look at the node from its side; the ball to show fills the panel."""
    x, y, z = np.roll(scene.eye(row.node), 2 - scene.up)
    elevation, azimuth = np.degrees([np.arcsin(z), np.arctan2(y, x)]).tolist()
    axes.view_init(elevation, azimuth, vertical_axis="xyz"[scene.up])
    center, radius = scene.view(row)
    axes.set(
        **{f"{name}lim": (c - radius, c + radius) for name, c in zip("xyz", center, strict=True)}
    )
    axes.set_box_aspect((1, 1, 1), zoom=_ZOOM)
    axes.computed_zorder = False  # the row is drawn above the background


def _draw_points(axes: Any, scene: Scene, row: Row, shown: np.ndarray, color: np.ndarray) -> None:
    pos = scene.pos
    edges = scene.edges[shown[scene.edges].all(1)]
    axes.plot(*scene.edge_path(edges).T, color=EDGE, linewidth=0.6, zorder=0)
    is_closeup = not shown.all()
    background = np.flatnonzero(shown) if is_closeup else scene.background()
    zeros = background[row.weights[background] == 0]
    others = row.others[::-1]  # the largest last, on top
    options = {"linewidths": 0, **({"depthshade": False} if scene.in_space else {})}
    area = 0.8 * dot_size(len(background)) ** 2
    opacity = 1.0 if is_closeup else scene.opacity
    axes.scatter(*pos[zeros].T, s=0.3 * area, c=PLAIN, alpha=opacity, zorder=1, **options)
    axes.scatter(*pos[others].T, s=area, c=color[others], zorder=2, **options)
    for name, position in zip(scene.names or (), pos if scene.is_labelled else (), strict=False):
        place = {"xytext": (5, 5), "textcoords": "offset points"}
        axes.annotate(name, position, **place, fontsize=8, parse_math=False)


def _draw_triangles(axes: Any, scene: Scene, color: np.ndarray) -> None:
    corners, color = scene.pos[scene.face], color[scene.face].mean(1)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    # Weaker than the shades of matplotlib, which would hide the weights.
    color[:, :3] *= 0.72 + 0.28 * np.abs(normal @ [[0.35], [0.72], [0.6]])
    faces = require("mpl_toolkits.mplot3d.art3d", extra="viz").Poly3DCollection
    axes.add_collection3d(faces(corners, facecolors=color, edgecolors="none"))
