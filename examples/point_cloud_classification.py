"""Classification of point clouds with masked attention, unmasked attention and local convolutions.

    python examples/point_cloud_classification.py --dataset modelnet10 --root DATA --seeds 0 1
    python examples/point_cloud_classification.py --dataset folder --root MY_SHAPES

MY_SHAPES holds .ply, .obj, .off, .stl, .xyz, .npy or .npz files in one folder per class.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import training
from torch import nn
from torch.utils.data import Subset
from torch_geometric import transforms as T
from torch_geometric.data import Dataset
from torch_geometric.nn import global_max_pool
from torchmetrics.classification import MulticlassAccuracy
from training import Loaders, Options, Task, Variant

import graphmask as gm
from graphmask import datasets

Make = Callable[[str, Variant, int], tuple[Task, Loaders]]


class Source(NamedTuple):
    """A dataset; whether its clouds are in any pose, from files, and sampled to --points."""

    dataset: Callable[..., Dataset]
    any_pose: bool = False
    files: bool = True
    sampled: bool = True


def kitti(train: bool, **settings: Any) -> datasets.KITTIObjects:
    """KITTI without its validation split: all examples validate on a tenth of the training data."""
    return datasets.KITTIObjects(split="train" if train else "test", **settings)


SOURCES = {
    "primitives": Source(datasets.PrimitiveShapes, any_pose=True, files=False),
    "digits": Source(datasets.DigitsPointCloud, files=False, sampled=False),
    "modelnet10": Source(datasets.ModelNet),
    "kitti": Source(kitti, sampled=False),
    "scanobjectnn": Source(datasets.ScanObjectNN),
    "folder": Source(datasets.ShapeFolder),
}


def walk_and_global(hops: int, heads: int) -> gm.masks.TopologicalMask:
    """A walk mask plus a learned share of the all-ones mask."""
    share = nn.Parameter(torch.full((heads,), 0.1))
    return gm.masks.WalkMask(hops, heads) + share * gm.masks.GlobalMask()


MASKS: dict[str, Callable[[int, int], gm.masks.TopologicalMask]] = {
    "walk": gm.masks.WalkMask,
    "walk+global": walk_and_global,
    "grf": gm.masks.GRFMask,
    "power": gm.masks.PowerSeriesMask,
}


def prepare(options: Options) -> T.Compose:
    """Unit size, neighbours, rotation invariants if clouds are in any pose, and walks."""
    invariants = [gm.transforms.ShapeInvariants()] if options.any_pose else []
    graph = gm.transforms.KNNGraph(options.k, force_undirected=True)
    walks = training.add_walks(options, options.budget, sets=2 if options.mask == "grf" else 1)
    return T.Compose([gm.transforms.UnitSphere(), graph, *invariants, walks])


def load(options: Options) -> tuple[Dataset, Dataset]:
    """The training and the test split, with graphs and walks."""
    source, settings = SOURCES[options.dataset], dict[str, Any](pre_transform=prepare(options))
    if source.sampled:
        settings["num_points"] = options.points
    if options.dataset == "primitives":
        settings["num_per_class"] = options.per_class
    if source.files:
        # One cache per graph and walks, which the cache of the dataset does not distinguish.
        pose = "posed" if options.any_pose else "upright"
        names = options.dataset, options.root.resolve().name, options.mask
        name = "-".join(map(str, (*names, options.k, options.budget, options.hops, pose)))
        settings |= {"root": options.root, "processed_root": options.out / "cache" / name}
    augment = T.Compose([T.RandomScale((0.85, 1.15)), T.RandomJitter(0.01)])
    train = source.dataset(train=True, transform=None if options.any_pose else augment, **settings)
    return train, source.dataset(train=False, **settings)


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    parser = training.make_parser(__doc__, epochs=16, batch_size=16, lr=3e-3, hops=3)
    add = parser.add_argument
    add("--dataset", choices=tuple(SOURCES), default="primitives")
    add("--root", type=Path, help="folder of a dataset from files")
    add("--points", type=int, default=128, help="points per cloud, at most")
    add("--per-class", type=int, default=50, help="clouds per class of generated shapes")
    add("--train-size", type=int, help="number of training clouds, drawn once (default: all)")
    add("--any-pose", action="store_true", help="rotation invariants instead of coordinates")
    add("--k", type=int, default=8, help="neighbours of each point in the graph")
    add("--mask", choices=tuple(MASKS), default="walk", help="mask of the masked variants")
    add("--budget", type=int, default=32, help="pairs stored per node")
    tiny = {"points": 32, "per_class": 4, "channels": 16, "layers": 1, "epochs": 2}
    options = training.parse_options(parser, arguments, **tiny)
    options.any_pose |= SOURCES[options.dataset].any_pose
    if SOURCES[options.dataset].files and options.root is None:
        parser.error(f"--dataset {options.dataset} needs the folder of its files: --root")
    return options


def maker(options: Options, num_classes: int, *parts: Dataset | None) -> Make:
    """The function that makes the task and the loaders of a variant."""
    inputs = "x" if options.any_pose else "pos"

    def make(_: str, arguments: Variant, seed: int) -> tuple[Task, Loaders]:
        channels = parts[0][0][inputs].shape[1]
        arguments = {"pool": global_max_pool, **arguments}
        model = training.make_model(options, channels, num_classes, **arguments)
        loss = nn.CrossEntropyLoss(label_smoothing=0.1)
        accuracy = MulticlassAccuracy(num_classes, average="micro")
        task = Task(model, loss, accuracy, options, [inputs])
        return task, Loaders(*parts, options.batch_size, seed)

    return make


def choices(options: Options) -> dict[str, Variant]:
    """The variants with the mask of the options."""
    return training.variants(options, MASKS[options.mask](options.hops, options.heads))


def run(options: Options) -> list[dict[str, Any]]:
    """Train the variants; a tenth of the training clouds, drawn once, is for validation."""
    train, test = load(options)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    order = order[: options.train_size].tolist()
    tenth = len(order) // 10
    val = Subset(train, order[:tenth]) if tenth else None
    make = maker(options, train.num_classes, Subset(train, order[tenth:]), val, test)
    return training.compare(f"clouds-{options.dataset}", options, make, choices(options))


if __name__ == "__main__":
    run(parse())
