"""Classification of point clouds: masked, unmasked and local mixing on equal footing.

python examples/point_cloud_classification.py --dataset modelnet10 --root DATA --seeds 0 1
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
from torch_geometric.nn import global_max_pool
from torchmetrics.classification import MulticlassAccuracy
from training import Loaders, Task, compare, parser, variants

import graphmask as gm
from graphmask.datasets import DigitsPointCloud, ModelNet, PrimitiveShapes
from graphmask.datasets._base import SplitDataset

Options = argparse.Namespace


class Kind(NamedTuple):
    """How a dataset is opened, and what the model sees of a point: its place, or invariants where clouds come in any pose."""

    open: Callable[..., SplitDataset]
    inputs: str
    on_disk: bool = True


KINDS = {
    "primitives": Kind(PrimitiveShapes, "x", on_disk=False),
    "digits": Kind(DigitsPointCloud, "pos", on_disk=False),
    "modelnet10": Kind(ModelNet, "pos"),
}


def walk_and_global(hops: int, heads: int) -> gm.masks.TopologicalMask:
    """Near nodes by the walk mask, and all nodes by a learned share of the all-ones mask."""
    return gm.masks.WalkMask(hops, heads) + nn.Parameter(torch.full((heads,), 0.1)) * gm.masks.GlobalMask()


MASKS: dict[str, Callable[[int, int], gm.masks.TopologicalMask]] = {
    "walk": gm.masks.WalkMask,
    "walk+global": walk_and_global,
    "grf": gm.masks.GRFMask,
    "power": gm.masks.PowerSeriesMask,
}


def prepare(options: Options) -> T.Compose:
    """What is done once per cloud: unit size, neighbours, invariants, and walks."""
    sampler = gm.walks.ResampledWalks(options.budget, options.hops)
    walks = gm.transforms.AddWalks(sampler, torch.Generator().manual_seed(0), sets=2 if options.mask == "grf" else 1)
    graph = gm.transforms.KNNGraph(options.k, force_undirected=True)
    see = [gm.transforms.ShapeInvariants()] if KINDS[options.dataset].inputs == "x" else []
    return T.Compose([gm.transforms.UnitSphere(), graph, *see, walks])


def load(options: Options) -> tuple[SplitDataset, SplitDataset]:
    """The train and the test split, graphs and walks included."""
    kind = KINDS[options.dataset]
    settings: dict[str, Any] = {"pre_transform": prepare(options)}
    if options.dataset != "digits":
        settings["num_points"] = options.points
    if options.dataset == "primitives":
        settings["num_per_class"] = options.per_class
    if kind.on_disk:
        # A cache per graph and walks, which the datasets' own cache does not tell apart.
        cache = f"{options.dataset}-{options.mask}-k{options.k}-budget{options.budget}-hops{options.hops}"
        settings |= {"root": options.root, "processed_root": options.out / "cache" / cache}
    noise = T.Compose([T.RandomScale((0.85, 1.15)), T.RandomJitter(0.01)]) if kind.inputs == "pos" else None
    return kind.open(train=True, transform=noise, **settings), kind.open(train=False, **settings)


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    made = parser(__doc__, epochs=16, batch_size=16, lr=3e-3, hops=3)
    made.add_argument("--dataset", choices=tuple(KINDS), default="primitives")
    made.add_argument("--root", type=Path, help="folder of a dataset that is read from files")
    made.add_argument("--points", type=int, default=128, help="points per cloud, at most")
    made.add_argument("--per-class", type=int, default=50, help="clouds per class of generated shapes")
    made.add_argument("--k", type=int, default=8, help="neighbours of each point in the graph")
    made.add_argument("--mask", choices=tuple(MASKS), default="walk", help="of the masked variants")
    made.add_argument("--budget", type=int, default=32, help="pairs (i, j) stored per node")
    options = made.parse_args(arguments)
    if KINDS[options.dataset].on_disk and options.root is None:
        made.error(f"--dataset {options.dataset} is read from files: give its folder with --root")
    if options.smoke:
        options.points, options.per_class, options.channels, options.layers, options.epochs = 32, 4, 16, 1, 2
    return options


def run(options: Options) -> list[dict[str, Any]]:
    """Train the variants; every tenth training cloud validates."""
    train, test = load(options)
    parts = [Subset(train, [i for i in range(len(train)) if (i % 10 == 9) == held_out]) for held_out in (False, True)]
    inputs = KINDS[options.dataset].inputs

    def make(_: str, mixing: dict[str, Any], seed: int) -> tuple[Task, Loaders]:
        sizes = train[0][inputs].shape[1], options.channels, train.num_classes, options.layers, options.heads
        model = gm.nn.TopologicalTransformer(*sizes, pool=global_max_pool, dropout=options.dropout, **mixing)
        accuracy = MulticlassAccuracy(train.num_classes, average="micro")
        task = Task(model, nn.CrossEntropyLoss(label_smoothing=0.1), accuracy, options.lr, [inputs])
        return task, Loaders(*parts, test, options.batch_size, seed)

    choices = variants(options.channels, options.heads, MASKS[options.mask](options.hops, options.heads))
    return compare(f"clouds-{options.dataset}", options, make, choices)


if __name__ == "__main__":
    run(parse())
