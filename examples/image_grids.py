"""Handwritten digits as grids of patches, with and without learned positions.

    python examples/image_grids.py --root DATA/images --seeds 0 1 2

Without positions an unmasked transformer sees a bag of patches; masks and convolutions add the
grid. The seed selects the training images, a tenth of which selects the epoch. Without --root, the
small digits of scikit-learn instead of MNIST.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import comparison
import forests
import numpy as np
import torch
import training
from comparison import Problem
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GraphConv
from torchmetrics.classification import MulticlassAccuracy
from training import Loaders, Options, Task, Variant

import graphmask as gm
from graphmask.datasets import MNIST

INPUTS = {"": ("x",), " + positions": ("x", "position")}


class GridConv(nn.Module):
    """A convolution of width 3 on all grids of a batch, of 2 or 3 axes."""

    def __init__(self, channels: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        convolution = nn.Conv2d if len(shape) == 2 else nn.Conv3d
        self.shape, self.convolution = shape, convolution(channels, channels, 3, padding=1)

    def reset_parameters(self) -> None:
        self.convolution.reset_parameters()

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        grids = x.unflatten(0, (-1, *self.shape)).movedim(-1, 1)
        return self.convolution(grids).movedim(1, -1).flatten(0, len(self.shape))


def masks_and_convolutions(shape: tuple[int, ...], options: Options) -> dict[str, Variant]:
    """The compared arguments of the model."""
    channels, heads = options.channels, options.heads
    walks = gm.masks.WalkMask(options.hops, heads, alpha=gm.masks.OneHop)
    walk = {"mask": walks, **comparison.from_one(heads)}
    return {
        "unmasked": {"mask": gm.masks.GlobalMask()},
        "walk": walk,
        "toeplitz": {"mask": gm.masks.ToeplitzMask(shape, heads)},
        "grid diffusion": {"mask": gm.masks.GridDiffusionMask(shape, heads)},
        "graph convolution": {"conv": GraphConv(channels, channels, aggr="mean")},
        "3 x 3 convolution": {"conv": GridConv(channels, shape)},
        "walk + 3 x 3 convolution": {**walk, "conv": GridConv(channels, shape)},
    }


class SharedAttributes(training.SharedWalks):
    """Adds the walks of the grid, and each patch's position as a one-hot row."""

    def __call__(self, data: Data) -> Data:
        return super().__call__(data).update({"position": torch.eye(data.num_nodes)})


def write_digits(folder: str) -> None:
    """Write scikit-learn's digits in the layout of MNIST: pixels tripled, a margin of two."""
    digits = load_digits()
    pixels = np.kron(digits.images, np.ones((1, 3, 3))) * (255 / 16)
    images = np.pad(pixels, ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    splits = {}
    for key, values in (("x", images), ("y", digits.target)):
        splits[f"train_{key}"], splits[f"test_{key}"] = np.split(values, [1437])
    np.savez(Path(folder, "mnist.npz"), **splits)


def load(options: Options) -> tuple[MNIST, MNIST]:
    """The training and the test split."""
    with tempfile.TemporaryDirectory() as folder:
        if options.root is None:
            print("No --root: the small digits of scikit-learn instead of MNIST")
            write_digits(folder)
        root, settings = options.root or folder, {"processed_root": folder}
        train, test = (MNIST(root, split, options.patch, **settings) for split in (True, False))
    shared = SharedAttributes(train[0], training.add_walks(options, budget=32))
    train.transform = test.transform = shared
    return train, test


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    defaults = {"epochs": 6, "batch_size": 64, "lr": 3e-3, "channels": 32, "layers": 2, "hops": 4}
    parser = training.make_parser(__doc__, **defaults)
    parser.add_argument("--root", type=Path, help="folder of mnist.npz")
    parser.add_argument("--patch", type=int, default=4, help="side of a patch in pixels")
    parser.add_argument("--images", type=int, default=10_000, help="number of training images")
    tiny = {"images": 64, "epochs": 1, "channels": 8, "layers": 1, "patch": 7}
    return training.parse_options(parser, arguments, **tiny)


def problem(options: Options) -> Problem:
    """The task of a run: every variant with and without positions.

    A tenth of the training images validates.
    """
    train, test = load(options)
    test = test[:128] if options.smoke else test
    choices = {
        name + suffix: {**arguments, "inputs": inputs}
        for suffix, inputs in INPUTS.items()
        for name, arguments in masks_and_convolutions(train.grid_shape, options).items()
    }

    def make(_: str, arguments: Variant, seed: int) -> tuple[Task, Loaders]:
        arguments = {"inputs": ("x",), **arguments}
        inputs = arguments.pop("inputs")
        channels = sum(train[0][key].shape[1] for key in inputs)
        model = training.graph_model(options, channels, train.num_classes, **arguments)
        metric = MulticlassAccuracy(train.num_classes, average="micro")
        task = Task(model, training.cross_entropy(options), metric, options, inputs)
        order = np.random.default_rng(seed).permutation(len(train))[: options.images].tolist()
        val = len(order) // 10
        return task, Loaders(train[order[val:]], train[order[:val]], test, options.batch_size, seed)

    masks = partial(gm.masks.WalkMask, options.hops, options.heads)
    conv = GridConv(options.channels, train.grid_shape)
    return Problem(
        "image_grids", make, choices, masks, conv, pools=("mean", "max"), tables=forests.graphs
    )


if __name__ == "__main__":
    settings = parse()
    comparison.compare(problem(settings), settings)
