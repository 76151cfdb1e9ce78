"""The pictures of README.md and docs/concepts.md.

Whom a node attends to, hops of walks, executions, a batch.

python examples/draw_pages.py --out docs/pictures
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mask_painting import POSITIVE, quantise, scale_of
from mask_scenes import cloud, knot
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch_geometric.data import Batch, Data

import graphmask as gm

INK, PALE, WARM, COLD = "#1f2933", "#d9dde0", "#e8743f", "#4fa8b8"


def rows(smoke: bool) -> Figure:
    """A row of three masks on a mesh.

    The same node, the same colours from 0 to the largest entry of another node.
    """
    scene = knot(5 if smoke else 14)
    wide = partial(gm.masks.Diffusion, scale=6.0)
    masks = {
        "GlobalMask(): no mask": gm.masks.GlobalMask(),
        "WalkMask(hops=8)": gm.masks.WalkMask(hops=8, alpha=wide),
        "DiffusionMask(scale=60)": gm.masks.DiffusionMask(scale=60.0),
    }
    figure = Figure(figsize=(9, 2.9))
    for place, (name, mask) in enumerate(masks.items()):
        with torch.no_grad():
            row = mask(mask.prepare(scene.topology)).rows(torch.tensor([scene.node]))[0, 0]
        axes = figure.add_axes((0.333 * place, -0.07, 0.333, 1.05), projection="3d")
        scene.paint(axes, scene, scale_of(row, scene.node).to_rgba(row.numpy()))
        axes.set_box_aspect(np.ptp(scene.topology.pos.numpy(), axis=0), zoom=1.15)
        figure.text(0.333 * place + 0.167, 0.93, name, ha="center", family="monospace", fontsize=10)
    return figure


def hops(smoke: bool) -> Figure:
    """A row of W^t for several t: where walks of t hops end."""
    scene = cloud(9 if smoke else 13)
    walks = gm.walks.ResampledWalks(budget=512, hops=8)(scene.topology)
    figure = Figure(figsize=(9, 2.1), layout="constrained")
    for place, hop in enumerate((0, 1, 2, 4, 8)):
        chosen = (walks.row == scene.node) & (walks.hop == hop)
        row = torch.zeros(scene.topology.num_nodes).index_add(
            0, walks.col[chosen], walks.weight[chosen]
        )
        axes = figure.add_subplot(1, 5, place + 1, title=f"$t = {hop}$")
        scene.paint(axes, scene, POSITIVE((row / row.max()).numpy()))
    return figure


def executions(_: bool) -> Figure:
    """What each execution builds and multiplies."""
    figure = Figure(figsize=(9, 2.9))
    for place, (name, (caption, paint)) in enumerate(EXECUTIONS.items()):
        axes = figure.add_axes(
            (0.02 + 0.333 * place, 0.12, 0.3, 0.74), aspect="equal", xlim=(0, 12), ylim=(0, 10)
        )
        paint(axes)
        axes.set_axis_off()
        figure.text(
            0.17 + 0.333 * place, 0.91, name, ha="center", fontsize=12, weight="bold", color=INK
        )
        figure.text(0.17 + 0.333 * place, 0.03, caption, ha="center", fontsize=9, color=INK)
    return figure


def _box(
    axes: Any, x: float, y: float, width: float, height: float, colour: str, text: str = ""
) -> None:
    axes.add_patch(Rectangle((x, y), width, height, facecolor=colour, edgecolor=INK, linewidth=0.8))
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9, color=INK)


def _lifted(axes: Any) -> None:
    _box(axes, 0.3, 2, 6, 6, "none", "M, known by\nits products")
    axes.text(6.9, 5, "@", ha="center", va="center", fontsize=12, color=INK)
    _box(axes, 7.6, 2, 3.4, 6, WARM, "$\\phi(K)$\n$\\otimes$\n[V, 1]")


def _pairs(axes: Any) -> None:
    _box(axes, 3, 2, 6, 6, "none")
    place = (
        np.random.default_rng(0).random((16, 16))
        * (1 + np.abs(np.subtract.outer(range(16), range(16))))
        < 0.55
    )
    for i, j in zip(*np.nonzero(place | np.eye(16, dtype=bool)), strict=True):
        _box(axes, 3 + 6 * j / 16, 8 - 6 * (i + 1) / 16, 6 / 16, 6 / 16, COLD)


def _dense(axes: Any) -> None:
    _box(axes, 3, 2, 6, 6, "none")
    for start, size in ((0, 1.6), (1.6, 2.4), (4, 0.9), (4.9, 1.1)):
        _box(axes, 3 + start, 8 - start - size, size, size, COLD)


def batch(_: bool) -> Figure:
    """The mask of three graphs alone, and of their batch.

    Blocks on the diagonal, nothing in between.
    """
    graphs = [_chain(6, closed=True), _chain(4), _chain(9, closed=True)]
    mask = gm.masks.PowerSeriesMask(hops=3, alpha=gm.masks.Diffusion)
    blocks = [_dense_mask(mask, graph) for graph in graphs]
    panels = (figure := Figure(figsize=(9, 2.9), layout="constrained")).subplots(
        1, 5, width_ratios=[6, 4, 9, 2, 19]
    )
    top = max(float(block.max()) for block in blocks)
    for axes, block, name in zip(
        panels, blocks, ("ring of 6", "path of 4", "ring of 9"), strict=False
    ):
        axes.imshow(block, cmap=POSITIVE, vmin=0, vmax=top)
        axes.set_title(name, fontsize=9)
    panels[3].text(0.5, 0.5, "→", ha="center", va="center", fontsize=22)
    panels[4].imshow(
        _dense_mask(mask, Batch.from_data_list(graphs)), cmap=POSITIVE, vmin=0, vmax=top
    )
    panels[4].set_title("their batch: one graph of 19 nodes", fontsize=9)
    for axes in panels:
        axes.set(xticks=[], yticks=[])
    panels[3].set_axis_off()
    return figure


def _dense_mask(mask: gm.masks.TopologicalMask, data: Data) -> Tensor:
    with torch.no_grad():
        return mask(gm.Topology.from_data(data)).to_dense()[0]


def _chain(size: int, closed: bool = False) -> Data:
    step = torch.stack([torch.arange(size), (torch.arange(size) + 1) % size])[
        :, : size if closed else size - 1
    ]
    return Data(edge_index=torch.cat([step, step.flip(0)], 1), num_nodes=size)


EXECUTIONS = {
    "Lifted": ("multiply N x m(d + 1) columns by M", _lifted),
    "Pairs": ("score only the stored pairs (i, j)", _pairs),
    "Dense": ("small graphs block by block", _dense),
}
PICTURES: dict[str, Callable[[bool], Figure]] = {
    "rows": rows,
    "hops": hops,
    "executions": executions,
    "batch": batch,
}


def main() -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--out", type=Path, default=Path("runs/pages"), help="folder of the pictures"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="tiny graphs, pictures are thrown away"
    )
    asked = parser.parse_args()
    out = Path(tempfile.mkdtemp()) if asked.smoke else asked.out
    out.mkdir(parents=True, exist_ok=True)
    for name, make in PICTURES.items():
        size = (out / f"{name}.png").write_bytes(quantise(make(asked.smoke)))
        print(f"{out / name}.png, {size / 1024:.0f} KiB", flush=True)


if __name__ == "__main__":
    main()
