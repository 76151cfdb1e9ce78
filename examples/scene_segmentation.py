"""Ground points of airborne scans: a label per point in whole scenes of more than 30,000 points.

    python examples/scene_segmentation.py --root DATA/lidar --test samp11 samp12 samp61

Reads the ISPRS filter test and trains on all other scans. Without --root, generated terrain.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import Any

import comparison
import forests
import numpy as np
import torch
import training
from comparison import Problem
from scipy import ndimage
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, Subset
from torch_geometric import transforms as T
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torchmetrics import Metric
from torchmetrics.functional.classification import multiclass_cohen_kappa
from training import Loaders, Options, Task, Variant

import graphmask as gm
from graphmask.datasets import ISPRSFilterTest, TerrainScenes


class PlanGraph(T.BaseTransform):
    """Joins each point to its nearest neighbours in the plane, whatever the height."""

    def __init__(self, k: int = 8) -> None:
        self.k = k

    def forward(self, data: Data) -> Data:
        data.edge_index = gm.transforms.knn_graph(data.pos[:, :2].contiguous(), self.k)
        return T.ToUndirected()(data)


class OpenedHeights(T.BaseTransform):
    """Writes x: the height above surfaces without objects of several sizes, and their slopes.

    A surface is the grid of the lowest points, opened by a square that reaches ``window`` metres
    to each side: objects that are narrower are gone from it (Zhang et al., "A progressive
    morphological filter for removing nonground measurements from airborne LIDAR data", 2003).
    """

    def __init__(
        self, windows: Sequence[int] = (1, 2, 3, 5, 8, 12, 18, 27, 40), cell: float = 1.0
    ) -> None:
        self.windows, self.cell = windows, cell

    def forward(self, data: Data) -> Data:
        height = data.pos[:, 2].double().numpy()
        place = (data.pos[:, :2] - data.pos[:, :2].amin(0)).double().numpy() / self.cell
        lowest, columns = lowest_points(place, height), []
        for window in self.windows:
            reach = window / self.cell
            surface = ndimage.grey_opening(lowest, 2 * round(reach) + 1, mode="nearest")
            slope = np.hypot(*np.gradient(ndimage.gaussian_filter(surface, reach / 2), self.cell))
            above, slope = (height - between(surface, place), between(slope, place))
            columns += [np.sign(above) * np.log1p(np.abs(above)), slope]
        data.x = torch.from_numpy(np.stack(columns, 1)).float()
        return data


def lowest_points(place: np.ndarray, height: np.ndarray) -> np.ndarray:
    """The lowest height of each cell of a grid; of the nearest cell where one is empty."""
    row, column = place.astype(int).T
    grid = np.full((row.max() + 1, column.max() + 1), np.inf)
    np.minimum.at(grid, (row, column), height)
    empty = np.isinf(grid)
    nearest = ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True)
    return grid[tuple(nearest)]


def between(grid: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The values of a grid at places, linear between the centres of its cells."""
    return ndimage.map_coordinates(grid, place.T - 0.5, order=1, mode="nearest")


class HeightFeatures(T.BaseTransform):
    """Adds to x the height above the lowest point and above the mean within 1, 2, 4, ... hops."""

    def __init__(self, scales: int = 4) -> None:
        self.scales = scales

    def forward(self, data: Data) -> Data:
        source, target = data.edge_index
        pattern, weight = gm.Topology.from_data(data).adjacency("rw")
        height = data.pos[:, 2]
        lowest, mean, columns = height, height, []
        for hop in range(1, 2 ** (self.scales - 1) + 1):
            lowest = lowest.scatter_reduce(0, target, lowest[source], "amin")
            mean = gm.kernels.spmm(pattern, weight.unsqueeze(0), mean.reshape(1, -1, 1)).flatten()
            if hop & (hop - 1) == 0:
                columns += [(height - lowest).log1p(), (height - mean).clamp(-20, 20) / 5]
        known = [] if data.x is None else [data.x]
        data.x = torch.cat([*known, torch.stack(columns, 1)], 1)
        data.pos = (data.pos - data.pos.mean(0)) / 100  # in hundreds of metres, of order one
        return data


class SceneError(Metric):
    """Mean over scenes of the share of wrong points; keeps the share and Cohen's kappa of each."""

    higher_is_better = False
    full_state_update = False

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("scenes", [], dist_reduce_fx="cat")

    def update(self, predicted: Tensor, target: Tensor) -> None:
        label = predicted.argmax(1)
        kappa = multiclass_cohen_kappa(label, target, self.num_classes)
        self.scenes.append(torch.stack([(label != target).float().mean(), kappa]).unsqueeze(0))

    def compute(self) -> Tensor:
        return torch.cat(list(self.scenes))[:, 0].mean()


class Segmentation(Task):
    """Prints the error of every test scene."""

    def on_test_batch_end(self, _: Any, batch: Batch, *__: Any) -> None:
        error, kappa = (100 * self.metrics["test"].scenes[-1][0]).tolist()
        name = batch.name[0] if "name" in batch else "generated"
        print(f"{name}: {batch.num_nodes:,} points, error {error:.2f} %, kappa {kappa:.1f} %")


class SceneLoaders(Loaders):
    """Validate and test scene by scene, as the metric counts them, whatever the batches are."""

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.val, 1)

    def test_dataloader(self) -> DataLoader:
        return self._loader(self.test, 1)


def load(options: Options) -> tuple[list[str], ConcatDataset, ConcatDataset]:
    """Names of the scenes, and the scenes, rotated at random and as they are."""
    # Positions are scaled before nodes are reordered; walks are drawn last.
    draw = training.add_walks(options, options.budget)
    steps = [PlanGraph(), OpenedHeights(), HeightFeatures(), gm.transforms.ReorderNodes(), draw]
    settings = {"pre_transform": T.Compose(steps)}
    if options.root is not None:
        name = f"isprs-opened-budget{options.budget}-hops{options.hops}"
        first, settings["processed_root"] = ISPRSFilterTest.scans[0], options.out / "cache" / name
        scans = [ISPRSFilterTest(options.root, first, part, **settings) for part in (False, True)]
        names = [scene.name for scan in scans for scene in scan]
    else:
        print("No --root: generated terrain, whose figures say nothing about real scans.")
        scans = [TerrainScenes(None, True, options.points, options.scenes, **settings)]
        names = [f"scene{number}" for number in range(options.scenes)]
    rotated = [copy(scan) for scan in scans]
    for scan in rotated:
        scan.transform = T.RandomRotate(180, axis=2)
    return names, ConcatDataset(rotated), ConcatDataset(scans)


def held_out(options: Options, names: list[str], seed: int) -> tuple[list[str], list[str]]:
    """The validation and the test scenes."""
    if options.by_seed:
        return [names[(seed + 1) % len(names)]], [names[seed % len(names)]]
    if options.root is None:
        return names[-2:-1], names[-1:]
    return options.validation, options.test


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    parser = training.make_parser(__doc__, batch_size=1, epochs=16, lr=4e-3, channels=32)
    add = parser.add_argument
    add("--root", help="folder of the ISPRS filter test (default: generated terrain)")
    add("--test", nargs="+", default=["samp11"], help="test scans")
    add("--validation", nargs="+", default=["samp22"], help="validation scans")
    add("--by-seed", action="store_true", help="test scan number SEED, validate the next")
    add("--points", type=int, default=32_768, help="points of a generated scene")
    add("--scenes", type=int, default=8, help="generated scenes, one each to validate and test")
    add("--budget", type=int, default=64, help="entries of the mask per point")
    tiny = {"points": 2_048, "scenes": 4, "epochs": 1, "layers": 2, "channels": 16}
    return training.parse_options(parser, arguments, **tiny)


def problem(options: Options) -> Problem:
    """The task of a run; the graphs are built once."""
    names, rotated, fixed = load(options)
    num_classes = fixed.datasets[0].num_classes

    def make(_: str, arguments: Variant, seed: int) -> tuple[Segmentation, Loaders]:
        val, test = held_out(options, names, seed)
        kept = [name for name in names if name not in (*val, *test)]
        train, *others = (
            Subset(scenes, [names.index(name) for name in part])
            for scenes, part in ((rotated, kept), (fixed, val), (fixed, test))
        )
        channels = train[0].x.shape[1] + 3
        model = training.make_model(options, channels, num_classes, **arguments)
        metric, inputs = SceneError(num_classes), ("x", "pos")
        task = Segmentation(model, nn.CrossEntropyLoss(), metric, options, inputs)
        return task, SceneLoaders(train, *others, options.batch_size, seed)

    masks = partial(gm.masks.WalkMask, options.hops, options.heads)
    conv, score = comparison.edge_conv(options), "mean error of a scene"
    choices = comparison.variants(masks(), conv)
    return Problem(
        "scene_segmentation", make, choices, masks, conv, score, dim=3, tables=forests.points
    )


if __name__ == "__main__":
    settings = parse()
    comparison.compare(problem(settings), settings)
