"""Vertex normals of meshes, four in five hidden, as sums of the known ones under each family of masks: cosine and seconds.

    python examples/vertex_normals.py --root DATA/meshes

Nothing is trained: n_i is the direction of sum_j M_ij n_j over the known j. Each mask has one width, in mean edge lengths of
the mesh, chosen for each mesh from the same grid by hiding a quarter of the known normals and predicting them from the rest.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from torch import Tensor
from torch_geometric.data import Data

import graphmask as gm
from graphmask.datasets import MeshNormals
from graphmask.masks import Diffusion

WIDTHS = tuple(2 ** (k / 2) for k in range(-4, 11))  # a quarter to 32 edges
GROUPS = ((0, 6_500), (6_500, 15_000), (15_000, 1_000_000))  # numbers of vertices


def affinities(data: Data) -> gm.Topology:
    """The mesh, its edges weaker the longer they are."""
    return gm.Topology(data.edge_index, data.num_nodes, torch.exp(-0.5 * data.edge_weight**2))


class ShortestPaths:
    """exp(-d / width) for all pairs, from Dijkstra's algorithm at every known vertex: what fast masks are measured against."""

    def __init__(self, width: float) -> None:
        self.width = width

    def prepare(self, topology: gm.Topology) -> gm.Topology:
        return topology

    def __call__(self, topology: gm.Topology) -> ShortestPaths:
        self.graph = csr_matrix((topology.edge_weight.numpy(), topology.edge_index.numpy()), 2 * [topology.num_nodes])
        return self

    def __matmul__(self, x: Tensor) -> Tensor:
        known = x.any(1).nonzero().squeeze(1)
        distance = torch.from_numpy(dijkstra(self.graph, indices=known.numpy()))
        return (torch.exp(-distance / self.width).T @ x[known].double()).float()[None]


class Family(NamedTuple):
    """A mask of each width, the graph that it reads (by default the mesh with its lengths), and the largest that it can."""

    mask: Callable[[float], Any]
    graph: Callable[[Data], gm.Topology] = gm.Topology.from_data
    largest: int = 1_000_000


FAMILIES = {
    "unmasked": Family(lambda _: gm.masks.GlobalMask()),
    "walk": Family(lambda width: gm.masks.WalkMask(hops=8, alpha=partial(Diffusion, scale=width**2)), affinities),
    "power series": Family(lambda width: gm.masks.PowerSeriesMask(8, alpha=partial(Diffusion, scale=width**2)), affinities),
    "exact paths": Family(ShortestPaths, largest=GROUPS[0][1]),
}


class Score(NamedTuple):
    """Of a mask on a mesh."""

    mask: str
    mesh: str
    vertices: int
    width: float
    cosine: float
    seconds: float


def cosine(operator: Any, normal: Tensor, known: Tensor, asked: Tensor) -> float:
    """Mean cosine between true and predicted normals; 0 at a vertex that the mask gives nothing."""
    predicted = (operator @ (normal * known.unsqueeze(1)))[0]
    return float(torch.cosine_similarity(predicted[asked], normal[asked]).mean())


def score(name: str, data: Data) -> Score:
    """Choose the width on known normals, then predict the hidden ones: timed from a bare graph to the prediction."""
    family = FAMILIES[name]
    tuned = family.graph(data)
    held_out = data.known & (torch.rand(data.num_nodes, generator=torch.Generator().manual_seed(0)) < 0.25)

    def of_width(width: float) -> float:
        mask = family.mask(width)
        return cosine(mask(mask.prepare(tuned)), data.normal, data.known & ~held_out, held_out)

    width = max(WIDTHS, key=of_width)
    start, mask = time.perf_counter(), family.mask(width)
    reached = cosine(mask(mask.prepare(family.graph(data))), data.normal, data.known, data.hidden)
    return Score(name, data.name, data.num_nodes, width, reached, time.perf_counter() - start)


def scores(dataset: MeshNormals, families: list[str]) -> Iterator[Score]:
    """Every family on every mesh that is small enough for it."""
    for data in sorted(dataset, key=lambda data: data.num_nodes):
        for name in families:
            if data.num_nodes <= FAMILIES[name].largest:
                scored = score(name, data)
                print("{:14}{:24}{:>8}  width {:6.2f}  cosine {:.4f}  {:8.3f} s".format(*scored), flush=True)
                yield scored


def in_edges(data: Data) -> Data:
    """Positions and lengths in units of the mean edge."""
    mean = data.edge_weight.mean()
    return data.update({"pos": data.pos / mean, "edge_weight": data.edge_weight / mean})


def write_torus(folder: str, around: int, across: int) -> None:
    """A bumpy torus."""
    u, v = np.meshgrid(*(2 * np.pi * np.arange(n) / n for n in (around, across)), indexing="ij")
    radius = 0.4 + 0.05 * np.sin(7 * u) * np.cos(5 * v)
    rim = 1 + radius * np.cos(v)
    points = np.stack([rim * np.cos(u), rim * np.sin(u), radius * np.sin(v)], axis=-1).reshape(-1, 3)
    a = np.arange(around * across).reshape(around, across)
    b, c, d = np.roll(a, -1, 0), np.roll(a, -1, 1), np.roll(a, (-1, -1), (0, 1))
    faces = np.concatenate([np.stack(corners, axis=-1).reshape(-1, 3) for corners in ((a, b, c), (b, d, c))])
    np.savez(Path(folder, f"torus-{around}x{across}.npz"), v=points, f=faces)


def table(scored: list[Score]) -> Table:
    """Mean cosine and seconds, and the widths, by mask and number of vertices."""
    shown = Table("mask", *(f"{low:,} < V <= {high:,}" for low, high in GROUPS), title="cosine | seconds | widths | meshes")
    for name in dict.fromkeys(each.mask for each in scored):
        shown.add_row(
            name, *(_cell([s for s in scored if s.mask == name and low < s.vertices <= high]) for low, high in GROUPS)
        )
    return shown


def _cell(scored: list[Score]) -> str:
    if not scored:
        return "-"
    *_, width, cosines, seconds = zip(*scored, strict=True)
    return f"{np.mean(cosines):.4f} | {np.mean(seconds):.3f} | {min(width):.2g} to {max(width):.2g} | {len(scored)}"


def main() -> None:
    """Score and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", type=Path, help="folder of meshes (default: generated ones)")
    parser.add_argument("--names", nargs="+", help="of meshes, without the ending of their files (default: all)")
    parser.add_argument("--masks", nargs="+", choices=tuple(FAMILIES), default=list(FAMILIES), help="(default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of what is hidden (default: 0)")
    parser.add_argument("--smoke", action="store_true", help="a tiny run that only shows that everything works")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        if options.root is None:
            write_torus(folder, *((24, 12) if options.smoke else (120, 60)))
        dataset = MeshNormals(options.root or folder, options.names, seed=options.seed, pre_transform=in_edges)
        scored = list(scores(dataset, options.masks))
    Console(width=140).print(table(scored))


if __name__ == "__main__":
    main()
