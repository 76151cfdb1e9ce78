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

WIDTHS = tuple(2 ** (k / 2) for k in range(-4, 7))  # a quarter to eight edges
EXACT = 6_500  # vertices up to which all distances are found


def lengths(data: Data) -> gm.Topology:
    """The mesh, its edges as long as they are."""
    return gm.Topology.from_data(data)


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
        shape = (topology.num_nodes, topology.num_nodes)
        self.graph = csr_matrix((topology.edge_weight.numpy(), topology.edge_index.numpy()), shape)
        return self

    def __matmul__(self, x: Tensor) -> Tensor:
        known = x.any(1).nonzero().squeeze(1)
        distance = torch.from_numpy(dijkstra(self.graph, indices=known.numpy()))
        return (torch.exp(-distance / self.width).T @ x[known].double()).float()[None]


class Family(NamedTuple):
    """A mask of each width, and the graph that it reads."""

    mask: Callable[[float], Any]
    graph: Callable[[Data], gm.Topology] = affinities
    largest: float = float("inf")


FAMILIES = {
    "unmasked": Family(lambda _: gm.masks.GlobalMask()),
    "walk": Family(lambda width: gm.masks.WalkMask(hops=8, alpha=partial(Diffusion, scale=width**2))),
    "power series": Family(lambda width: gm.masks.PowerSeriesMask(order=8, alpha=partial(Diffusion, scale=width**2))),
    "exact shortest paths": Family(ShortestPaths, lengths, EXACT),
}


class Score(NamedTuple):
    """Of a family on a mesh."""

    mesh: str
    vertices: int
    width: float
    cosine: float
    seconds: float


def cosine(operator: Any, normal: Tensor, known: Tensor, asked: Tensor) -> float:
    """Mean cosine between true and predicted normals; 0 at a vertex that the mask gives nothing."""
    predicted = (operator @ (normal * known.unsqueeze(1)))[0]
    return float(torch.cosine_similarity(predicted[asked], normal[asked]).mean())


def score(family: Family, data: Data) -> Score:
    """Choose the width on known normals, then predict the hidden ones: timed from a bare graph to the prediction."""
    tuned = family.graph(data)
    held_out = data.known & (torch.rand(data.num_nodes, generator=torch.Generator().manual_seed(0)) < 0.25)

    def of_width(width: float) -> float:
        mask = family.mask(width)
        return cosine(mask(mask.prepare(tuned)), data.normal, data.known & ~held_out, held_out)

    width = max(WIDTHS, key=of_width)
    bare, mask = family.graph(data), family.mask(width)
    start = time.perf_counter()
    reached = cosine(mask(mask.prepare(bare)), data.normal, data.known, data.hidden)
    return Score(data.name, data.num_nodes, width, reached, time.perf_counter() - start)


def in_edges(data: Data) -> Data:
    """Lengths in units of the mean edge."""
    mean = data.edge_weight.mean()
    return data.update({"pos": data.pos / mean, "edge_weight": data.edge_weight / mean})


def write_torus(folder: str, name: str, around: int, across: int) -> None:
    """A bumpy torus."""
    u, v = (2 * np.pi * np.arange(n) / n for n in (around, across))
    u, v = np.meshgrid(u, v, indexing="ij")
    radius = 0.4 + 0.05 * np.sin(7 * u) * np.cos(5 * v)
    points = np.stack([(1 + radius * np.cos(v)) * np.cos(u), (1 + radius * np.cos(v)) * np.sin(u), radius * np.sin(v)], -1)
    a = np.arange(around * across).reshape(around, across)
    b, c = np.roll(a, -1, 0), np.roll(a, -1, 1)
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (b, np.roll(b, -1, 1), c))])
    np.savez(Path(folder, f"{name}.npz"), v=points.reshape(-1, 3), f=faces)


def meshes(options: argparse.Namespace) -> MeshNormals:
    """The meshes asked for, or two generated ones."""
    read = partial(MeshNormals, names=options.names, hidden=options.hidden, seed=options.seed, pre_transform=in_edges)
    if options.root is not None:
        return read(options.root)
    with tempfile.TemporaryDirectory() as folder:
        for name, around, across in (("small torus", 24, 12), ("torus", 30, 20) if options.smoke else ("torus", 120, 60)):
            write_torus(folder, name, around, across)
        return read(folder)


def score_all(dataset: MeshNormals, families: list[str]) -> Iterator[tuple[str, Score]]:
    """Every family on every mesh that is small enough for it."""
    for data in sorted(dataset, key=lambda data: data.num_nodes):
        for name in families:
            if data.num_nodes <= FAMILIES[name].largest:
                scored = score(FAMILIES[name], data)
                print(f"{name:22}{data.name:24}{scored.vertices:>8}  cosine {scored.cosine:.4f}  {scored.seconds:.3f} s", flush=True)
                yield name, scored


def table(scores: list[tuple[str, Score]], groups: list[int]) -> Table:
    """Mean cosine, mean seconds and the range of widths by family and size of the mesh."""
    shown = Table("mask", title="Cosine of the hidden normals | seconds from the bare graph | widths chosen")
    bounds = list(zip([0, *groups], [*groups, float("inf")], strict=True))
    for low, high in bounds:
        count = len({each.mesh for _, each in scores if low < each.vertices <= high})
        shown.add_column(f"{low:,} < V" + (f" <= {high:,}" if high < float("inf") else "") + f" ({count})", justify="right")
    for name in dict.fromkeys(name for name, _ in scores):
        shown.add_row(name, *(_cell([s for n, s in scores if n == name and low < s.vertices <= high]) for low, high in bounds))
    return shown


def _cell(scores: list[Score]) -> str:
    if not scores:
        return "-"
    cosines, seconds, widths = ([each[k] for each in scores] for k in (3, 4, 2))
    return f"{np.mean(cosines):.4f} | {np.mean(seconds):.3f} | {min(widths):.2g} to {max(widths):.2g}"


def main() -> None:
    """Score and report."""
    style = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], formatter_class=style)
    parser.add_argument("--root", type=Path, help="folder of meshes (default: generated ones)")
    parser.add_argument("--names", nargs="+", help="of the meshes, without the ending of their files (default: all)")
    parser.add_argument("--masks", nargs="+", choices=tuple(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--groups", nargs="+", type=int, default=[6_500, 15_000], help="numbers of vertices that part the table")
    parser.add_argument("--hidden", type=float, default=0.8, help="share of the normals that are hidden")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a tiny run that only shows that everything works")
    options = parser.parse_args()
    with torch.no_grad():
        scores = list(score_all(meshes(options), options.masks))
    Console().print(table(scores, options.groups))


if __name__ == "__main__":
    main()
