"""The next hour of a storm.

Regression of a 3-D field on its grid, masks of the grid against convolutions and no change.

    python examples/grid_fields.py --file DATA/isabel/isabel_velmag_f16.npz --stride 5 5 5

Any numpy file that `graphmask.datasets.GridField` reads will do. The last third of its steps is for
testing, the step before for validation. The field is cut into interleaved coarser grids by the
stride, and models predict the change of each node's value from the value now and the node's place.
Without --file a generated field, blobs carried by a constant wind, stands in.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import training
from image_grids import GridConv
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GraphConv
from torchmetrics import MeanSquaredError

import graphmask as gm
from graphmask.datasets import GridField


class NextStep(training.Task):
    """Adds what the model says to the present value; all in units of the file."""

    def __init__(self, model: nn.Module, train: GridField, lr: float) -> None:
        super().__init__(model, nn.MSELoss(), MeanSquaredError(squared=False), lr)
        self.mean, self.std = float(train.x.mean()), float(train.x.std())
        self.change = float((train.y - train.x[:, -1:]).std())
        self.size = torch.tensor(train.grid_shape) * torch.tensor(train.stride)

    def forward(self, batch: Batch) -> Tensor:
        place = 2 * batch.pos / self.size.to(batch.pos) - 1
        x = torch.cat([(batch.x - self.mean) / self.std, place], 1)
        return batch.x[:, -1:] + self.change * self.model(x, gm.Topology.from_data(batch))


def mixers(shape: tuple[int, ...], options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """How the nodes of a grid mix.

    In height and in the plane, over walks, all alike, or with their neighbours.
    """
    channels, heads = options.channels, options.heads
    layers = gm.masks.KroneckerMask(
        gm.masks.ToeplitzMask(shape[0], heads), gm.masks.GridDiffusionMask(shape[1:], heads)
    )
    walk, local = gm.masks.WalkMask(options.hops, heads), GraphConv(channels, channels, aggr="mean")
    return {
        "grid diffusion": {"mask": gm.masks.GridDiffusionMask(shape, heads, per_axis=True)},
        "kronecker": {"mask": layers},
        "walk": {"mask": walk},
        "walk + local": {"mask": walk, "conv": local},
        "walk + convolution": {"mask": walk, "conv": GridConv(channels, shape)},
        "unmasked": {"mask": gm.masks.GlobalMask()},
        "unmasked + local": {"mask": gm.masks.GlobalMask(), "conv": local},
        "local": {"conv": local},
        "convolution": {"conv": GridConv(channels, shape)},
    }


class SharedWalks:
    """Writes the walks on the grid, drawn once, to every example."""

    def __init__(self, data: Data, hops: int, budget: int) -> None:
        draw = gm.transforms.AddWalks(
            gm.walks.ResampledWalks(budget, hops), torch.Generator().manual_seed(0)
        )
        self.shared = {
            key: value for key, value in draw(data).to_dict().items() if key.startswith("walk_")
        }

    def __call__(self, data: Data) -> Data:
        return data.update(self.shared)


def write_blobs(path: Path) -> None:
    """Smooth noise on a 6 x 24 x 24 torus that a constant wind carries on, in 12 steps."""
    shape, wind = (6, 24, 24), (0.0, 0.7, -0.4)
    waves = np.stack(np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij"))
    noise = np.fft.fftn(np.random.default_rng(0).standard_normal(shape)) * np.exp(
        -60 * (waves**2).sum(0)
    )
    moved = [
        noise * np.exp(-2j * np.pi * step * np.tensordot(wind, waves, 1)) for step in range(12)
    ]
    field = np.stack([np.fft.ifftn(spectrum).real for spectrum in moved])
    np.save(path, (field / field.std()).astype(np.float32))


def load(options: argparse.Namespace) -> GridField:
    """All steps of the file."""
    if options.file is not None:
        return GridField(
            options.file,
            options.stride[0] if len(options.stride) == 1 else options.stride,
            options.history,
        )
    print("NO --file: a generated field stands in, blobs carried by a constant wind")
    with tempfile.TemporaryDirectory() as folder:
        write_blobs(Path(folder, "blobs.npy"))
        return GridField(Path(folder, "blobs.npy"), 2, options.history)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = training.parser(
        __doc__, epochs=8, batch_size=4, channels=32, layers=2, hops=4, lr=3e-3
    )
    parser.add_argument("--file", type=Path, help="a .npy or .npz file of the field's steps")
    parser.add_argument(
        "--stride",
        type=int,
        nargs="+",
        default=[5],
        help="cells between neighbours, of all axes or each",
    )
    parser.add_argument("--history", type=int, default=1, help="steps that the model sees")
    parser.add_argument(
        "--examples", type=int, default=200, help="number to train on, chosen by the seed"
    )
    options = parser.parse_args(arguments)
    if options.smoke:
        options.epochs, options.channels, options.layers, options.examples = 1, 8, 1, 8
    return options


def main() -> None:
    options = parse()
    field = load(options)
    field.transform = SharedWalks(field[0], options.hops, budget=64)
    steps = field.times
    first = steps[-max(len(steps) // 3, 1)]
    before = max(step for step in steps if step < first)
    train, val, test = (
        field[field.time < before],
        field[field.time == before],
        field[field.time >= first],
    )

    def make(_: str, mixing: dict[str, Any], seed: int) -> tuple[training.Task, training.Loaders]:
        inputs = options.history + len(field.grid_shape)
        model = gm.nn.TopologicalTransformer(
            inputs, options.channels, 1, options.layers, options.heads, **mixing
        )
        chosen = np.random.default_rng(seed).permutation(len(train))[: options.examples].tolist()
        return NextStep(model, train, options.lr), training.Loaders(
            train[chosen], val, test, options.batch_size, seed
        )

    training.compare("grid_fields", options, make, mixers(field.grid_shape, options), "test RMSE")
    held = [(data.y - data.x[:, -1:]).square().mean() for data in test]
    print(f"No change at all: a test RMSE of {float(torch.stack(held).mean().sqrt()):.4f}")


if __name__ == "__main__":
    main()
