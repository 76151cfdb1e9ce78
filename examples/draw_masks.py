"""What one node attends to.

A row of every mask on a grid and on a mesh, as the pictures of docs/families.

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


class Page(NamedTuple):
    """A mask, made for a scene, by the name of its page; and the scenes that it is drawn on."""

    name: str
    make: Callable[[Scene], gm.masks.TopologicalMask]
    scenes: tuple[str, ...] = ("grid", "mesh")


def toeplitz(scene: Scene) -> gm.masks.ToeplitzMask:
    """Some function of the offset: far along one diagonal, and not along the other."""
    side = scene.side
    mask = gm.masks.ToeplitzMask((side, side))
    step = torch.arange(1 - side, side)
    along, across = step[:, None] + step, step[:, None] - step
    mask.raw.data[0] = -((along / 14) ** 2) - (across / 5) ** 2
    return mask


def shortest_path(_: Scene) -> gm.masks.ShortestPathMask:
    """Near nodes count, those at three and four hops are subtracted."""
    mask = gm.masks.ShortestPathMask(hops=6)
    mask.alpha.value.data = torch.tensor([[1.0, 0.8, 0.4, -0.3, -0.5, -0.1, 0.2]])
    return mask


def rfd(scene: Scene) -> gm.masks.RFDMask:
    """Reach of two edges, spread over a few such reaches.

    Many features, so that one row tells of its target.
    """
    pos = scene.topology.pos
    reach = 2 * float(edge_lengths(scene.topology).mean())
    return gm.masks.RFDMask(
        num_features=2048, epsilon=reach, scale=0.03 * len(pos), dim=pos.shape[1]
    )


def fourier(scene: Scene) -> gm.masks.FourierMask:
    """The function of the offset that it starts from, before anything is learned."""
    pos = scene.topology.pos
    return gm.masks.FourierMask(num_features=2048, length=float(pos.std()), dim=pos.shape[1])


def kronecker(scene: Scene) -> gm.masks.KroneckerMask:
    """Causal downwards, diffusing along rows."""
    return gm.masks.KroneckerMask(
        gm.masks.CausalMask(decay=0.8, length=scene.side),
        gm.masks.GridDiffusionMask(scene.side, scale=4.0),
    )


WIDE = partial(gm.masks.Diffusion, scale=6.0)
DECAY = partial(gm.masks.ExponentialDistance, slope=0.2)

PAGES = (
    Page("global", lambda _: gm.masks.GlobalMask()),
    Page("power_series", lambda _: gm.masks.PowerSeriesMask(hops=16, alpha=WIDE)),
    Page("walk", lambda _: gm.masks.WalkMask(hops=8, alpha=WIDE)),
    Page("grf", lambda _: gm.masks.GRFMask(hops=8, alpha=WIDE)),
    Page("stitched", lambda _: gm.masks.StitchedMask(degree=2, hops=4, alpha=WIDE)),
    Page("algebra", lambda _: 0.01 * gm.masks.GlobalMask() + gm.masks.WalkMask(hops=8, alpha=WIDE)),
    Page("hadamard", lambda _: gm.masks.CausalMask() * gm.masks.WalkMask(hops=8, alpha=WIDE)),
    Page("random_walk_kernel", lambda _: gm.masks.RandomWalkKernelMask(hops=4)),
    Page("shortest_path", shortest_path),
    Page("separator", lambda _: gm.masks.SeparatorMask(DECAY), ("lengths", "mesh lengths")),
    Page("tree_distance", lambda _: gm.masks.TreeDistanceMask(DECAY), ("tree", "mesh tree")),
    Page("diffusion", lambda _: gm.masks.DiffusionMask(scale=20.0)),
    Page("degree", lambda _: gm.masks.DegreeMask(), ("cloud",)),
    Page("rfd", rfd),
    Page("fourier", fourier),
    Page("causal", lambda _: gm.masks.CausalMask(decay=0.99), ("grid",)),
    Page("toeplitz", toeplitz, ("grid",)),
    Page(
        "grid_diffusion",
        lambda scene: gm.masks.GridDiffusionMask((scene.side, scene.side), scale=5.0),
        ("grid",),
    ),
    Page("kronecker", kronecker, ("grid",)),
    Page("hypercube", lambda _: gm.masks.HypercubeMask(scale=0.4), ("power of two",)),
)


def row_of(page: Page, scene: Scene) -> tuple[Tensor, str]:
    """The row of the node, in the first head, and how the mask prints."""
    mask = page.make(scene)
    with torch.no_grad():
        operator = mask(mask.prepare(scene.topology))
        return operator.rows(torch.tensor([scene.node]))[0, 0], repr(mask)


def draw(page: Page, scenes: Sequence[Scene]) -> bytes:
    """A PNG with a panel per scene."""
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI))
    left = 0.02 if len(scenes) > 1 else 0.28
    for place, scene in enumerate(scenes):
        row, name = row_of(page, scene)
        scale, start = scale_of(row, scene.node), left + 0.5 * place
        axes = figure.add_axes((start, 0.03, 0.38, 0.86), projection="3d" if scene.solid else None)
        scene.paint(axes, scene, scale.to_rgba(row.numpy()))
        figure.colorbar(
            scale, cax=figure.add_axes((start + 0.39, 0.12, 0.012, 0.68))
        ).ax.tick_params(labelsize=7)
    figure.suptitle(textwrap.fill(name, 110), fontsize=9, family="monospace", y=0.975)
    return quantise(figure)


def main() -> None:
    """Draw the pictures that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--masks", default="", help="names of pages, such as walk,grf (default: all)"
    )
    parser.add_argument("--mesh", type=Path, help="a mesh file (default: a tube round a knot)")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/masks"), help="folder of the pictures"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="tiny graphs, pictures are thrown away"
    )
    asked = parser.parse_args()
    side, around = (9, 5) if asked.smoke else (SIDE, AROUND)
    known = {page.name: page for page in PAGES}
    names = asked.masks.split(",") if asked.masks else list(known)
    if unknown := set(names) - set(known):
        parser.error(f"--masks: among {', '.join(known)}, got {', '.join(sorted(unknown))}")
    scenes = make_scenes(side, read_mesh(asked.mesh) if asked.mesh else knot(around))
    out = Path(tempfile.mkdtemp()) if asked.smoke else asked.out
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        picture = draw(known[name], [scenes[scene] for scene in known[name].scenes])
        (out / f"{name}.png").write_bytes(picture)
        print(f"{out / name}.png, {len(picture) / 1024:.0f} KiB", flush=True)


if __name__ == "__main__":
    main()
