"""Hidden vertex normals of unseen meshes with masked, unmasked and local models.

    python examples/vertex_normals.py --root DATA/meshes --seeds 0 1

Four in five normals are hidden; the input is the other normals, and an indicator of these. Each
epoch rotates the training meshes anew. Without --root, bumpy spheres are generated. Masks without
training: interpolated_normals.py.
"""

from __future__ import annotations

import tempfile
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import comparison
import numpy as np
import torch
import training
from comparison import Problem
from scipy.spatial import ConvexHull
from torch import Tensor, nn
from torch.utils.data import Subset
from torch_geometric import transforms as T
from torch_geometric.data import Batch, Data
from torchmetrics.regression import CosineSimilarity
from training import Loaders, Options, Task, Variant

import graphmask as gm
from graphmask.datasets import MeshNormals


class OneMinusCosine(nn.Module):
    """Mean of 1 - cos(prediction, target)."""

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        return (1 - torch.cosine_similarity(predicted, target)).mean()


class Normals(Task):
    """A task scored at the hidden normals."""

    def predict(self, batch: Batch, part: str) -> tuple[Tensor, Tensor]:
        return self(batch)[batch.hidden], batch.normal[batch.hidden]


class Affinities(T.BaseTransform):
    """Replaces lengths of edges by weights that decay with the length, in units of the mean."""

    def forward(self, data: Data) -> Data:
        data.edge_weight = torch.exp(-0.5 * (data.edge_weight / data.edge_weight.mean()) ** 2)
        return data


class KnownNormals(T.BaseTransform):
    """Writes x: the known normals (zero where hidden), and an indicator of these.

    Args:
        rotate: Whether to rotate or reflect the normals at random first.
    """

    def __init__(self, rotate: bool) -> None:
        self.rotate = rotate

    def forward(self, data: Data) -> Data:
        if self.rotate:
            data.normal = data.normal @ torch.linalg.qr(torch.randn(3, 3))[0]
        known = data.known.unsqueeze(1).float()
        data.x = torch.cat([data.normal * known, known], 1)
        return data


def write_blobs(folder: Path, count: int, vertices: int) -> None:
    """Write spheres with random bumps and dents, with outward triangles."""
    rng = np.random.default_rng(0)
    for index in range(count):
        points = rng.standard_normal((vertices, 3))
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        faces = ConvexHull(points).simplices
        inward = np.linalg.det(points[faces]) < 0
        faces[inward] = faces[inward, ::-1]
        waves, phases = rng.normal(0, 3, (3, 4)), rng.uniform(0, 6, 4)
        radius = 1 + 0.15 * np.sin(points @ waves + phases).sum(1, keepdims=True)
        np.savez(folder / f"blob{index}.npz", v=points * radius, f=faces)


def load(options: Options) -> tuple[MeshNormals, MeshNormals]:
    """The meshes of at most --largest vertices, with and without random rotations."""
    prepare = T.Compose([Affinities(), training.add_walks(options, options.budget)])
    with tempfile.TemporaryDirectory() as folder:
        if options.root is None:
            print("No --root: generating bumpy spheres.")
            write_blobs(Path(folder), options.blobs, options.vertices)
        fixed = MeshNormals(
            options.root or folder,
            transform=KnownNormals(rotate=False),
            pre_filter=lambda data: data.num_nodes <= options.largest,
            pre_transform=prepare,
        )
    rotated = copy(fixed)
    rotated.transform = KnownNormals(rotate=True)
    return rotated, fixed


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    parser = training.make_parser(__doc__, epochs=30, batch_size=4, lr=3e-3)
    add = parser.add_argument
    add("--root", type=Path, help="folder of meshes (default: generated ones)")
    add("--largest", type=int, default=7_000, help="skip meshes of more vertices")
    add("--blobs", type=int, default=20, help="number of generated meshes")
    add("--vertices", type=int, default=1_000, help="vertices of a generated mesh")
    add("--budget", type=int, default=32, help="pairs stored per node")
    tiny = {"blobs": 10, "vertices": 60, "channels": 16, "layers": 1, "epochs": 2}
    return training.parse_options(parser, arguments, **tiny)


def problem(options: Options) -> Problem:
    """The task of a run: train on six in ten meshes, validate on one and test on three in ten."""
    rotated, fixed = load(options)
    order = torch.randperm(len(fixed), generator=torch.Generator().manual_seed(0)).tolist()
    first, last = round(0.6 * len(order)), round(0.7 * len(order))
    train, val = Subset(rotated, order[:first]), Subset(fixed, order[first:last])
    test = Subset(fixed, order[last:])
    print(f"{len(train)} training, {len(val)} validation and {len(test)} test meshes")
    print("test:", ", ".join(fixed[index].name for index in order[last:]))

    def make(_: str, arguments: Variant, seed: int) -> tuple[Task, Loaders]:
        model = training.make_model(options, 4, 3, **arguments)
        metric = CosineSimilarity(reduction="mean")
        task = Normals(model, OneMinusCosine(), metric, options)
        return task, Loaders(train, val, test, options.batch_size, seed)

    masks = partial(gm.masks.WalkMask, options.hops, options.heads)
    conv = comparison.local_mean(options)
    choices = comparison.variants(masks(), conv)
    return Problem("normals", make, choices, masks, conv, "mean cosine")


def run(options: Options) -> list[dict[str, Any]]:
    """Train the variants and print the table."""
    return comparison.compare(problem(options), options)


if __name__ == "__main__":
    run(parse())
