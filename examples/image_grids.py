"""Handwritten digits as grids of patches.

A small transformer under each mask, with and without learned positions.

    python examples/image_grids.py --root DATA/images --seeds 0 1 2

Without positions an unmasked transformer sees a bag of patches; what else a model then knows of the
picture, it knows from its mask or its convolution. Trains on random images of the training split,
the seed chooses which; nothing is selected on the test split, on which the last epoch is scored.
Without --root, scikit-learn's small digits stand in for MNIST.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import training
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GraphConv, global_mean_pool
from torchmetrics.classification import MulticlassAccuracy

import graphmask as gm
from graphmask.datasets import MNIST

INPUTS = {"": ("x",), " + positions": ("x", "place")}


class GridConv(nn.Module):
    """A convolution of all grids of a batch, three places wide along each of their 2 or 3 axes."""

    def __init__(self, channels: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        kind = nn.Conv2d if len(shape) == 2 else nn.Conv3d
        self.shape, self.convolution = shape, kind(channels, channels, 3, padding=1)

    def reset_parameters(self) -> None:
        self.convolution.reset_parameters()

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        grids = x.unflatten(0, (-1, *self.shape)).movedim(-1, 1)
        return self.convolution(grids).movedim(1, -1).flatten(0, len(self.shape))


def mixers(
    shape: tuple[int, ...], channels: int, heads: int, hops: int
) -> dict[str, dict[str, Any]]:
    """What lets patches exchange information: a mask, or a convolution."""
    return {
        "unmasked": {"mask": gm.masks.GlobalMask()},
        "walk": {"mask": gm.masks.WalkMask(hops, heads)},
        "toeplitz": {"mask": gm.masks.ToeplitzMask(shape, heads)},
        "grid diffusion": {"mask": gm.masks.GridDiffusionMask(shape, heads)},
        "graph convolution": {"conv": GraphConv(channels, channels, aggr="mean")},
        "3 x 3 convolution": {"conv": GridConv(channels, shape)},
    }


class Extras:
    """Writes what all images share.

    Walks on the grid, and each patch's place as a one-hot row, to learn an embedding of.
    """

    def __init__(self, image: Data, hops: int) -> None:
        draw = gm.transforms.AddWalks(
            gm.walks.ResampledWalks(budget=32, hops=hops), torch.Generator().manual_seed(0)
        )
        self.shared = {
            key: value for key, value in draw(image).to_dict().items() if key.startswith("walk_")
        }
        self.shared["place"] = torch.eye(image.num_nodes)

    def __call__(self, image: Data) -> Data:
        return image.update(self.shared)


def write_digits(folder: str) -> None:
    """Scikit-learn's digits in the layout of MNIST.

    8 x 8 pixels tripled, within a margin of two.
    """
    digits = load_digits()
    pixels = np.kron(digits.images, np.ones((1, 3, 3))) * (255 / 16)
    images = np.pad(pixels, ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    splits = {
        f"{name}_x": part
        for name, part in zip(("train", "test"), np.split(images, [1437]), strict=True)
    }
    splits |= {
        f"{name}_y": part
        for name, part in zip(("train", "test"), np.split(digits.target, [1437]), strict=True)
    }
    np.savez(Path(folder, "mnist.npz"), **splits)


def load(options: argparse.Namespace) -> tuple[MNIST, MNIST]:
    """Both splits."""
    with tempfile.TemporaryDirectory() as folder:
        if options.root is None:
            print("NO --root: scikit-learn's small digits stand in for MNIST")
            write_digits(folder)
        root = options.root or folder
        train, test = (
            MNIST(root, split, options.patch, processed_root=folder) for split in (True, False)
        )
    train.transform = test.transform = Extras(train[0], options.hops)
    return train, test


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = training.parser(
        __doc__, epochs=6, batch_size=64, lr=3e-3, channels=32, layers=2, hops=4
    )
    parser.add_argument("--root", type=Path, help="folder of mnist.npz")
    parser.add_argument("--patch", type=int, default=4, help="side of a patch in pixels")
    parser.add_argument("--images", type=int, default=10_000, help="number to train on")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.images, options.epochs, options.channels, options.layers, options.patch = (
            64,
            1,
            8,
            1,
            7,
        )
    return options


def main() -> None:
    options = parse()
    images, test = load(options)
    kinds = mixers(images.grid_shape, options.channels, options.heads, options.hops)

    def make(
        _: str, choice: tuple[dict[str, Any], tuple[str, ...]], seed: int
    ) -> tuple[training.Task, training.Loaders]:
        mixing, inputs = choice
        in_channels = sum(images[0][key].shape[1] for key in inputs)
        model = gm.nn.TopologicalTransformer(
            in_channels,
            options.channels,
            images.num_classes,
            options.layers,
            options.heads,
            pool=global_mean_pool,
            **mixing,
        )
        metric = MulticlassAccuracy(images.num_classes, average="micro")
        task = training.Task(model, nn.CrossEntropyLoss(), metric, options.lr, inputs)
        chosen = np.random.default_rng(seed).permutation(len(images))[: options.images].tolist()
        tested = test[:128] if options.smoke else test
        return task, training.Loaders(images[chosen], None, tested, options.batch_size, seed)

    choices = {
        kind + said: (mixing, inputs)
        for said, inputs in INPUTS.items()
        for kind, mixing in kinds.items()
    }
    training.compare("image_grids", options, make, choices)


if __name__ == "__main__":
    main()
