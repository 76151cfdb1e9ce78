"""Point clouds for examples: sources, graphs, walks and augmentation, from the options of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import loaders
import torch
import training
from torch_geometric import transforms as T
from torch_geometric.data import Dataset
from training import Options

import graphmask as gm
from graphmask import datasets


class Source(NamedTuple):
    """A dataset; whether its clouds are in any pose, from files, and sampled; their dimension.

    ``up`` is the axis about which clouds that stand upright are turned at random, if any.
    """

    dataset: Callable[..., Dataset]
    any_pose: bool = False
    files: bool = True
    sampled: bool = True
    dim: int = 3
    up: int | None = None


def kitti(train: bool, **settings: Any) -> datasets.KITTIObjects:
    """KITTI without its validation split: all examples validate on a tenth of the training data."""
    return datasets.KITTIObjects(split="train" if train else "test", **settings)


SOURCES = {
    "primitives": Source(datasets.PrimitiveShapes, any_pose=True, files=False),
    "digits": Source(datasets.DigitsPointCloud, files=False, sampled=False, dim=2),
    "modelnet10": Source(datasets.ModelNet),
    "kitti": Source(kitti, sampled=False),
    "scanobjectnn": Source(datasets.ScanObjectNN, up=1),
    "folder": Source(datasets.ShapeFolder),
}


def augmentation(options: Options) -> list[T.BaseTransform]:
    """Random changes of points that another graph follows."""
    dropout = gm.transforms.RandomPointDropout(0.2, torch.Generator().manual_seed(0))
    scale = gm.transforms.RandomAnisotropicScale((0.8, 1.25), torch.Generator().manual_seed(1))
    return [dropout] if options.any_pose else [dropout, scale]


def prepare(options: Options, draws: int = 1) -> T.BaseTransform:
    """Unit size, neighbours, rotation invariants if clouds are in any pose, and walks.

    Several draws of augmented points, if asked for, each with its graph and walks.
    """
    invariants = [gm.transforms.ShapeInvariants()] if options.any_pose else []
    graph = gm.transforms.KNNGraph(options.k, force_undirected=True)
    walks = training.add_walks(options, options.budget, sets=2 if options.mask == "grf" else 1)
    steps = [gm.transforms.UnitSphere(), graph, *invariants, walks]
    if draws == 1:
        return T.Compose(steps)
    return gm.transforms.Variants(T.Compose([*augmentation(options), *steps]), draws)


def load(options: Options) -> tuple[Dataset, Dataset]:
    """The training and the test split, with graphs and walks."""
    source, settings, draws = SOURCES[options.dataset], dict[str, Any](), options.draws
    if source.sampled:
        settings["num_points"] = options.points
    if options.dataset == "primitives":
        settings["num_per_class"] = options.per_class
    if source.files:
        # One cache per graph and walks, which the cache of the dataset does not distinguish.
        pose = "posed" if options.any_pose else "upright"
        names = options.dataset, options.root.resolve().name, options.mask
        sizes = options.k, options.budget, options.hops, draws, options.votes
        name = "-".join(map(str, (*names, *sizes, pose)))
        settings |= {"root": options.root, "processed_root": options.out / "cache" / name}
    turns = [] if source.up is None else [T.RandomRotate(180, axis=source.up)]
    moves = [] if options.any_pose else [*turns, T.RandomScale((0.85, 1.15)), T.RandomJitter(0.01)]
    pick = [loaders.PickDraw()] if draws > 1 else []
    steps = {"transform": T.Compose(pick + moves), "pre_transform": prepare(options, draws)}
    train = source.dataset(train=True, **steps, **settings)
    votes = gm.transforms.all_variants if options.votes > 1 else None
    steps = {"transform": votes, "pre_transform": prepare(options, options.votes)}
    return train, source.dataset(train=False, **steps, **settings)
