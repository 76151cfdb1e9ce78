"""Rows as one picture by matplotlib: a line of panels per matrix, a panel per head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from graphmask.extras import require

from .scene import POINTS, Scene, size_of_dots
from .shades import CHOSEN, PLAIN, Shades

# Triangles that are drawn one by one at most: a surface of more is drawn by its vertices.
_TRIANGLES = 80_000

# A row that reaches less far than this share of the whole is drawn with its neighbourhood alone, so
# many times as wide.
_SPECK = 0.08
_MARGIN = 3.0

# matplotlib leaves room for axes, which are not drawn.
_ZOOM = 1.4

# In inches.
_PANEL = 4.6


class Panel(NamedTuple):
    """A row ``[N]`` to draw, and what is written above it."""

    title: str
    weights: np.ndarray
    shades: Shades


def draw(scene: Scene, node: int, lines: Sequence[Sequence[Panel]]) -> Any:
    """A figure of its own, without pyplot.

    No window system is asked for and no global state is left behind.

    Raises:
        MissingExtraError: without matplotlib.
    """
    columns = max(map(len, lines))
    figure = require("matplotlib.figure", extra="viz").Figure(
        figsize=(_PANEL * columns, _PANEL * len(lines)), layout="constrained"
    )
    for number, line in enumerate(lines):
        for place, panel in enumerate(line):
            where = (len(lines), columns, number * columns + place + 1)
            axes = (
                figure.add_subplot(*where, projection="3d", computed_zorder=False)
                if scene.in_space
                else figure.add_subplot(*where)
            )
            _draw_panel(figure, axes, scene, node, panel)
    figure.suptitle(scene.title, fontsize=10)
    return figure


def _draw_panel(figure: Any, axes: Any, scene: Scene, node: int, panel: Panel) -> None:
    colors = require("matplotlib.colors", extra="viz")
    scale = colors.LinearSegmentedColormap.from_list("weights", panel.shades.scale)
    norm = colors.Normalize(-1 if panel.shades.signed else 0, 1)
    levels = panel.shades.levels(panel.weights)
    reach = scene.reach(node, panel.weights)
    here = (
        scene.near(node, _MARGIN * reach)
        if 0 < reach < _SPECK and not scene.is_surface
        else np.ones(len(levels), bool)
    )
    if scene.is_surface and len(scene.face) <= _TRIANGLES:
        levels[node] = 1
        _draw_triangles(axes, scene, scale(norm(levels)))
    else:
        _draw_points(axes, scene, node, levels, here, scale, norm)
    pos = _turn(scene, scene.pins[[node]]).T
    if scene.in_space:
        x, y, z = _turn(scene, scene.seen_from(node)[None])[0]
        axes.view_init(
            elev=float(np.degrees(np.arcsin(z))), azim=float(np.degrees(np.arctan2(y, x)))
        )
    size = 40 if scene.is_surface else (scene.size * 1.6) ** 2
    face = CHOSEN if scene.in_space else "none"
    axes.scatter(
        *pos,
        s=size,
        c=face,
        edgecolors=CHOSEN,
        linewidths=2,
        marker="D" if scene.in_space else "o",
        zorder=9,
    )
    title = panel.title if here.all() else f"{panel.title}\n{here.sum():,} nodes around it"
    axes.set_title(title, fontsize=8, wrap=True)
    axes.set_axis_off()
    if scene.in_space:
        limits = np.array([axes.get_xlim3d(), axes.get_ylim3d(), axes.get_zlim3d()])
        axes.set_box_aspect(np.maximum(np.ptp(limits, axis=1), 1e-9), zoom=_ZOOM)
    else:
        axes.set_aspect("equal")
    places, texts = panel.shades.ticks()
    shown = require("matplotlib.cm", extra="viz").ScalarMappable(norm, scale)
    figure.colorbar(shown, ax=axes, shrink=0.6, fraction=0.05, pad=0.01).set_ticks(
        places, labels=texts, fontsize=7
    )


def _turn(scene: Scene, pos: np.ndarray) -> np.ndarray:
    """Surfaces stand on their second axis, and matplotlib's pictures on their third."""
    return pos[:, [2, 0, 1]] if scene.is_surface else pos


def _draw_points(
    axes: Any, scene: Scene, node: int, levels: np.ndarray, here: np.ndarray, scale: Any, norm: Any
) -> None:
    pos, options = _turn(scene, scene.pos), {"depthshade": False} if scene.in_space else {}
    if len(scene.edges):
        lines = (
            require("mpl_toolkits.mplot3d.art3d", extra="viz").Line3DCollection
            if scene.in_space
            else _lines_of()
        )
        inside = scene.edges[here[scene.edges].all(1)]
        axes.add_collection(lines(pos[inside], colors="#d3d4dc", linewidths=0.6, zorder=0))
    shown = scene.shown() if here.all() else np.flatnonzero(here)
    shown = shown[levels[shown] == 0]
    area = 0.8 * size_of_dots(len(shown)) ** 2
    axes.scatter(
        *pos[shown].T,
        s=0.3 * area,
        c=PLAIN,
        alpha=scene.haze if here.all() else 1.0,
        linewidths=0,
        zorder=1,
        **options,
    )
    others = np.flatnonzero(levels)
    others = others[others != node][:POINTS]
    # The heaviest last, on top.
    others = others[np.argsort(np.abs(levels[others]), kind="stable")]
    axes.scatter(
        *pos[others].T,
        s=area,
        c=levels[others],
        cmap=scale,
        norm=norm,
        linewidths=0,
        zorder=2,
        **options,
    )
    if scene.in_space:
        axes.auto_scale_xyz(*pos[here].T)
    for name, place in zip(scene.names or (), pos if scene.is_labelled else (), strict=False):
        axes.annotate(name, place, xytext=(5, 5), textcoords="offset points", fontsize=8)


def _lines_of() -> Any:
    return require("matplotlib.collections", extra="viz").LineCollection


def _draw_triangles(axes: Any, scene: Scene, colour: np.ndarray) -> None:
    pos = _turn(scene, scene.pos)
    corners = pos[scene.face]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    light = 0.72 + 0.28 * np.abs(normal @ np.array([0.6, 0.35, 0.72]))
    shaded = colour[scene.face].mean(1)
    shaded[:, :3] *= light[:, None]
    faces = require("mpl_toolkits.mplot3d.art3d", extra="viz").Poly3DCollection(
        corners, facecolors=shaded, edgecolors="none"
    )
    axes.add_collection3d(faces)
    axes.auto_scale_xyz(*pos.T)
