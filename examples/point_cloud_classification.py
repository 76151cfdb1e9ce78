"""Classification of point clouds: masked, unmasked and local mixing on equal footing.

    python examples/point_cloud_classification.py --dataset modelnet10 --root DATA --seeds 0 1
    python examples/point_cloud_classification.py --dataset folder --root MY_SHAPES

A folder of one's own holds .ply, .obj, .off, .stl, .xyz, .npy or .npz files in one folder per
class.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.data import Subset
from torch_geometric import transforms as T
from torch_geometric.data import Dataset
from torch_geometric.nn import global_max_pool
from torchmetrics.classification import MulticlassAccuracy
from training import Loaders, Task, compare, parser, variants

import graphmask as gm
from graphmask.datasets import (
    DigitsPointCloud,
    KITTIObjects,
    ModelNet,
    PrimitiveShapes,
    ScanObjectNN,
    ShapeFolder,
)

Options = argparse.Namespace
Make = Callable[[str, dict[str, Any], int], tuple[Task, Loaders]]


class Kind(NamedTuple):
    """How a split is opened, and whether its clouds come in any pose, are read from files, and may be cut to --points."""

    open: Callable[..., Dataset]
    any_pose: bool = False
    files: bool = True
    cut: bool = True


def kitti(train: bool, **settings: Any) -> KITTIObjects:
    """Its validation split is left alone: all datasets validate on a tenth of what trains."""
    return KITTIObjects(split="train" if train else "test", **settings)


KINDS = {
    "primitives": Kind(PrimitiveShapes, any_pose=True, files=False),
    "digits": Kind(DigitsPointCloud, files=False, cut=False),
    "modelnet10": Kind(ModelNet),
    "kitti": Kind(kitti, cut=False),
    "scanobjectnn": Kind(ScanObjectNN),
    "folder": Kind(ShapeFolder),
}


def walk_and_global(hops: int, heads: int) -> gm.masks.TopologicalMask:
    """Near nodes by the walk mask, and all nodes by a learned share of the all-ones mask."""
    return (
        gm.masks.WalkMask(hops, heads)
        + nn.Parameter(torch.full((heads,), 0.1)) * gm.masks.GlobalMask()
    )


MASKS: dict[str, Callable[[int, int], gm.masks.TopologicalMask]] = {
    "walk": gm.masks.WalkMask,
    "walk+global": walk_and_global,
    "grf": gm.masks.GRFMask,
    "power": gm.masks.PowerSeriesMask,
}


def prepare(options: Options) -> T.Compose:
    """What is done once per cloud: unit size, neighbours, invariants if asked for, and walks."""
    sampler = gm.walks.ResampledWalks(options.budget, options.hops)
    walks = gm.transforms.AddWalks(
        sampler, torch.Generator().manual_seed(0), sets=2 if options.mask == "grf" else 1
    )
    graph = gm.transforms.KNNGraph(options.k, force_undirected=True)
    see = [gm.transforms.ShapeInvariants()] if options.any_pose else []
    return T.Compose([gm.transforms.UnitSphere(), graph, *see, walks])


def load(options: Options) -> tuple[Dataset, Dataset]:
    """The train and the test split, graphs and walks included."""
    kind, settings = KINDS[options.dataset], dict[str, Any](pre_transform=prepare(options))
    if kind.cut:
        settings["num_points"] = options.points
    if options.dataset == "primitives":
        settings["num_per_class"] = options.per_class
    if kind.files:
        # A cache per graph and walks, which the datasets' own cache does not tell apart.
        setting = (
            options.dataset,
            options.root.resolve().name,
            options.mask,
            options.k,
            options.budget,
            options.hops,
        )
        cache = (
            options.out
            / "cache"
            / "-".join(map(str, (*setting, "posed" if options.any_pose else "upright")))
        )
        settings |= {"root": options.root, "processed_root": cache}
    noise = (
        None if options.any_pose else T.Compose([T.RandomScale((0.85, 1.15)), T.RandomJitter(0.01)])
    )
    return kind.open(train=True, transform=noise, **settings), kind.open(train=False, **settings)


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    made = parser(__doc__, epochs=16, batch_size=16, lr=3e-3, hops=3)
    made.add_argument("--dataset", choices=tuple(KINDS), default="primitives")
    made.add_argument("--root", type=Path, help="folder of a dataset that is read from files")
    made.add_argument("--points", type=int, default=128, help="points per cloud, at most")
    made.add_argument(
        "--per-class", type=int, default=50, help="clouds per class of generated shapes"
    )
    made.add_argument(
        "--train-size", type=int, help="how many training clouds to draw (default: all)"
    )
    made.add_argument(
        "--any-pose",
        action="store_true",
        help="see invariants instead of places, as of the generated shapes",
    )
    made.add_argument("--k", type=int, default=8, help="neighbours of each point in the graph")
    made.add_argument("--mask", choices=tuple(MASKS), default="walk", help="of the masked variants")
    made.add_argument("--budget", type=int, default=32, help="pairs (i, j) stored per node")
    options = made.parse_args(arguments)
    options.any_pose |= KINDS[options.dataset].any_pose
    if KINDS[options.dataset].files and options.root is None:
        made.error(f"--dataset {options.dataset} is read from files: give its folder with --root")
    if options.smoke:
        options.points, options.per_class, options.channels, options.layers, options.epochs = (
            32,
            4,
            16,
            1,
            2,
        )
    return options


def maker(options: Options, num_classes: int, *parts: Dataset | None) -> Make:
    """How a variant is made, to be trained, validated and tested on these parts."""
    seen = "x" if options.any_pose else "pos"

    def make(_: str, mixing: dict[str, Any], seed: int) -> tuple[Task, Loaders]:
        sizes = (
            parts[0][0][seen].shape[1],
            options.channels,
            num_classes,
            options.layers,
            options.heads,
        )
        model = gm.nn.TopologicalTransformer(
            *sizes, pool=global_max_pool, dropout=options.dropout, **mixing
        )
        accuracy = MulticlassAccuracy(num_classes, average="micro")
        task = Task(model, nn.CrossEntropyLoss(label_smoothing=0.1), accuracy, options.lr, [seen])
        return task, Loaders(*parts, options.batch_size, seed)

    return make


def choices(options: Options) -> dict[str, dict[str, Any]]:
    """The variants under the mask of the options."""
    return variants(
        options.channels, options.heads, MASKS[options.mask](options.hops, options.heads)
    )


def run(options: Options) -> list[dict[str, Any]]:
    """Train the variants; a tenth of the training clouds, drawn once, validates."""
    train, test = load(options)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[
        : options.train_size
    ].tolist()
    tenth = len(order) // 10
    kept, held_out = Subset(train, order[tenth:]), Subset(train, order[:tenth]) if tenth else None
    make = maker(options, train.num_classes, kept, held_out, test)
    return compare(f"clouds-{options.dataset}", options, make, choices(options))


if __name__ == "__main__":
    run(parse())
