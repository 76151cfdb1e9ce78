"""The pictures of README.md and docs/concepts.md: rows of masks, walks, executions, a batch.

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

INK, WARM, COLD = "#1f2933", "#e8743f", "#4fa8b8"


def rows(smoke: bool) -> Figure:
    scene = knot(5 if smoke else 14)
    wide = partial(gm.masks.Diffusion, scale=6.0)
    masks = {
        "GlobalMask()": gm.masks.GlobalMask(),
        "WalkMask(hops=8)": gm.masks.WalkMask(hops=8, alpha=wide),
        "DiffusionMask(scale=60)": gm.masks.DiffusionMask(scale=60.0),
    }
    figure = Figure(figsize=(9, 2.9))
    for index, (name, mask) in enumerate(masks.items()):
        with torch.no_grad():
            row = mask(mask.prepare(scene.topology)).rows(torch.tensor([scene.node]))[0, 0]
        axes = figure.add_axes((0.333 * index, -0.07, 0.333, 1.05), projection="3d")
        scene.paint(axes, scene, scale_of(row, scene.node).to_rgba(row.numpy()))
        axes.set_box_aspect(np.ptp(scene.topology.pos.numpy(), axis=0), zoom=1.15)
        figure.text(0.333 * index + 0.167, 0.93, name, ha="center", family="monospace", fontsize=10)
    return figure


def hops(smoke: bool) -> Figure:
    """A row of W^t for several t: the end points of walks of t hops."""
    scene = cloud(9 if smoke else 13)
    walks = gm.walks.ResampledWalks(budget=512, hops=8)(scene.topology)
    figure = Figure(figsize=(9, 2.1), layout="constrained")
    for index, hop in enumerate((0, 1, 2, 4, 8)):
        chosen = (walks.row == scene.node) & (walks.hop == hop)
        row = torch.zeros(scene.topology.num_nodes)
        row.index_add_(0, walks.col[chosen], walks.weight[chosen])
        axes = figure.add_subplot(1, 5, index + 1, title=f"$t = {hop}$")
        scene.paint(axes, scene, POSITIVE((row / row.max()).numpy()))
    return figure


def executions(_: bool) -> Figure:
    """The matrices that each execution builds and multiplies."""
    figure = Figure(figsize=(9, 2.9))
    for index, (name, (caption, paint)) in enumerate(EXECUTIONS.items()):
        left, style = 0.02 + 0.333 * index, {"ha": "center", "color": INK}
        box = (left, 0.12, 0.3, 0.74)
        axes = figure.add_axes(box, aspect="equal", xlim=(0, 12), ylim=(0, 10))
        paint(axes)
        axes.set_axis_off()
        figure.text(left + 0.15, 0.91, name, fontsize=12, weight="bold", **style)
        figure.text(left + 0.15, 0.03, caption, fontsize=9, **style)
    return figure


def _box(axes: Any, x: float, y: float, width: float, height: float, *style: str) -> None:
    colour, text = (*style, "")[:2]
    axes.add_patch(Rectangle((x, y), width, height, facecolor=colour, edgecolor=INK, linewidth=0.8))
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9, color=INK)


def _lifted(axes: Any) -> None:
    _box(axes, 0.3, 2, 6, 6, "none", "M, known by\nits products")
    axes.text(6.9, 5, "@", ha="center", va="center", fontsize=12, color=INK)
    _box(axes, 7.6, 2, 3.4, 6, WARM, "$\\phi(K)$\n$\\otimes$\n[V, 1]")


def _pairs(axes: Any) -> None:
    _box(axes, 3, 2, 6, 6, "none")
    distance = np.abs(np.subtract.outer(range(16), range(16)))
    stored = np.random.default_rng(0).random((16, 16)) * (1 + distance) < 0.55
    for i, j in zip(*np.nonzero(stored | (distance == 0)), strict=True):
        _box(axes, 3 + 6 * j / 16, 8 - 6 * (i + 1) / 16, 6 / 16, 6 / 16, COLD)


def _dense(axes: Any) -> None:
    _box(axes, 3, 2, 6, 6, "none")
    for start, size in ((0, 1.6), (1.6, 2.4), (4, 0.9), (4.9, 1.1)):
        _box(axes, 3 + start, 8 - start - size, size, size, COLD)


def batch(_: bool) -> Figure:
    """The masks of three graphs, and the block-diagonal mask of their batch."""
    graphs = [_chain(6, closed=True), _chain(4), _chain(9, closed=True)]
    mask = gm.masks.PowerSeriesMask(hops=3, alpha=gm.masks.Diffusion)
    blocks = [_dense_mask(mask, graph) for graph in graphs]
    blocks.insert(3, None)
    blocks.append(_dense_mask(mask, Batch.from_data_list(graphs)))
    names = ("ring of 6", "path of 4", "ring of 9", "", "their batch: one graph of 19 nodes")
    figure = Figure(figsize=(9, 2.9), layout="constrained")
    panels = figure.subplots(1, 5, width_ratios=[6, 4, 9, 2, 19])
    largest = float(blocks[-1].max())
    for axes, block, name in zip(panels, blocks, names, strict=True):
        axes.set_title(name, fontsize=9)
        if block is not None:
            axes.imshow(block, cmap=POSITIVE, vmin=0, vmax=largest)
    panels[3].text(0.5, 0.5, "→", ha="center", va="center", fontsize=22)
    for axes in panels:
        axes.set(xticks=[], yticks=[])
    panels[3].set_axis_off()
    return figure


def _dense_mask(mask: gm.masks.TopologicalMask, data: Data) -> Tensor:
    with torch.no_grad():
        return mask(gm.Topology.from_data(data)).to_dense()[0]


def _chain(size: int, closed: bool = False) -> Data:
    step = torch.stack([torch.arange(size), (torch.arange(size) + 1) % size])
    step = step if closed else step[:, :-1]
    return Data(edge_index=torch.cat([step, step.flip(0)], 1), num_nodes=size)


EXECUTIONS = {
    "Lifted": ("multiply N x m(d + 1) columns by M", _lifted),
    "Pairs": ("score only the stored pairs (i, j)", _pairs),
    "Dense": ("small graphs block by block", _dense),
}
PICTURES: tuple[Callable[[bool], Figure], ...] = (rows, hops, executions, batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/pages"), help="folder of the pictures")
    add("--smoke", action="store_true", help="tiny graphs; pictures are not kept")
    options = parser.parse_args()
    out = Path(tempfile.mkdtemp()) if options.smoke else options.out.expanduser()
    out.mkdir(parents=True, exist_ok=True)
    for make in PICTURES:
        path = out / f"{make.__name__}.png"
        size = path.write_bytes(quantise(make(options.smoke)))
        print(f"{path}, {size / 1024:.0f} KiB", flush=True)


if __name__ == "__main__":
    main()
