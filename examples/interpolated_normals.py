"""Hidden vertex normals as weighted sums of the known ones under each mask: cosine and CPU seconds.

    python examples/interpolated_normals.py --root DATA/meshes

Nothing is trained: n_i is the direction of sum_j M_ij n_j over the known j; four in five are
hidden. Each mask has one width, in mean edge lengths, selected per mesh from the same grid by
predicting a quarter of the known normals from the others.
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

WIDTHS = tuple(2 ** (k / 2) for k in range(-4, 11))  # a quarter to 32 edges
GROUPS = ((0, 6_500), (6_500, 15_000), (15_000, 1_000_000))  # numbers of vertices


def scale_to_edges(data: Data) -> Data:
    """Positions and lengths in units of the mean edge."""
    mean = data.edge_weight.mean()
    return data.update({"pos": data.pos / mean, "edge_weight": data.edge_weight / mean})


def affinities(data: Data) -> gm.Topology:
    """The mesh with weights that decay with the length of edges."""
    return gm.Topology(data.edge_index, data.num_nodes, torch.exp(-0.5 * data.edge_weight**2))


def spanning_tree(data: Data) -> gm.Topology:
    """The minimum spanning tree of the mesh."""
    return gm.Topology.from_data(gm.transforms.MinimumSpanningTree()(data))


def all_distances(data: Data) -> Tensor:
    """Lengths of the shortest paths between all pairs, by Dijkstra's algorithm."""
    edges = (data.edge_weight.numpy(), data.edge_index.numpy())
    distances = dijkstra(csr_matrix(edges, 2 * [data.num_nodes]))
    return torch.from_numpy(distances.astype(np.float32))


class Family(NamedTuple):
    """A mask per width, the graph it reads, and the largest number of vertices."""

    make: Callable[[float], Any]
    graph: Callable[[Data], Any] = gm.Topology.from_data
    largest: int = 1_000_000

    def operator(self, width: float, graph: Any) -> Any:
        """The operator of a width on a graph."""
        mask = self.make(width)
        return mask(mask.prepare(graph)) if isinstance(mask, torch.nn.Module) else mask(graph)


heat = lambda width: partial(gm.masks.Diffusion, scale=width**2)  # noqa: E731
decay = lambda width: partial(gm.masks.ExponentialDistance, slope=1 / width)  # noqa: E731
FAMILIES = {
    "unmasked": Family(lambda w: gm.masks.GlobalMask()),
    "walk": Family(lambda w: gm.masks.WalkMask(alpha=heat(w)), affinities),
    "power series": Family(lambda w: gm.masks.PowerSeriesMask(8, alpha=heat(w)), affinities),
    "diffusion": Family(lambda w: gm.masks.DiffusionMask(scale=w**2), affinities),
    "tree": Family(lambda w: gm.masks.TreeDistanceMask(decay(w)), spanning_tree),
    "separator": Family(lambda w: gm.masks.SeparatorMask(decay(w))),
    "RFD": Family(lambda w: gm.masks.RFDMask(num_features=256, epsilon=w)),
    "exact paths": Family(lambda w: lambda d: torch.exp(-d / w)[None], all_distances, GROUPS[0][1]),
}


def cosine(operator: Any, normal: Tensor, known: Tensor, target: Tensor) -> float:
    predicted = (operator @ (normal * known.unsqueeze(1)))[0]
    return float(torch.cosine_similarity(predicted[target], normal[target]).mean())


def score(name: str, data: Data) -> tuple[Any, ...]:
    """Mask, mesh, vertices, selected width, mean cosine, CPU seconds, and those of a repetition."""
    family, normal = FAMILIES[name], data.normal
    drawn = torch.rand(data.num_nodes, generator=torch.Generator().manual_seed(0)) < 0.25
    val, graph = data.known & drawn, family.graph(data)

    def validate(width: float) -> float:
        return cosine(family.operator(width, graph), normal, data.known & ~val, val)

    width = max(WIDTHS, key=validate)
    start = time.process_time()
    operator = family.operator(width, family.graph(data))
    result, first = cosine(operator, normal, data.known, data.hidden), time.process_time()
    cosine(operator, normal, data.known, data.hidden)
    seconds = first - start, time.process_time() - first
    row = (name, data.name, data.num_nodes, width, result, *seconds)
    print("{:14}{:24}{:>8}  width {:6.2f}  cosine {:.4f}  {:8.3f} s, again {:.4f} s".format(*row))
    return row


def summary(scores: list[tuple[Any, ...]]) -> str:
    if not scores:
        return "-"
    *_, widths, cosines, first, again = zip(*scores, strict=True)
    seconds = f"{np.mean(first):.3f}, {np.mean(again):.4f}"
    span = f"{min(widths):.2g} to {max(widths):.2g}"
    return f"{np.mean(cosines):.4f} | {seconds} | {span} | {len(scores)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--root", type=Path, help="folder of meshes (default: a generated one)")
    add("--names", nargs="+", help="names of meshes, without file endings (default: all)")
    add("--masks", nargs="+", choices=tuple(FAMILIES), default=list(FAMILIES))
    add("--seed", type=int, default=0, help="seed of the hidden normals")
    add("--smoke", action="store_true", help="a tiny run that only shows that everything works")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        if options.root is None:
            write_blobs(Path(folder), 1, 200 if options.smoke else 5_000)
        settings = {"seed": options.seed, "pre_transform": scale_to_edges}
        dataset = MeshNormals(options.root or folder, options.names, **settings)
        scores = []
        for data in sorted(dataset, key=lambda data: data.num_nodes):
            fitting = (name for name in options.masks if data.num_nodes <= FAMILIES[name].largest)
            scores += [score(name, data) for name in fitting]
    columns = ("mask", *(f"{low:,} < V <= {high:,}" for low, high in GROUPS))
    table = Table(*columns, title="cosine | CPU seconds, again | widths | meshes")
    for name in options.masks:
        rows = [row for row in scores if row[0] == name]
        groups = ([row for row in rows if low < row[2] <= high] for low, high in GROUPS)
        table.add_row(name, *map(summary, groups))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
