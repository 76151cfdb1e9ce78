"""Whole scenes of more than 30,000 points, a class for each point.

Which ones are ground? Nothing is cropped.

    python examples/scene_segmentation.py --root DATA/lidar --test samp11 samp12 samp61

Reads the ISPRS filter test, and trains on the scans that are not named. Without --root, generated
terrain stands in.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric import transforms as T
from torch_geometric.data import Batch, Data
from torchmetrics import Metric
from torchmetrics.functional.classification import multiclass_cohen_kappa
from training import Loaders, Task, compare, parser, variants

import graphmask as gm
from graphmask.datasets import ISPRSFilterTest, TerrainScenes


class PlanGraph(T.BaseTransform):
    """Joins each point to its nearest in the plane.

    The ground beside a house is its neighbour, whatever the height.
    """

    def __init__(self, k: int = 8) -> None:
        self.k = k

    def forward(self, data: Data) -> Data:
        data.edge_index = gm.transforms.knn_graph(data.pos[:, :2].contiguous(), self.k)
        return T.ToUndirected()(data)


class HeightFeatures(T.BaseTransform):
    """Writes ``x``: how high each point lies above the lowest, and above the mean, of what it reaches in 1, 2, 4... hops."""

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
        data.x = torch.stack(columns, 1)
        data.pos = (data.pos - data.pos.mean(0)) / 100  # hundreds of metres: of the order of one
        return data


class SceneError(Metric):
    """Mean over scenes of the share of wrong points; keeps each scene's own, and Cohen's kappa."""

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
        error, kappa = self.metrics["test"].scenes[-1][0].tolist()
        name = batch.name[0] if "name" in batch else "generated"
        print(
            f"{name}: {batch.num_nodes:,} points, error {100 * error:.2f} %, kappa {100 * kappa:.1f} %"
        )


def main() -> None:
    """Build the graphs once, train and compare."""
    asked = parser(__doc__, batch_size=1, epochs=16, lr=4e-3, channels=32)
    asked.add_argument(
        "--root", help="folder of the ISPRS filter test (default: generated terrain)"
    )
    asked.add_argument("--processed-root", help="folder of the cache, where root cannot be written")
    asked.add_argument(
        "--test", nargs="+", default=["samp11"], help="scans that are tested on, not trained on"
    )
    asked.add_argument("--points", type=int, default=32_768, help="of a generated scene")
    asked.add_argument(
        "--scenes", type=int, default=8, help="generated, to train on; half as many to test on"
    )
    asked.add_argument("--budget", type=int, default=64, help="entries of the mask per point")
    options = asked.parse_args()
    if options.smoke:
        options.points, options.scenes, options.epochs, options.layers, options.channels = (
            2_048,
            2,
            1,
            2,
            16,
        )
    sampler = gm.walks.ResampledWalks(options.budget, options.hops)
    # Positions become hundreds of metres before the nodes are put in order and the walks are drawn
    # on the order.
    steps = [
        PlanGraph(),
        HeightFeatures(),
        gm.transforms.ReorderNodes(),
        gm.transforms.AddWalks(sampler, torch.Generator().manual_seed(0)),
    ]
    prepare, turn = T.Compose(steps), T.RandomRotate(180, axis=2)
    if options.root is None:
        print(
            "No --root: generated terrain stands in for real scans, and its figures say nothing about them."
        )
        train, test = (
            TerrainScenes(
                None,
                part,
                options.points,
                number,
                transform=turn if part else None,
                pre_transform=prepare,
            )
            for part, number in ((True, options.scenes), (False, max(options.scenes // 2, 1)))
        )
    else:
        train, test = (
            ISPRSFilterTest(
                options.root,
                options.test,
                part,
                options.processed_root,
                turn if part else None,
                prepare,
            )
            for part in (True, False)
        )
    print(
        f"{len(train)} scenes to train on, the largest of {max(s.num_nodes for s in train):,} points; {len(test)} to test on"
    )
    mask = gm.masks.WalkMask(options.hops, options.heads, sampler=sampler)
    inputs = train[0].x.shape[1] + 3

    def make(_: str, mixing: dict[str, Any], seed: int) -> tuple[Segmentation, Loaders]:
        model = gm.nn.TopologicalTransformer(
            inputs,
            options.channels,
            train.num_classes,
            options.layers,
            options.heads,
            dropout=options.dropout,
            **mixing,
        )
        task = Segmentation(
            model, nn.CrossEntropyLoss(), SceneError(train.num_classes), options.lr, ("x", "pos")
        )
        return task, Loaders(train, None, test, options.batch_size, seed)

    compare(
        "scene_segmentation",
        options,
        make,
        variants(options.channels, options.heads, mask),
        score="mean error of a scene",
    )


if __name__ == "__main__":
    main()
