"""Vertex normals of meshes, four in five hidden, as sums of the known ones under each family of masks: cosine and CPU seconds.

    python examples/interpolated_normals.py --root DATA/meshes

Nothing is trained: n_i is the direction of sum_j M_ij n_j over the known j. Each mask has one
width, in mean edge lengths of the mesh, chosen for each mesh from the same grid by hiding a quarter
of the known normals and predicting them from the rest.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
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
from vertex_normals import write_blobs

import graphmask as gm
from graphmask.datasets import MeshNormals
from graphmask.masks import Diffusion, ExponentialDistance

WIDTHS = tuple(2 ** (k / 2) for k in range(-4, 11))  # a quarter to 32 edges
GROUPS = ((0, 6_500), (6_500, 15_000), (15_000, 1_000_000))  # numbers of vertices


def affinities(data: Data) -> gm.Topology:
    """The mesh, its edges weaker the longer they are."""
    return gm.Topology(data.edge_index, data.num_nodes, torch.exp(-0.5 * data.edge_weight**2))


def in_edges(data: Data) -> Data:
    """Positions and lengths in units of the mean edge."""
    mean = data.edge_weight.mean()
    return data.update({"pos": data.pos / mean, "edge_weight": data.edge_weight / mean})


def spanning_tree(data: Data) -> gm.Topology:
    """The shortest edges that join all of the mesh."""
    return gm.Topology.from_data(gm.transforms.MinimumSpanningTree()(data))


def all_distances(topology: gm.Topology) -> Tensor:
    """Lengths of the shortest paths between all pairs, by Dijkstra's algorithm."""
    edges = csr_matrix(
        (topology.edge_weight.numpy(), topology.edge_index.numpy()), 2 * [topology.num_nodes]
    )
    return torch.from_numpy(dijkstra(edges).astype(np.float32))


def prepared(
    make: Callable[[float], gm.masks.TopologicalMask],
) -> Callable[[float, gm.Topology], Any]:
    """The operator of a mask that is made for each width."""
    return lambda width, topology: (mask := make(width))(mask.prepare(topology))


class Family(NamedTuple):
    """The operator of a width, the graph that it reads (by default the mesh with its lengths), and the largest that it can."""

    operator: Callable[[float, gm.Topology], Any]
    graph: Callable[[Data], gm.Topology] = gm.Topology.from_data
    largest: int = 1_000_000


FAMILIES = {
    "unmasked": Family(prepared(lambda _: gm.masks.GlobalMask())),
    "walk": Family(
        prepared(lambda w: gm.masks.WalkMask(alpha=partial(Diffusion, scale=w**2))), affinities
    ),
    "power series": Family(
        prepared(lambda w: gm.masks.PowerSeriesMask(8, alpha=partial(Diffusion, scale=w**2))),
        affinities,
    ),
    "diffusion": Family(prepared(lambda w: gm.masks.DiffusionMask(scale=w**2)), affinities),
    "tree": Family(
        prepared(lambda w: gm.masks.TreeDistanceMask(partial(ExponentialDistance, slope=1 / w))),
        spanning_tree,
    ),
    "separator": Family(
        prepared(lambda w: gm.masks.SeparatorMask(partial(ExponentialDistance, slope=1 / w)))
    ),
    "RFD": Family(prepared(lambda w: gm.masks.RFDMask(num_features=256, epsilon=w))),
    "exact paths": Family(
        lambda w, mesh: torch.exp(-mesh.derive(all_distances) / w)[None], largest=GROUPS[0][1]
    ),
}


class Score(NamedTuple):
    """Of a mask on a mesh: mean cosine, CPU seconds from the bare graph to the normals, and to other normals after that."""

    mask: str
    mesh: str
    vertices: int
    width: float
    cosine: float
    first: float
    again: float


def cosine(operator: Any, normal: Tensor, known: Tensor, asked: Tensor) -> float:
    """Mean cosine between true and predicted normals; 0 at a vertex that the mask gives nothing."""
    predicted = (operator @ (normal * known.unsqueeze(1)))[0]
    return float(torch.cosine_similarity(predicted[asked], normal[asked]).mean())


def score(name: str, data: Data) -> Score:
    """Choose the width on known normals, then predict the hidden ones."""
    family = FAMILIES[name]
    tuned = family.graph(data)
    held_out = data.known & (
        torch.rand(data.num_nodes, generator=torch.Generator().manual_seed(0)) < 0.25
    )
    width = max(
        WIDTHS,
        key=lambda width: cosine(
            family.operator(width, tuned), data.normal, data.known & ~held_out, held_out
        ),
    )
    start = time.process_time()
    operator = family.operator(width, family.graph(data))
    reached, first = cosine(operator, data.normal, data.known, data.hidden), time.process_time()
    cosine(operator, data.normal, data.known, data.hidden)
    scored = Score(
        name, data.name, data.num_nodes, width, reached, first - start, time.process_time() - first
    )
    print(
        "{:14}{:24}{:>8}  width {:6.2f}  cosine {:.4f}  {:8.3f} s, again {:.4f} s".format(*scored),
        flush=True,
    )
    return scored


def cell(scored: list[Score]) -> str:
    """Means over meshes."""
    if not scored:
        return "-"
    *_, width, cosines, first, again = zip(*scored, strict=True)
    seconds = f"{np.mean(first):.3f}, {np.mean(again):.4f}"
    return (
        f"{np.mean(cosines):.4f} | {seconds} | {min(width):.2g} to {max(width):.2g} | {len(scored)}"
    )


def main() -> None:
    """Score and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", type=Path, help="folder of meshes (default: a generated one)")
    parser.add_argument(
        "--names", nargs="+", help="of meshes, without the ending of their files (default: all)"
    )
    parser.add_argument(
        "--masks", nargs="+", choices=tuple(FAMILIES), default=list(FAMILIES), help="(default: all)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is hidden (default: 0)")
    parser.add_argument(
        "--smoke", action="store_true", help="a tiny run that only shows that everything works"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        if options.root is None:
            write_blobs(Path(folder), 1, 200 if options.smoke else 5_000)
        dataset = MeshNormals(
            options.root or folder, options.names, seed=options.seed, pre_transform=in_edges
        )
        meshes = sorted(dataset, key=lambda data: data.num_nodes)
        scored = [
            score(name, data)
            for data in meshes
            for name in options.masks
            if data.num_nodes <= FAMILIES[name].largest
        ]
    columns = ("mask", *(f"{low:,} < V <= {high:,}" for low, high in GROUPS))
    table = Table(*columns, title="cosine | CPU seconds, again | widths | meshes")
    for name in options.masks:
        table.add_row(
            name,
            *(
                cell([s for s in scored if s.mask == name and low < s.vertices <= high])
                for low, high in GROUPS
            ),
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
