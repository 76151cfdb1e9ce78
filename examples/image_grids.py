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
    "toeplitz": Mixer(gm.masks.ToeplitzMask),
    "grid diffusion": Mixer(gm.masks.GridDiffusionMask),
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


def train(name: str, inputs: list[str], seed: int, data: tuple[MNIST, MNIST], options: argparse.Namespace) -> list[float]:
    """Train on a random part of the training split; accuracy on the test split, CPU seconds per epoch, number of parameters."""
    L.seed_everything(seed, verbose=False)
    images, test = data
    mixer, channels, shape = MIXERS[name], options.channels, images.grid_shape
    in_channels = sum(images[0][key].shape[1] for key in inputs)
    mixing = {"mask": mixer.mask(shape, 4), "conv": mixer.conv(channels, shape)}
    model = gm.nn.TopologicalTransformer(
        in_channels, channels, images.num_classes, options.layers, heads=4, pool=global_mean_pool, **mixing
    )
    chosen = np.random.default_rng(seed).permutation(len(images))[: options.images].tolist()
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary", "enable_progress_bar"), False)
    few = 2 if options.smoke else None
    trainer = L.Trainer(
        max_epochs=options.epochs,
        gradient_clip_val=1.0,
        use_distributed_sampler=False,
        limit_val_batches=0,
        limit_test_batches=few,
        **quiet,
    )
    task = Classifier(model, images.num_classes, inputs, options.lr)
    loaders = Images(Subset(images, chosen), test, batch_size=64, seed=seed)
    start = time.process_time()
    trainer.fit(task, loaders)
    seconds = (time.process_time() - start) / options.epochs
    accuracy = trainer.test(task, loaders, verbose=False)[0]["test_acc"]
    print(f"{name:20} {'+'.join(inputs):8} seed {seed}: {accuracy:.4f}, {seconds:.1f} CPU s per epoch", flush=True)
    return [accuracy, seconds, sum(p.numel() for p in model.parameters())]


def main() -> None:
    """Train every mixer and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", type=Path, help="folder of mnist.npz (default: scikit-learn's digits)")
    parser.add_argument("--masks", nargs="+", choices=tuple(MIXERS), default=list(MIXERS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--smoke", action="store_true", help="a tiny run that only shows that everything works")
    sizes = {"patch": 4, "images": 10_000, "epochs": 6, "channels": 32, "layers": 2, "lr": 3e-3}
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=type(size), default=size, help=f"(default: {size})")
    options = parser.parse_args()
    if options.smoke:
        options.images, options.epochs, options.channels, options.layers, options.patch = 64, 1, 8, 1, 7
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    data = load(options)
    table = Table("", "bag of patches", "with positions", "CPU s / epoch", "parameters", title="test accuracy: mean (range)")
    for name in options.masks:
        results = [[train(name, inputs, seed, data, options) for seed in options.seeds] for inputs in (["x"], ["x", "place"])]
        scores = [[accuracy for accuracy, *_ in part] for part in results]
        cells = [f"{np.mean(part):.4f} ({min(part):.4f} to {max(part):.4f})" for part in scores]
        _, seconds, parameters = np.median(results[0], axis=0)
        table.add_row(name, *cells, f"{seconds:.1f}", f"{parameters:,.0f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
