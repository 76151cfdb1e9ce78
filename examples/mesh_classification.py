"""Classification of triangle meshes with masked, unmasked and local models.

    python examples/mesh_classification.py --root DATA/shrec16 --seeds 0 1

Inputs are rotation invariants of the surroundings of each vertex, with --spectral the heat kernel
signature beside them, or with --xyz coordinates in any pose. Without --root, meshes are generated.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import comparison
import forests
import numpy as np
import torch
import training
from comparison import Problem
from scipy.spatial import ConvexHull
from torch.utils.data import Subset
from torch_geometric import transforms as T
from torch_geometric.data import Data, Dataset
from torchmetrics.classification import MulticlassAccuracy
from training import Loaders, Options, Task, Variant

import graphmask as gm
from graphmask.datasets import SHREC16


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
        """The hull of random points, stretched and rotated."""
        direction = rng.standard_normal((vertices, 3))
        exponent = self.exponents[label] * rng.uniform(0.9, 1.1)
        points = direction / (np.abs(direction) ** exponent).sum(1, keepdims=True) ** (1 / exponent)
        points = points * rng.uniform(0.7, 1.4, 3) @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
        faces = ConvexHull(points, qhull_options="QJ").simplices.astype(np.int64)
        pos, face = torch.from_numpy(points.astype(np.float32)), torch.from_numpy(faces.T)
        return Data(pos=pos, face=face, y=torch.tensor([label]))

    def len(self) -> int:
        return len(self.meshes)

    def get(self, idx: int) -> Data:
        return self.meshes[idx]


def prepare(options: Options) -> T.Compose:
    """Unit size, the signature if asked for, edges, rotation invariants and walks."""
    signature = [gm.transforms.HeatKernelSignature()] if options.spectral else []
    return T.Compose(
        [
            gm.transforms.UnitSphere(),
            *signature,
            gm.transforms.MeshToGraph(remove_faces=True),
            gm.transforms.ShapeInvariants(options.scales),
            training.add_walks(options, options.budget),
        ]
    )


def inputs_of(options: Options) -> list[str]:
    """The attributes that models read."""
    if options.xyz:
        return ["pos"]
    return ["x", "hks"] if options.spectral else ["x"]


def load(options: Options) -> tuple[Dataset, Dataset]:
    """The training and the test split."""
    transform = prepare(options)
    if options.root is None:
        print("No --root: generated superellipsoids, not SHREC16.")
        sizes = options.per_class, max(options.per_class // 3, 1)
        settings = options.vertices, transform
        train, test = (Superellipsoids(seed, size, *settings) for seed, size in enumerate(sizes))
        return train, test
    kind = f"scales{options.scales}" + "-spectral" * options.spectral
    name = f"shrec16-{kind}-budget{options.budget}-hops{options.hops}"
    settings = {"processed_root": options.out / "cache" / name, "pre_transform": transform}
    train, test = (SHREC16(options.root, part, **settings) for part in (True, False))
    if options.xyz:
        train.transform = T.Compose([T.RandomRotate(180, axis=axis) for axis in (0, 1, 2)])
    return train, test


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    parser = training.make_parser(__doc__, epochs=40, batch_size=16, lr=3e-3, smoothing=0.1)
    add = parser.add_argument
    add("--root", type=Path, help="folder of SHREC16 (default: generated meshes)")
    add("--per-class", type=int, default=40, help="generated meshes per class")
    add("--vertices", type=int, default=250, help="vertices of a generated mesh")
    add("--xyz", action="store_true", help="coordinates in any pose instead of the invariants")
    add("--spectral", action="store_true", help="the heat kernel signature beside the invariants")
    add("--scales", type=int, default=5, help="scales of the invariants: 2^(scales - 1) steps")
    add("--budget", type=int, default=32, help="pairs stored per node")
    tiny = {"per_class": 6, "vertices": 40, "channels": 16, "layers": 1, "epochs": 2}
    return training.parse_options(parser, arguments, **tiny)


def problem(options: Options) -> Problem:
    """The task of a run; a tenth of the training meshes, drawn once, is for validation."""
    train, test = load(options)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0)).tolist()
    tenth = len(order) // 10
    parts = Subset(train, order[tenth:]), Subset(train, order[:tenth]), test

    inputs = inputs_of(options)

    def make(_: str, arguments: Variant, seed: int) -> tuple[Task, Loaders]:
        channels = sum(train[0][name].shape[1] for name in inputs)
        model = training.graph_model(options, channels, train.num_classes, **arguments)
        accuracy = MulticlassAccuracy(train.num_classes, average="micro")
        task = Task(model, training.cross_entropy(options), accuracy, options, inputs)
        return task, Loaders(*parts, options.batch_size, seed)

    name = "meshes-generated" if options.root is None else "meshes-shrec16"
    masks = partial(gm.masks.WalkMask, options.hops, options.heads)
    conv, reads = comparison.local_mean(options), {}
    if options.xyz:  # attention sees where others lie, whatever the pose
        reads = {"values": gm.values.MomentInvariants()}
    # Moments read weights that are never negative.
    mask = masks(alpha=gm.masks.Spread if options.xyz else gm.masks.Free)
    choices = comparison.variants(mask, conv, **reads)
    return Problem(
        name,
        make,
        choices,
        masks,
        conv,
        pools=("mean", "max"),
        any_pose=options.xyz,
        tables=forests.graphs,
    )


if __name__ == "__main__":
    settings = parse()
    comparison.compare(problem(settings), settings)
