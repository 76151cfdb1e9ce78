"""Handwritten digits as grids of patches: a small transformer under each mask, with and without learned positions.

    python examples/image_grids.py --root DATA/images --seeds 0 1 2

Without positions an unmasked transformer sees a bag of patches; what else a model then knows of the picture, it knows from its
mask or its convolution. Without --root, scikit-learn's small digits stand in for MNIST.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import lightning as L
import numpy as np
import torch
from point_cloud_classification import Classifier, PointClouds
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import Subset
from torch_geometric.data import Data
from torch_geometric.nn import GraphConv, global_mean_pool

import graphmask as gm
from graphmask.datasets import MNIST

Shape = tuple[int, int]


class GridConv(nn.Module):
    """A 3 x 3 convolution of all grids of a batch."""

    def __init__(self, channels: int, shape: Shape) -> None:
        super().__init__()
        self.shape, self.convolution = shape, nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        grids = x.unflatten(0, (-1, *self.shape)).permute(0, 3, 1, 2)
        return self.convolution(grids).permute(0, 2, 3, 1).flatten(0, 2)


class Mixer(NamedTuple):
    """What lets patches exchange information: a mask of (shape, heads), or a convolution of (channels, shape)."""

    mask: Callable[[Shape, int], gm.masks.TopologicalMask | None] = lambda *_: None
    conv: Callable[[int, Shape], nn.Module | None] = lambda *_: None


MIXERS = {
    "unmasked": Mixer(lambda *_: gm.masks.GlobalMask()),
    "walk": Mixer(lambda _, heads: gm.masks.WalkMask(hops=4, heads=heads)),
    "graph convolution": Mixer(conv=lambda channels, _: GraphConv(channels, channels, aggr="mean")),
    "3 x 3 convolution": Mixer(conv=GridConv),
}


class Images(PointClouds):
    """Trains on all the training images: nothing is selected, so nothing is held out."""

    def held_out(self, index: int) -> bool:
        return False


class Extras:
    """Writes what all images share: walks on the grid, and each patch's place as a one-hot row, to learn an embedding of."""

    def __init__(self, image: Data) -> None:
        walked = gm.transforms.AddWalks(gm.walks.ResampledWalks(budget=32, hops=4), torch.Generator().manual_seed(0))(image)
        self.shared = {key: value for key, value in walked.to_dict().items() if key.startswith("walk_")}
        self.shared["place"] = torch.eye(image.num_nodes)

    def __call__(self, image: Data) -> Data:
        return image.update(self.shared)


def write_digits(folder: str) -> None:
    """Scikit-learn's digits in the layout of MNIST: 8 x 8 pixels tripled, within a margin of two."""
    digits = load_digits()
    pixels = np.kron(digits.images, np.ones((1, 3, 3))) * (255 / 16)
    images = np.pad(pixels, ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    splits = {f"{name}_x": part for name, part in zip(("train", "test"), np.split(images, [1437]), strict=True)}
    splits |= {f"{name}_y": part for name, part in zip(("train", "test"), np.split(digits.target, [1437]), strict=True)}
    np.savez(Path(folder, "mnist.npz"), **splits)


def load(options: argparse.Namespace) -> tuple[MNIST, MNIST]:
    """Both splits."""
    with tempfile.TemporaryDirectory() as folder:
        if options.root is None:
            write_digits(folder)
        root = options.root or folder
        train, test = (MNIST(root, split, options.patch, processed_root=folder) for split in (True, False))
    train.transform = test.transform = Extras(train[0])
    return train, test


class Result(NamedTuple):
    accuracy: float
    seconds: float
    parameters: int


def train(name: str, inputs: list[str], seed: int, data: tuple[MNIST, MNIST], options: argparse.Namespace) -> Result:
    """Train on a random part of the training split, test on the whole test split."""
    L.seed_everything(seed, verbose=False)
    images, test = data
    shape, mixer = images.grid_shape, MIXERS[name]
    model = gm.nn.TopologicalTransformer(
        sum(images[0][key].shape[1] for key in inputs),
        options.channels,
        images.num_classes,
        options.layers,
        options.heads,
        mask=mixer.mask(shape, options.heads),
        conv=mixer.conv(options.channels, shape),
        pool=global_mean_pool,
    )
    chosen = np.random.default_rng(seed).permutation(len(images))[: options.images].tolist()
    trainer = L.Trainer(
        max_epochs=options.epochs,
        gradient_clip_val=1.0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        limit_val_batches=0,
        limit_test_batches=2 if options.smoke else None,
    )
    task = Classifier(model, images.num_classes, inputs, options.lr)
    loaders = Images(Subset(images, chosen), test, options.batch_size, seed)
    start = time.perf_counter()
    trainer.fit(task, loaders)
    seconds = (time.perf_counter() - start) / options.epochs
    accuracy = trainer.test(task, loaders, verbose=False)[0]["test_acc"]
    return Result(accuracy, seconds, sum(p.numel() for p in model.parameters()))


def main() -> None:
    """Train every mixer and print the table."""
    style = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], formatter_class=style)
    add = parser.add_argument
    add("--root", type=Path, help="folder of mnist.npz (default: scikit-learn's digits)")
    add("--masks", nargs="+", choices=tuple(MIXERS), default=list(MIXERS))
    add("--patch", type=int, default=4, help="side of a patch in pixels")
    add("--images", type=int, default=10_000, help="training images")
    add("--epochs", type=int, default=4)
    add("--batch-size", type=int, default=64)
    add("--channels", type=int, default=32)
    add("--layers", type=int, default=2)
    add("--heads", type=int, default=4)
    add("--lr", type=float, default=3e-3)
    add("--seeds", type=int, nargs="+", default=[0])
    add("--smoke", action="store_true", help="a tiny run that only shows that everything works")
    options = parser.parse_args()
    if options.smoke:
        options.images, options.epochs, options.channels, options.layers, options.patch = 32, 1, 8, 1, 7
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    data = load(options)
    table = Table("", "bag of patches", "with positions", "s / epoch", "parameters", title="Test accuracy: mean (range)")
    for name in options.masks:
        results = [[train(name, inputs, seed, data, options) for seed in options.seeds] for inputs in (["x"], ["x", "place"])]
        cells = [f"{np.mean(a):.4f} ({min(a):.4f} to {max(a):.4f})" for a in ([r.accuracy for r in part] for part in results)]
        print(f"{name:20}{cells}", flush=True)
        table.add_row(name, *cells, f"{np.median([r.seconds for r in results[0]]):.1f}", f"{results[0][0].parameters:,}")
    Console().print(table)


if __name__ == "__main__":
    main()
