"""Classification of triangle meshes: masked, unmasked and local mixing on equal footing.

    python examples/mesh_classification.py --root DATA/shrec16 --seeds 0 1

Without --root, meshes are generated. A vertex is described by what its surroundings look like in
any pose.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import ConvexHull
from torch import nn
from torch.utils.data import Subset
from torch_geometric import transforms as T
from torch_geometric.data import Data, Dataset
from torch_geometric.nn import global_max_pool
from torchmetrics.classification import MulticlassAccuracy
from training import Loaders, Task, compare, parser, variants

import graphmask as gm
from graphmask.datasets import SHREC16

Options = argparse.Namespace


class Superellipsoids(Dataset):
    """Generated convex meshes |x|^p + |y|^p + |z|^p = 1 in random poses.

    A class is a range of exponents p.
    """

    exponents = (1.2, 2.0, 3.0, 6.0)
    num_classes = len(exponents)

    def __init__(
        self, seed: int, per_class: int, vertices: int, pre_transform: T.BaseTransform
    ) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        labels = np.repeat(np.arange(self.num_classes), per_class)
        self.meshes = [pre_transform(self.mesh(rng, int(label), vertices)) for label in labels]

    def mesh(self, rng: np.random.Generator, label: int, vertices: int) -> Data:
        """The hull of random points, stretched and turned."""
        direction = rng.standard_normal((vertices, 3))
        exponent = self.exponents[label] * rng.uniform(0.9, 1.1)
        points = direction / (np.abs(direction) ** exponent).sum(1, keepdims=True) ** (1 / exponent)
        points = points * rng.uniform(0.7, 1.4, 3) @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
        face = torch.from_numpy(ConvexHull(points, qhull_options="QJ").simplices.T.astype(np.int64))
        return Data(
            pos=torch.from_numpy(points.astype(np.float32)), face=face, y=torch.tensor([label])
        )

    def len(self) -> int:
        return len(self.meshes)

    def get(self, idx: int) -> Data:
        return self.meshes[idx]


def prepare(options: Options) -> T.Compose:
    """What is done once per mesh: unit size, its edges, invariants, walks."""
    sampler = gm.walks.ResampledWalks(options.budget, options.hops)
    return T.Compose(
        [
            gm.transforms.UnitSphere(),
            gm.transforms.MeshToGraph(remove_faces=True),
            gm.transforms.ShapeInvariants(options.scales),
            gm.transforms.AddWalks(sampler, torch.Generator().manual_seed(0)),
        ]
    )


def load(options: Options) -> tuple[Dataset, Dataset]:
    """The train and the test split."""
    once = prepare(options)
    if options.root is None:
        print("No --root: these meshes are GENERATED superellipsoids, not SHREC16.")
        train, test = options.per_class, max(options.per_class // 3, 1)
        return Superellipsoids(0, train, options.vertices, once), Superellipsoids(
            1, test, options.vertices, once
        )
    cache = (
        options.out
        / "cache"
        / f"shrec16-scales{options.scales}-budget{options.budget}-hops{options.hops}"
    )
    shared = {"processed_root": cache, "pre_transform": once}
    return SHREC16(options.root, train=True, **shared), SHREC16(options.root, train=False, **shared)


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    made = parser(__doc__, epochs=40, batch_size=16, lr=3e-3)
    made.add_argument("--root", type=Path, help="folder of SHREC16 (default: generated meshes)")
    made.add_argument("--per-class", type=int, default=40, help="generated meshes per class")
    made.add_argument("--vertices", type=int, default=250, help="of a generated mesh")
    made.add_argument(
        "--scales", type=int, default=5, help="of the invariants: up to 2^(scales - 1) steps"
    )
    made.add_argument("--budget", type=int, default=32, help="pairs (i, j) stored per node")
    options = made.parse_args(arguments)
    if options.smoke:
        options.per_class, options.vertices, options.channels, options.layers, options.epochs = (
            6,
            40,
            16,
            1,
            2,
        )
    return options


def run(options: Options) -> list[dict[str, Any]]:
    """Train the variants; a tenth of the training meshes, drawn once, validates."""
    train, test = load(options)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0)).tolist()
    tenth = len(order) // 10
    kept, held_out = Subset(train, order[tenth:]), Subset(train, order[:tenth])

    def make(_: str, mixing: dict[str, Any], seed: int) -> tuple[Task, Loaders]:
        sizes = (
            train[0].num_features,
            options.channels,
            train.num_classes,
            options.layers,
            options.heads,
        )
        model = gm.nn.TopologicalTransformer(
            *sizes, pool=global_max_pool, dropout=options.dropout, **mixing
        )
        accuracy = MulticlassAccuracy(train.num_classes, average="micro")
        task = Task(model, nn.CrossEntropyLoss(label_smoothing=0.1), accuracy, options.lr)
        return task, Loaders(kept, held_out, test, options.batch_size, seed)

    mask = gm.masks.WalkMask(options.hops, options.heads)
    name = "meshes-generated" if options.root is None else "meshes-shrec16"
    return compare(name, options, make, variants(options.channels, options.heads, mask))


if __name__ == "__main__":
    run(parse())
