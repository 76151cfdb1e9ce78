"""Hidden vertex normals of meshes that the model never saw.

Masked, unmasked and local mixing on equal footing.

    python examples/vertex_normals.py --root DATA/meshes --seeds 0 1

Four in five normals are hidden; the others are all that the model sees, besides the mesh. Every
epoch turns the training meshes anew. Without --root, bumpy spheres are generated. What masks reach
without training: interpolated_normals.py.
"""

from __future__ import annotations

import argparse
import tempfile
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import ConvexHull
from torch import Tensor, nn
from torch.utils.data import Subset
from torch_geometric import transforms as T
from torch_geometric.data import Batch, Data
from torchmetrics.regression import CosineSimilarity
from training import Loaders, Task, compare, parser, variants

import graphmask as gm
from graphmask.datasets import MeshNormals

Options = argparse.Namespace


class OneMinusCosine(nn.Module):
    """Mean of 1 - cos(prediction, target)."""

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        return (1 - torch.cosine_similarity(predicted, target)).mean()


class Normals(Task):
    """Is scored where normals are hidden."""

    def predict(self, batch: Batch, part: str) -> tuple[Tensor, Tensor]:
        return self(batch)[batch.hidden], batch.normal[batch.hidden]


class Affinities(T.BaseTransform):
    """Edges weaker the longer they are, in units of the mean edge."""

    def forward(self, data: Data) -> Data:
        data.edge_weight = torch.exp(-0.5 * (data.edge_weight / data.edge_weight.mean()) ** 2)
        return data


class SeeKnown(T.BaseTransform):
    """Writes what the model sees of a vertex: its normal, or zero, and whether it is known.

    Turned at random if asked for.
    """

    def __init__(self, turn: bool) -> None:
        self.turn = turn

    def forward(self, data: Data) -> Data:
        if self.turn:
            data.normal = data.normal @ torch.linalg.qr(torch.randn(3, 3))[0]
        data.x = torch.cat(
            [data.normal * data.known.unsqueeze(1), data.known.unsqueeze(1).float()], 1
        )
        return data


def write_blobs(folder: Path, count: int, vertices: int) -> None:
    """Spheres with random bumps and dents, their triangles turned outwards."""
    rng = np.random.default_rng(0)
    for number in range(count):
        points = rng.standard_normal((vertices, 3))
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        faces = ConvexHull(points).simplices
        inwards = np.linalg.det(points[faces]) < 0
        faces[inwards] = faces[inwards, ::-1]
        waves, phases = rng.normal(0, 3, (3, 4)), rng.uniform(0, 6, 4)
        np.savez(
            folder / f"blob{number}.npz",
            v=points * (1 + 0.15 * np.sin(points @ waves + phases).sum(1, keepdims=True)),
            f=faces,
        )


def load(options: Options) -> tuple[MeshNormals, MeshNormals]:
    """All meshes small enough, with and without random turns."""
    sampler = gm.walks.ResampledWalks(options.budget, options.hops)
    walks = gm.transforms.AddWalks(sampler, torch.Generator().manual_seed(0))
    small = {
        "pre_filter": lambda data: data.num_nodes <= options.largest,
        "pre_transform": T.Compose([Affinities(), walks]),
    }
    with tempfile.TemporaryDirectory() as folder:
        if options.root is None:
            print("No --root: these meshes are GENERATED, bumpy spheres.")
            write_blobs(Path(folder), options.blobs, options.vertices)
        still = MeshNormals(options.root or folder, transform=SeeKnown(turn=False), **small)
    turned = copy(still)
    turned.transform = SeeKnown(turn=True)
    return turned, still


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    made = parser(__doc__, epochs=30, batch_size=4, lr=3e-3)
    made.add_argument("--root", type=Path, help="folder of meshes (default: generated ones)")
    made.add_argument(
        "--largest", type=int, default=7_000, help="leave out meshes of more vertices"
    )
    made.add_argument("--blobs", type=int, default=20, help="how many meshes to generate")
    made.add_argument("--vertices", type=int, default=1_000, help="of a generated mesh")
    made.add_argument("--budget", type=int, default=32, help="pairs (i, j) stored per node")
    options = made.parse_args(arguments)
    if options.smoke:
        options.blobs, options.vertices, options.channels, options.layers, options.epochs = (
            10,
            60,
            16,
            1,
            2,
        )
    return options


def run(options: Options) -> list[dict[str, Any]]:
    """Train the variants; of the meshes, drawn once, six in ten train, one in ten validates, three test."""
    turned, still = load(options)
    order = torch.randperm(len(still), generator=torch.Generator().manual_seed(0)).tolist()
    first, last = round(0.6 * len(order)), round(0.7 * len(order))
    parts = (
        Subset(turned, order[:first]),
        Subset(still, order[first:last]),
        Subset(still, order[last:]),
    )
    print(
        f"{first} meshes train, {last - first} validate, {len(order) - last} test: {[still[i].name for i in order[last:]]}"
    )

    def make(_: str, mixing: dict[str, Any], seed: int) -> tuple[Task, Loaders]:
        sizes = 4, options.channels, 3, options.layers, options.heads
        model = gm.nn.TopologicalTransformer(*sizes, dropout=options.dropout, **mixing)
        task = Normals(model, OneMinusCosine(), CosineSimilarity(reduction="mean"), options.lr)
        return task, Loaders(*parts, options.batch_size, seed)

    mask = gm.masks.WalkMask(options.hops, options.heads)
    return compare(
        "normals",
        options,
        make,
        variants(options.channels, options.heads, mask),
        score="mean cosine",
    )


if __name__ == "__main__":
    run(parse())
