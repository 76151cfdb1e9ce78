"""Classification of point clouds with masked attention, unmasked attention and local convolutions.

    python examples/point_cloud_classification.py --dataset modelnet10 --root DATA --seeds 0 1
    python examples/point_cloud_classification.py --dataset folder --root MY_SHAPES

MY_SHAPES holds .ply, .obj, .off, .stl, .xyz, .npy or .npz files in one folder per class.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import comparison
import forests
import torch
import training
from clouds import SOURCES, load
from comparison import Problem
from torch import nn
from torch.utils.data import Subset
from torch_geometric.data import Dataset
from torchmetrics.classification import MulticlassAccuracy
from training import Loaders, Options, Task, Variant

import graphmask as gm

Make = Callable[[str, Variant, int], tuple[Task, Loaders]]


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


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    recipe = {"epochs": 16, "batch_size": 16, "lr": 3e-3, "smoothing": 0.1}
    parser = training.make_parser(__doc__, hops=3, **recipe)
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
    add("--draws", type=int, default=1, help="cached draws of augmented points of each cloud")
    add("--votes", type=int, default=1, help="such draws of each test cloud, averaged")
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
        model = training.graph_model(options, channels, num_classes, **arguments)
        accuracy = MulticlassAccuracy(num_classes, average="micro")
        task = Task(model, training.cross_entropy(options), accuracy, options, [inputs])
        return task, Loaders(*parts, options.batch_size, seed)

    return make


def choices(options: Options) -> dict[str, Variant]:
    """The variants with the mask of the options; attention sees where others lie."""
    mask: gm.masks.TopologicalMask = MASKS[options.mask](options.hops, options.heads)
    values: gm.values.ValueMap | None = None
    if not options.any_pose:
        dim = SOURCES[options.dataset].dim
        values = gm.values.RotaryValues(options.heads, options.channels // options.heads, dim)
    elif options.mask == "walk":  # moments read weights that are never negative
        mask = gm.masks.WalkMask(options.hops, options.heads, gm.masks.Spread)
        values = gm.values.MomentInvariants()
    return comparison.variants(mask, comparison.edge_conv(options), values=values)


def problem(options: Options) -> Problem:
    """The task of a run; a tenth of the training clouds, drawn once, is for validation."""
    train, test = load(options)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    order = order[: options.train_size].tolist()
    tenth = len(order) // 10
    val = Subset(train, order[:tenth]) if tenth else None
    make = maker(options, train.num_classes, Subset(train, order[tenth:]), val, test)
    masks = partial(gm.masks.WalkMask, options.hops, options.heads)
    return Problem(
        f"clouds-{options.dataset}",
        make,
        choices(options),
        masks,
        comparison.edge_conv(options),
        pools=("mean", "max"),
        dim=0 if options.any_pose else SOURCES[options.dataset].dim,
        any_pose=options.any_pose,
        tables=forests.graphs,
    )


def run(options: Options) -> list[dict[str, Any]]:
    """Train the variants and print the table."""
    return comparison.compare(problem(options), options)


if __name__ == "__main__":
    run(parse())
