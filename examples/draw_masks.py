"""What one node attends to: a row of every mask on a grid and on a mesh, as the pictures of docs/families.

    python examples/draw_masks.py --out docs/families
    python examples/draw_masks.py --masks walk,diffusion --mesh bunny.npz

A row costs one product with the mask; no N x N matrix is built.
"""

from __future__ import annotations

import argparse
import io
import math
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

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
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

import graphmask as gm
from graphmask.datasets._surfaces import trefoil

SIDE, AROUND = 33, 12
WIDTH, HEIGHT, DPI = 900, 400, 100
COLOURS = 255
LIGHT = np.array([0.4, -0.3, 0.87])
MARK = {"marker": "o", "ms": 10, "mfc": "none", "mec": "#e03c10", "mew": 2.2}
ZERO = "#f4f4f2"
POSITIVE = LinearSegmentedColormap.from_list("row", [ZERO, "#bfe0d8", "#4fa8b8", "#21618c", "#152a5c"])
SIGNED = LinearSegmentedColormap.from_list("signed row", ["#7a1027", "#d6735c", ZERO, "#4f97b8", "#152a5c"])


class Scene(NamedTuple):
    """A graph, the node whose row is shown, and how to paint values on it.

    ``paint(axes, scene, colours [N, 4])`` draws; ``face`` holds the triangles of a mesh.
    """

    topology: gm.Topology
    node: int
    paint: Callable[[Any, Scene, np.ndarray], None]
    solid: bool = False
    face: np.ndarray | None = None

    @property
    def side(self) -> int:
        """Of a grid."""
        return math.isqrt(self.topology.num_nodes)


def pixels(side: int) -> Scene:
    """A grid whose nodes come row by row, each joined with its four neighbours."""
    place = torch.arange(side * side).view(side, side)
    pairs = [(place[1:], place[:-1]), (place[:, 1:], place[:, :-1])]
    one, other = (torch.cat([pair[end].flatten() for pair in pairs]) for end in (0, 1))
    edges = torch.stack([torch.cat([one, other]), torch.cat([other, one])])
    pos = torch.stack([place.flatten() % side, place.flatten() // side], 1).float() / (side - 1)
    return Scene(gm.Topology(edges, side * side, pos=pos), int(place[side // 2, side // 2]), paint_pixels)


def cloud(side: int) -> Scene:
    """The grid with its points moved at random, each joined with its six nearest neighbours."""
    pos = pixels(side).topology.pos
    moved = pos + 0.4 / side * torch.randn(pos.shape, generator=torch.Generator().manual_seed(0))
    data = gm.transforms.KNNGraph(k=6)(Data(pos=moved))
    centre = int((moved - 0.5).norm(dim=1).argmin())
    return Scene(gm.Topology(to_undirected(data.edge_index), len(pos), pos=moved), centre, paint_dots)


def knot(around: int) -> Scene:
    """A tube round a trefoil knot: strands that are near in space are far from each other on the surface."""
    along = 14 * around
    turn, ring = (grid.ravel() for grid in np.meshgrid(np.arange(along), np.arange(around), indexing="ij"))
    pos = trefoil(turn / along, ring / around, np.array([0.5]))
    corner = [((turn + i) % along) * around + (ring + j) % around for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))]
    face = np.concatenate([np.stack([corner[0], corner[i], corner[i + 1]], 1) for i in (1, 2)])
    return mesh(pos, face, int((pos @ np.array([0.02, -0.05, 1.0])).argmax()))


def mesh(pos: np.ndarray, face: np.ndarray, node: int) -> Scene:
    """A triangle mesh."""
    data = Data(pos=torch.from_numpy(pos).float(), face=torch.from_numpy(face.T.astype(np.int64)))
    data = gm.transforms.MeshToGraph()(data)
    return Scene(gm.Topology(data.edge_index, len(pos), pos=data.pos), node, paint_mesh, solid=True, face=face)


def read_mesh(path: Path) -> Scene:
    """A mesh from a file: ``.npz`` with vertices ``v`` and triangles ``f``, or what trimesh reads."""
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            pos, face = arrays["v"], arrays["f"]
    else:
        import trimesh

        loaded = trimesh.load_mesh(path)
        pos, face = np.asarray(loaded.vertices), np.asarray(loaded.faces)
    pos = (pos - pos.mean(0)) / np.abs(pos - pos.mean(0)).max()
    return mesh(pos, face, int((pos @ np.array([0.5, -0.6, 0.6])).argmax()))


def with_lengths(scene: Scene) -> Scene:
    """Edges weighted by their lengths, in units of the mean one."""
    topology = scene.topology
    length = edge_lengths(topology)
    weighted = gm.Topology(topology.edge_index, topology.num_nodes, length / length.mean(), pos=topology.pos)
    return scene._replace(topology=weighted)


def spanned(scene: Scene) -> Scene:
    """The minimum spanning tree of a scene with lengths."""
    topology = scene.topology
    data = Data(edge_index=topology.edge_index, edge_weight=topology.edge_weight, num_nodes=topology.num_nodes)
    tree = gm.transforms.MinimumSpanningTree()(data)
    return scene._replace(topology=gm.Topology(tree.edge_index, topology.num_nodes, tree.edge_weight, pos=topology.pos))


def edge_lengths(topology: gm.Topology) -> Tensor:
    """In the space of ``pos``."""
    source, target = topology.edge_index
    return (topology.pos[source] - topology.pos[target]).norm(dim=1)


def make_scenes(side: int, solid: Scene) -> dict[str, Scene]:
    """All scenes by name."""
    lengths, mesh_lengths = with_lengths(cloud(side)), with_lengths(solid)
    return {
        "grid": pixels(side),
        "power of two": pixels(1 << side.bit_length() - 1),
        "cloud": cloud(side),
        "lengths": lengths,
        "tree": spanned(lengths),
        "mesh": solid,
        "mesh lengths": mesh_lengths,
        "mesh tree": spanned(mesh_lengths),
    }


def paint_pixels(axes: Any, scene: Scene, colours: np.ndarray) -> None:
    """An image."""
    side = scene.side
    axes.imshow(colours.reshape(side, side, 4), interpolation="nearest")
    axes.plot(scene.node % side, scene.node // side, **MARK)
    axes.set_axis_off()


def paint_dots(axes: Any, scene: Scene, colours: np.ndarray) -> None:
    """Points and edges."""
    pos = scene.topology.pos.numpy()
    axes.add_collection(LineCollection(pos[scene.topology.edge_index.T.numpy()], colors="#c9c9c4", linewidths=0.7, zorder=1))
    axes.scatter(*pos.T, s=22, c=colours, edgecolors="#c9c9c4", linewidths=0.3, zorder=2)
    axes.plot(*pos[scene.node], **MARK, zorder=3)
    axes.set_aspect("equal")
    axes.set_axis_off()


def paint_mesh(axes: Any, scene: Scene, colours: np.ndarray) -> None:
    """Shaded triangles, from above."""
    pos, face = scene.topology.pos.numpy(), scene.face
    corners = pos[face]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    light = 0.72 + 0.28 * np.abs(normal @ LIGHT)
    shaded = colours[face].mean(1)
    shaded[:, :3] *= light[:, None]
    axes.add_collection3d(Poly3DCollection(corners, facecolors=shaded, edgecolors=shaded, linewidths=0.2))
    low, high = pos.min(0), pos.max(0)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    axes.set_box_aspect(high - low, zoom=1.2)
    axes.view_init(elev=68, azim=-60)
    # Drawn after the triangles, wherever it lies.
    axes.computed_zorder = False
    axes.plot(*pos[scene.node, :, None], **MARK, zorder=9)
    axes.set_axis_off()


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
    mask = gm.masks.ShortestPathMask(max_hops=6)
    mask.alpha.value.data = torch.tensor([[1.0, 0.8, 0.4, -0.3, -0.5, -0.1, 0.2]])
    return mask


def rfd(scene: Scene) -> gm.masks.RFDMask:
    """Reach of two edges, spread over a few such reaches; many features, so that one row tells of its target."""
    pos = scene.topology.pos
    reach = 2 * float(edge_lengths(scene.topology).mean())
    return gm.masks.RFDMask(num_features=2048, epsilon=reach, scale=0.03 * len(pos), dim=pos.shape[1])


def fourier(scene: Scene) -> gm.masks.FourierMask:
    """The function of the offset that it starts from, before anything is learned."""
    pos = scene.topology.pos
    return gm.masks.FourierMask(num_features=2048, length=float(pos.std()), dim=pos.shape[1])


def kronecker(scene: Scene) -> gm.masks.Kronecker:
    """Causal downwards, diffusing along rows."""
    return gm.masks.Kronecker(gm.masks.CausalMask(decay=0.8, length=scene.side), gm.masks.GridDiffusionMask(scene.side, t=4.0))


WIDE = partial(gm.masks.Diffusion, scale=6.0)
DECAY = partial(gm.masks.ExponentialDistance, slope=0.2)

PAGES = (
    Page("global", lambda _: gm.masks.GlobalMask()),
    Page("power_series", lambda _: gm.masks.PowerSeriesMask(order=16, alpha=WIDE)),
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
    Page("grid_diffusion", lambda scene: gm.masks.GridDiffusionMask((scene.side, scene.side), t=5.0), ("grid",)),
    Page("kronecker", kronecker, ("grid",)),
    Page("hypercube", lambda _: gm.masks.HypercubeMask(t=0.4), ("power of two",)),
)


def row_of(page: Page, scene: Scene) -> tuple[Tensor, str]:
    """The row of the node, in the first head, and how the mask prints."""
    mask = page.make(scene)
    with torch.no_grad():
        operator = mask(mask.prepare(scene.topology))
        return operator.rows(torch.tensor([scene.node]))[0, 0], repr(mask)


def scale_of(row: Tensor, node: int) -> ScalarMappable:
    """Colours of a panel. The node itself, often by far the largest entry, does not stretch the scale."""
    others = row[torch.arange(len(row)) != node]
    bound = float(others.abs().max()) or 1.0
    if bool((row < -1e-6 * bound).any()):
        return ScalarMappable(Normalize(-bound, bound), SIGNED)
    low = float(others.min())
    # Rows that are large everywhere would show nothing on a scale from 0.
    return ScalarMappable(Normalize(low if bound / 3 < low < 0.99 * bound else 0, bound), POSITIVE)


def draw(page: Page, scenes: Sequence[Scene]) -> bytes:
    """A PNG with a panel per scene."""
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI))
    left = 0.02 if len(scenes) > 1 else 0.28
    for place, scene in enumerate(scenes):
        row, name = row_of(page, scene)
        scale, start = scale_of(row, scene.node), left + 0.5 * place
        axes = figure.add_axes((start, 0.03, 0.38, 0.86), projection="3d" if scene.solid else None)
        scene.paint(axes, scene, scale.to_rgba(row.numpy()))
        figure.colorbar(scale, cax=figure.add_axes((start + 0.39, 0.12, 0.012, 0.68))).ax.tick_params(labelsize=7)
    figure.suptitle(textwrap.fill(name, 110), fontsize=9, family="monospace", y=0.975)
    return quantise(figure)


def quantise(figure: Figure) -> bytes:
    """A PNG of few colours: a third of the size."""
    raw, small = io.BytesIO(), io.BytesIO()
    figure.set_dpi(DPI)
    FigureCanvasAgg(figure).print_png(raw)
    Image.open(raw).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(small, "PNG", optimize=True)
    return small.getvalue()


def main() -> None:
    """Draw the pictures that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--masks", default="", help="names of pages, such as walk,grf (default: all)")
    parser.add_argument("--mesh", type=Path, help="a mesh file (default: a tube round a knot)")
    parser.add_argument("--out", type=Path, default=Path("runs/masks"), help="folder of the pictures")
    parser.add_argument("--smoke", action="store_true", help="tiny graphs, pictures are thrown away")
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
