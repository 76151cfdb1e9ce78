"""One graph in one batch.

Who does machine learning among 37,700 GitHub developers, and where are the mines?

    python examples/node_classification.py --dataset minesweeper --root DATA/heterophilous --seeds 0
    1 python examples/node_classification.py --dataset github --root DATA/musae --hops 4

Any graph of `graphmask.datasets.Heterophilous` can be named. Without --root a generated game of
Minesweeper of the same rules stands in. Nodes are reordered so that neighbours lie close in memory,
and walks are drawn once.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
import training
from torch import Tensor, nn
from torch_geometric import transforms as T
from torch_geometric.data import Batch, Data
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC

import graphmask as gm
from graphmask.datasets import GitHub, Heterophilous, Minesweeper

BY_RANKING = ("minesweeper", "checks", "tolokers")  # scored by the area under the ROC curve


class OneGraph(training.Task):
    """Every batch is the whole graph, kept with all that is derived from it.

    Each part is scored on its own nodes.
    """

    def __init__(self, data: Data, model: nn.Module, metric: Metric, lr: float) -> None:
        super().__init__(model, nn.CrossEntropyLoss(), metric, lr)
        self.data, self.topology = data, gm.Topology.from_data(data)

    def forward(self, batch: Batch) -> Tensor:
        if self.topology.device != self.device:
            self.data, self.topology = self.data.to(self.device), self.topology.to(self.device)
        return self.model(self.data.x, self.topology)

    def predict(self, batch: Batch, part: str) -> tuple[Tensor, Tensor]:
        out, chosen = self(batch), self.data[f"{part}_mask"]
        return out[chosen], self.data.y[chosen]


def load(options: argparse.Namespace, seed: int) -> tuple[Data, int]:
    """The graph, and its number of classes. The seed chooses the split."""
    sampler = gm.walks.ResampledWalks(budget=options.budget, hops=options.hops)
    prepare = T.Compose(
        [
            gm.transforms.ReorderNodes(),
            gm.transforms.AddWalks(sampler, torch.Generator().manual_seed(seed)),
        ]
    )
    if options.root is None:
        print("NO --root: a generated game of Minesweeper stands in for the data")
        dataset: Any = Minesweeper(size=16 if options.smoke else 100, seed=seed)
    elif options.dataset == "github":
        dataset = GitHub(options.root, seed=seed, processed_root=options.out)
    else:
        dataset = Heterophilous(
            options.root, options.dataset, split=seed % 10, processed_root=options.out
        )
    return prepare(dataset[0]), dataset.num_classes


def choices(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What is compared: with coefficients of any sign, or non-negative ones."""
    signed = gm.masks.WalkMask(options.hops, options.heads)
    positive = gm.masks.WalkMask(options.hops, options.heads, alpha=gm.masks.NonNegative)
    return {
        "masked, non-negative": {"mask": positive},
        **training.variants(options.channels, options.heads, signed),
    }


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = training.parser(__doc__, epochs=300, layers=4, hops=8, lr=3e-3, dropout=0.2)
    parser.add_argument(
        "--dataset", default="minesweeper", help="github, or the name of a heterophilous graph"
    )
    parser.add_argument("--root", type=Path, help="folder of git_web_ml.zip or NAME.npz")
    parser.add_argument("--budget", type=int, default=64, help="of the walks from each node")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.epochs, options.channels, options.layers, options.hops = 2, 8, 1, 2
    return options


def main() -> None:
    options = parse()
    one = [Data(num_nodes=1)]  # the loaders only count batches: the graph stays with its task
    ranked = options.root is None or options.dataset in BY_RANKING

    def make(
        variant: str, mixing: dict[str, Any], seed: int
    ) -> tuple[training.Task, training.Loaders]:
        data, classes = load(options, seed)
        model = gm.nn.TopologicalTransformer(
            data.num_features,
            options.channels,
            classes,
            options.layers,
            options.heads,
            dropout=options.dropout,
            **mixing,
        )
        metric = (
            MulticlassAUROC(classes) if ranked else MulticlassAccuracy(classes, average="micro")
        )
        return OneGraph(data, model, metric, options.lr), training.Loaders(one, one, one, 1, seed)

    score = f"test {'ROC-AUC' if ranked else 'accuracy'}"
    training.compare("node_classification", options, make, choices(options), score)


if __name__ == "__main__":
    main()
