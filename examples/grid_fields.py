"""The next hour of a storm: regression of a 3-D field with masks of the grid and convolutions.

    python examples/grid_fields.py --file DATA/isabel/isabel_velmag_f16.npz --stride 5 5 5

--file is any numpy file that `graphmask.datasets.GridField` reads. The last third of its steps is
for testing, the step before for validation. Models predict the change of each cell from its value
and position. Without --file, a generated field of blobs in a constant wind.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import comparison
import numpy as np
import torch
import training
from comparison import Problem
from image_grids import GridConv
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import GraphConv
from torchmetrics import MeanSquaredError
from training import Loaders, Options, Task, Variant

import graphmask as gm
from graphmask.datasets import GridField


class NextStep(Task):
    """Adds the output of the model to the present value, in units of the file."""

    def __init__(self, model: nn.Module, train: GridField, options: Options) -> None:
        super().__init__(model, nn.MSELoss(), MeanSquaredError(squared=False), options)
        self.mean, self.std = float(train.x.mean()), float(train.x.std())
        self.change = float((train.y - train.x[:, -1:]).std())
        self.size = torch.tensor(train.grid_shape) * torch.tensor(train.stride)

    def forward(self, batch: Batch) -> Tensor:
        position = 2 * batch.pos / self.size.to(batch.pos) - 1
        x = torch.cat([(batch.x - self.mean) / self.std, position], 1)
        return batch.x[:, -1:] + self.change * self.model(x, gm.Topology.from_data(batch))


def choices(shape: tuple[int, ...], options: Options) -> dict[str, Variant]:
    """Masks of the grid, walks, no mask, and convolutions."""
    channels, heads = options.channels, options.heads
    height = gm.masks.ToeplitzMask(shape[0], heads)
    plane = gm.masks.GridDiffusionMask(shape[1:], heads)
    walk, unmasked = gm.masks.WalkMask(options.hops, heads), gm.masks.GlobalMask()
    local = GraphConv(channels, channels, aggr="mean")
    return {
        "grid diffusion": {"mask": gm.masks.GridDiffusionMask(shape, heads, per_axis=True)},
        "kronecker": {"mask": gm.masks.KroneckerMask(height, plane)},
        "walk": {"mask": walk},
        "walk + local": {"mask": walk, "conv": local},
        "walk + convolution": {"mask": walk, "conv": GridConv(channels, shape)},
        "unmasked": {"mask": unmasked},
        "unmasked + local": {"mask": unmasked, "conv": local},
        "local": {"conv": local},
        "convolution": {"conv": GridConv(channels, shape)},
    }


def write_blobs(path: Path) -> None:
    """Write 12 steps of smooth noise on a 6 x 24 x 24 torus in a constant wind."""
    shape, wind = (6, 24, 24), (0.0, 0.7, -0.4)
    waves = np.stack(np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij"))
    noise = np.fft.fftn(np.random.default_rng(0).standard_normal(shape))
    noise *= np.exp(-60 * (waves**2).sum(0))
    phase = np.tensordot(wind, waves, 1)
    spectra = (noise * np.exp(-2j * np.pi * step * phase) for step in range(12))
    field = np.stack([np.fft.ifftn(spectrum).real for spectrum in spectra])
    np.save(path, (field / field.std()).astype(np.float32))


def load(options: Options) -> GridField:
    """All steps of the file."""
    if options.file is not None:
        stride = options.stride[0] if len(options.stride) == 1 else options.stride
        return GridField(options.file, stride, options.history)
    print("No --file: a generated field of blobs in a constant wind")
    with tempfile.TemporaryDirectory() as folder:
        write_blobs(Path(folder, "blobs.npy"))
        return GridField(Path(folder, "blobs.npy"), 2, options.history)


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    defaults = {"epochs": 8, "batch_size": 4, "channels": 32, "layers": 2, "hops": 4, "lr": 3e-3}
    parser = training.make_parser(__doc__, **defaults)
    add = parser.add_argument
    add("--file", type=Path, help="a .npy or .npz file of the steps of a field")
    add("--stride", type=int, nargs="+", default=[5], help="cells between neighbours, per axis")
    add("--history", type=int, default=1, help="number of steps in the input")
    add("--examples", type=int, default=200, help="number of training examples, drawn by the seed")
    return training.parse_options(parser, arguments, epochs=1, channels=8, layers=1, examples=8)


def problem(options: Options) -> Problem:
    """The task of a run, with the error of predicting no change."""
    field = load(options)
    field.transform = training.SharedWalks(field[0], training.add_walks(options, budget=64))
    steps = field.times
    first = steps[-max(len(steps) // 3, 1)]
    before = max(step for step in steps if step < first)
    train, val = field[field.time < before], field[field.time == before]
    test = field[field.time >= first]

    def make(_: str, arguments: Variant, seed: int) -> tuple[Task, Loaders]:
        channels = options.history + len(field.grid_shape)
        model = training.make_model(options, channels, 1, **arguments)
        order = np.random.default_rng(seed).permutation(len(train))[: options.examples]
        loaders = Loaders(train[order.tolist()], val, test, options.batch_size, seed)
        return NextStep(model, train, options), loaders

    squares = [(data.y - data.x[:, -1:]).square().mean() for data in test]
    rules = {"no change": float(torch.stack(squares).mean().sqrt())}
    masks = partial(gm.masks.WalkMask, options.hops, options.heads)
    conv, rows = comparison.local_mean(options), choices(field.grid_shape, options)
    return Problem("grid_fields", make, rows, masks, conv, "RMSE", rules)


if __name__ == "__main__":
    settings = parse()
    comparison.compare(problem(settings), settings)
