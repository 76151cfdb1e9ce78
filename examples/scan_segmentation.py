"""A class for every point of a street scan, learned on one half of it and tested on the other.

    python examples/scan_segmentation.py --root DATA/lidar

Reads the first scan of `graphmask.datasets.SemanticKITTI` and cuts it about the sensor into 30
wedges: every second one is for testing, three of the others for validation; the seed turns the
cuts. No edge joins two wedges. Without --root, generated terrain.
"""

from __future__ import annotations

import math
from functools import partial

import comparison
import forests
import torch
import training
from comparison import Problem
from torch import Tensor
from torch_geometric import transforms as T
from torch_geometric.data import Data, Dataset
from torchmetrics.classification import MulticlassAccuracy
from training import Loaders, Options, Task, Variant

import graphmask as gm
from graphmask.datasets import SemanticKITTI, TerrainScenes

TURN = 2 * math.pi
WEDGES, VALIDATE_EACH = 30, 10


class Wedges(Dataset):
    """Parts of a scan, each with its graph, changed at every access."""

    def __init__(self, parts: list[Data], transform: T.BaseTransform | None = None) -> None:
        super().__init__(transform=transform)
        self.parts = parts

    def len(self) -> int:
        return len(self.parts)

    def get(self, idx: int) -> Data:
        return self.parts[idx].clone()


def read(options: Options) -> Data:
    """Points, the strengths of their echoes if known, and classes; -100 for none."""
    if options.root is not None:
        scan = SemanticKITTI(options.root)[0]
        return Data(pos=scan.pos, x=scan.x[:, :1], y=scan.y)
    print("No --root: generated terrain, whose figures say nothing about real scans.")
    scan = TerrainScenes(None, True, options.points, 1)[0]
    pos = scan.pos - scan.pos.mean(0)
    return Data(pos=pos, x=torch.ones(len(pos), 1), y=scan.y)


class Surroundings(T.BaseTransform):
    """Writes x: echo, distance and height, and the shape of what is within 1, 2, 4 hops.

    Shape: how much points lie on a line, on a plane or in all directions, how steep the plane is,
    and the height above their mean, from the eigenvalues of their covariance (Weinmann et al.,
    "Semantic point cloud interpretation based on optimal neighborhoods", 2015).
    """

    def __init__(self, scales: int = 3) -> None:
        self.scales = scales

    def forward(self, data: Data) -> Data:
        distance = data.pos[:, :2].norm(dim=1, keepdim=True)
        columns = [data.x, distance / 20, data.pos[:, 2:] / 2]
        pattern, weight = gm.Topology.from_data(data).adjacency("rw")
        products = (data.pos.unsqueeze(2) * data.pos.unsqueeze(1)).flatten(1)
        moments = torch.cat([data.pos, products], 1).double()
        for hop in range(1, 2 ** (self.scales - 1) + 1):
            moments = gm.kernels.spmm(pattern, weight.double()[None], moments[None])[0]
            if hop & (hop - 1) == 0:
                columns.append(self.shape(data.pos[:, 2], moments).float())
        data.x = torch.cat(columns, 1)
        data.pos = data.pos / 20
        return data

    def shape(self, height: Tensor, moments: Tensor) -> Tensor:
        """The columns of a scale, from means of positions and of their products."""
        mean = moments[:, :3]
        covariance = moments[:, 3:].view(-1, 3, 3) - mean.unsqueeze(2) * mean.unsqueeze(1)
        size, axes = torch.linalg.eigh(covariance)
        small, middle, large = size.clamp(min=1e-6).sqrt().T
        ratios = [(large - middle) / large, (middle - small) / large, small / large]
        return torch.stack([*ratios, axes[:, 2, 0].abs(), height - mean[:, 2]], 1)


def cut(options: Options, seed: int) -> tuple[Wedges, Wedges, Wedges]:
    """Wedges for training, validation and testing, the cuts turned by the seed."""
    scan = read(options)
    turn = torch.atan2(scan.pos[:, 1], scan.pos[:, 0]) / TURN - seed / (2 * WEDGES + 1)
    wedge = (turn % 1 * WEDGES).long().clamp(max=WEDGES - 1)
    prepare = T.Compose(
        [
            gm.transforms.KNNGraph(options.k, force_undirected=True),
            Surroundings(),
            gm.transforms.ReorderNodes(),
            training.add_walks(options, options.budget, seed),
        ]
    )
    parts = [prepare(scan.subgraph(wedge == number)) for number in range(WEDGES)]
    moves = [T.RandomRotate(180, axis=2), T.RandomScale((0.9, 1.1)), T.RandomFlip(1)]
    val, test = range(0, WEDGES, VALIDATE_EACH), range(1, WEDGES, 2)
    train = sorted(set(range(WEDGES)) - {*val, *test})
    return (
        Wedges([parts[number] for number in train], T.Compose(moves)),
        Wedges([parts[number] for number in val]),
        Wedges([parts[number] for number in test]),
    )


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    sizes = {"batch_size": 4, "channels": 48, "dropout": 0.2}
    recipe = {"epochs": 120, "validate_every": 12, "lr": 4e-3, "weight_decay": 0.05, "ema": 0.95}
    parser = training.make_parser(__doc__, **sizes, **recipe)
    add = parser.add_argument
    add("--root", help="folder of scans (default: generated terrain)")
    add("--points", type=int, default=32_768, help="points of generated terrain")
    add("--k", type=int, default=8, help="neighbours of each point in the graph")
    add("--budget", type=int, default=32, help="pairs stored per node")
    tiny = {"points": 2_048, "epochs": 1, "validate_every": 1, "layers": 2, "channels": 16}
    return training.parse_options(parser, arguments, **tiny)


def problem(options: Options) -> Problem:
    """The task of a run."""
    source = TerrainScenes if options.root is None else SemanticKITTI
    num_classes = len(source.class_names)
    inputs = ["x", "pos"]

    def make(_: str, arguments: Variant, seed: int) -> tuple[Task, Loaders]:
        parts = cut(options, seed)
        channels = sum(parts[0][0][name].shape[1] for name in inputs)
        model = training.make_model(options, channels, num_classes, **arguments)
        accuracy = MulticlassAccuracy(num_classes, average="micro", ignore_index=-100)
        task = Task(model, training.cross_entropy(options), accuracy, options, inputs)
        return task, Loaders(*parts, options.batch_size, seed)

    masks = partial(gm.masks.WalkMask, options.hops, options.heads)
    conv = comparison.edge_conv(options)
    rotary = gm.values.RotaryValues(options.heads, options.channels // options.heads, 3)
    choices = comparison.variants(masks(), conv, values=rotary)
    return Problem("scan_segmentation", make, choices, masks, conv, dim=3, tables=forests.points)


if __name__ == "__main__":
    settings = parse()
    comparison.compare(problem(settings), settings)
