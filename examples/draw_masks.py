"""A row of every mask on a grid and on a mesh: the pictures of docs/families.

    python examples/draw_masks.py --out docs/families
    python examples/draw_masks.py --masks walk,diffusion --mesh bunny.npz

A row costs one product with the mask; no N x N matrix is built.
"""

from __future__ import annotations

import argparse
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from mask_painting import DPI, quantise, scale_of
from mask_scenes import Scene, edge_lengths, knot, make_scenes, read_mesh
from matplotlib.figure import Figure
from torch import Tensor

import graphmask as gm

SIDE, AROUND = 33, 12
WIDTH, HEIGHT = 900, 400


class Picture(NamedTuple):
    """The name of a picture, its mask on a scene, and the names of its scenes."""

    name: str
    make: Callable[[Scene], gm.masks.TopologicalMask]
    scenes: tuple[str, ...] = ("grid", "mesh")


def toeplitz(scene: Scene) -> gm.masks.ToeplitzMask:
    side = scene.side
    mask = gm.masks.ToeplitzMask((side, side))
    step = torch.arange(1 - side, side)
    along, across = step[:, None] + step, step[:, None] - step
    mask.raw.data[0] = -((along / 14) ** 2) - (across / 5) ** 2
    return mask


def shortest_path(_: Scene) -> gm.masks.ShortestPathMask:
    mask = gm.masks.ShortestPathMask(hops=6)
    mask.alpha.value.data = torch.tensor([[1.0, 0.8, 0.4, -0.3, -0.5, -0.1, 0.2]])
    return mask


def rfd(scene: Scene) -> gm.masks.RFDMask:
    """A reach of two edges, with enough features for a single row."""
    pos, reach = scene.topology.pos, 2 * float(edge_lengths(scene.topology).mean())
    return gm.masks.RFDMask(2048, epsilon=reach, scale=0.03 * len(pos), dim=pos.shape[1])


def fourier(scene: Scene) -> gm.masks.FourierMask:
    pos = scene.topology.pos
    return gm.masks.FourierMask(num_features=2048, length=float(pos.std()), dim=pos.shape[1])


def kronecker(scene: Scene) -> gm.masks.KroneckerMask:
    columns = gm.masks.CausalMask(decay=0.8, length=scene.side)
    return gm.masks.KroneckerMask(columns, gm.masks.GridDiffusionMask(scene.side, scale=4.0))


def grid_diffusion(scene: Scene) -> gm.masks.GridDiffusionMask:
    return gm.masks.GridDiffusionMask((scene.side, scene.side), scale=5.0)


WIDE = partial(gm.masks.Diffusion, scale=6.0)
DECAY = partial(gm.masks.ExponentialDistance, slope=0.2)

PICTURES = (
    Picture("global", lambda _: gm.masks.GlobalMask()),
    Picture("power_series", lambda _: gm.masks.PowerSeriesMask(hops=16, alpha=WIDE)),
    Picture("walk", lambda _: gm.masks.WalkMask(hops=8, alpha=WIDE)),
    Picture("grf", lambda _: gm.masks.GRFMask(hops=8, alpha=WIDE)),
    Picture("stitched", lambda _: gm.masks.StitchedMask(degree=2, hops=4, alpha=WIDE)),
    Picture(
        "algebra", lambda _: 0.01 * gm.masks.GlobalMask() + gm.masks.WalkMask(hops=8, alpha=WIDE)
    ),
    Picture("hadamard", lambda _: gm.masks.CausalMask() * gm.masks.WalkMask(hops=8, alpha=WIDE)),
    Picture("random_walk_kernel", lambda _: gm.masks.RandomWalkKernelMask(hops=4)),
    Picture("shortest_path", shortest_path),
    Picture("separator", lambda _: gm.masks.SeparatorMask(DECAY), ("lengths", "mesh lengths")),
    Picture("tree_distance", lambda _: gm.masks.TreeDistanceMask(DECAY), ("tree", "mesh tree")),
    Picture("diffusion", lambda _: gm.masks.DiffusionMask(scale=20.0)),
    Picture("degree", lambda _: gm.masks.DegreeMask(), ("cloud",)),
    Picture("rfd", rfd),
    Picture("fourier", fourier),
    Picture("causal", lambda _: gm.masks.CausalMask(decay=0.99), ("grid",)),
    Picture("toeplitz", toeplitz, ("grid",)),
    Picture("grid_diffusion", grid_diffusion, ("grid",)),
    Picture("kronecker", kronecker, ("grid",)),
    Picture("hypercube", lambda _: gm.masks.HypercubeMask(scale=0.4), ("power of two",)),
)


def row_of(picture: Picture, scene: Scene) -> tuple[Tensor, str]:
    """The row of the node in the first head, and the name of the mask."""
    mask = picture.make(scene)
    with torch.no_grad():
        operator = mask(mask.prepare(scene.topology))
        return operator.rows(torch.tensor([scene.node]))[0, 0], repr(mask)


def draw(picture: Picture, scenes: Sequence[Scene]) -> bytes:
    """Draw a PNG with a panel per scene."""
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI))
    left = 0.02 if len(scenes) > 1 else 0.28
    for index, scene in enumerate(scenes):
        row, name = row_of(picture, scene)
        scale, start = scale_of(row, scene.node), left + 0.5 * index
        axes = figure.add_axes((start, 0.03, 0.38, 0.86), projection="3d" if scene.solid else None)
        scene.paint(axes, scene, scale.to_rgba(row.numpy()))
        bar = figure.colorbar(scale, cax=figure.add_axes((start + 0.39, 0.12, 0.012, 0.68)))
        bar.ax.tick_params(labelsize=7)
    figure.suptitle(textwrap.fill(name, 110), fontsize=9, family="monospace", y=0.975)
    return quantise(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--masks", help="names of pictures, such as walk,grf (default: all)")
    add("--mesh", type=Path, help="a mesh file (default: a tube round a knot)")
    add("--out", type=Path, default=Path("runs/masks"), help="folder of the pictures")
    add("--smoke", action="store_true", help="tiny graphs; pictures are not kept")
    options = parser.parse_args()
    side, around = (9, 5) if options.smoke else (SIDE, AROUND)
    pictures = {picture.name: picture for picture in PICTURES}
    names = options.masks.split(",") if options.masks else list(pictures)
    if unknown := set(names) - set(pictures):
        parser.error(f"--masks: expected {', '.join(pictures)}, got {', '.join(sorted(unknown))}")
    scenes = make_scenes(side, read_mesh(options.mesh) if options.mesh else knot(around))
    out = Path(tempfile.mkdtemp()) if options.smoke else options.out.expanduser()
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        png = draw(pictures[name], [scenes[scene] for scene in pictures[name].scenes])
        (out / f"{name}.png").write_bytes(png)
        print(f"{out / name}.png, {len(png) / 1024:.0f} KiB", flush=True)


if __name__ == "__main__":
    main()
