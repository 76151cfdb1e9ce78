"""Drawing of rows of masks on grids, clouds and meshes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from PIL import Image
from torch import Tensor

LIGHT = np.array([0.4, -0.3, 0.87])
MARK = {"marker": "o", "ms": 10, "mfc": "none", "mec": "#e03c10", "mew": 2.2}
COLOURS, DPI = 255, 100
ZERO = "#f4f4f2"
POSITIVE = LinearSegmentedColormap.from_list(
    "row", [ZERO, "#bfe0d8", "#4fa8b8", "#21618c", "#152a5c"]
)
SIGNED = LinearSegmentedColormap.from_list(
    "signed row", ["#7a1027", "#d6735c", ZERO, "#4f97b8", "#152a5c"]
)


def paint_pixels(axes: Any, scene: Any, colours: np.ndarray) -> None:
    """Draw a grid as an image."""
    side = scene.side
    axes.imshow(colours.reshape(side, side, 4), interpolation="nearest")
    axes.plot(scene.node % side, scene.node // side, **MARK)
    axes.set_axis_off()


def paint_dots(axes: Any, scene: Any, colours: np.ndarray) -> None:
    """Draw points and edges."""
    pos = scene.topology.pos.numpy()
    axes.add_collection(
        LineCollection(
            pos[scene.topology.edge_index.T.numpy()], colors="#c9c9c4", linewidths=0.7, zorder=1
        )
    )
    axes.scatter(*pos.T, s=22, c=colours, edgecolors="#c9c9c4", linewidths=0.3, zorder=2)
    axes.plot(*pos[scene.node], **MARK, zorder=3)
    axes.set_aspect("equal")
    axes.set_axis_off()


def paint_mesh(axes: Any, scene: Any, colours: np.ndarray) -> None:
    """Draw shaded triangles, from above."""
    pos, face = scene.topology.pos.numpy(), scene.face
    corners = pos[face]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    light = 0.72 + 0.28 * np.abs(normal @ LIGHT)
    shaded = colours[face].mean(1)
    shaded[:, :3] *= light[:, None]
    axes.add_collection3d(
        Poly3DCollection(corners, facecolors=shaded, edgecolors=shaded, linewidths=0.2)
    )
    low, high = pos.min(0), pos.max(0)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    axes.set_box_aspect(high - low, zoom=1.2)
    axes.view_init(elev=68, azim=-60)
    # The mark is drawn after the triangles, wherever it is.
    axes.computed_zorder = False
    axes.plot(*pos[scene.node, :, None], **MARK, zorder=9)
    axes.set_axis_off()


def scale_of(row: Tensor, node: int) -> ScalarMappable:
    """The colour scale of a row, set by its entries without that of the node itself."""
    others = row[torch.arange(len(row)) != node]
    bound = float(others.abs().max()) or 1.0
    if bool((row < -1e-6 * bound).any()):
        return ScalarMappable(Normalize(-bound, bound), SIGNED)
    low = float(others.min())
    # A scale from 0 would hide the differences of rows that are large everywhere.
    return ScalarMappable(Normalize(low if bound / 3 < low < 0.99 * bound else 0, bound), POSITIVE)


def quantise(figure: Figure, dpi: int = DPI) -> bytes:
    """Write a PNG with a palette, a third of the size."""
    raw, small = io.BytesIO(), io.BytesIO()
    figure.set_dpi(dpi)
    FigureCanvasAgg(figure).print_png(raw)
    Image.open(raw).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(
        small, "PNG", optimize=True
    )
    return small.getvalue()
