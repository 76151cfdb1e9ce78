"""Classification of the nodes of one graph: GitHub developers, mines in a grid, and others.

    python examples/node_classification.py --root DATA/heterophilous --seeds 0 1
    python examples/node_classification.py --dataset github --root DATA/musae --hops 4

--dataset is github or any name of `graphmask.datasets.Heterophilous`. Nodes are reordered so that
neighbours are close in memory, and walks are drawn once. Without --root, a generated Minesweeper.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import training
from torch import Tensor, nn
from torch_geometric import transforms as T
from torch_geometric.data import Batch, Data
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC
from training import Loaders, Options, Task, Variant

import graphmask as gm
from graphmask.datasets import GitHub, Heterophilous, Minesweeper

BY_AUC = ("minesweeper", "checks", "tolokers")  # scored by the area under the ROC curve


class OneGraph(Task):
    """Every batch is the whole graph; each part is scored on its own nodes."""

    def __init__(self, data: Data, model: nn.Module, metric: Metric, options: Options) -> None:
        super().__init__(model, nn.CrossEntropyLoss(), metric, options)
        self.data, self.topology = data, gm.Topology.from_data(data)

    def forward(self, batch: Batch) -> Tensor:
        if self.topology.device != self.device:
            self.data, self.topology = self.data.to(self.device), self.topology.to(self.device)
        return self.model(self.data.x, self.topology)

    def predict(self, batch: Batch, part: str) -> tuple[Tensor, Tensor]:
        out, mask = self(batch), self.data[f"{part}_mask"]
        return out[mask], self.data.y[mask]


def load(options: Options, seed: int) -> tuple[Data, int]:
    """The graph and its number of classes; the seed selects the split."""
    draw = training.add_walks(options, options.budget, seed)
    prepare = T.Compose([gm.transforms.ReorderNodes(), draw])
    if options.root is None:
        print("No --root: a generated game of Minesweeper")
        dataset: Any = Minesweeper(size=16 if options.smoke else 100, seed=seed)
    elif options.dataset == "github":
        dataset = GitHub(options.root, seed=seed, processed_root=options.out)
    else:
        settings = {"split": seed % 10, "processed_root": options.out}
        dataset = Heterophilous(options.root, options.dataset, **settings)
    return prepare(dataset[0]), dataset.num_classes


def choices(options: Options) -> dict[str, Variant]:
    """The variants of all examples, and non-negative coefficients."""
    signed = gm.masks.WalkMask(options.hops, options.heads)
    positive = gm.masks.WalkMask(options.hops, options.heads, alpha=gm.masks.NonNegative)
    return {
        "masked, non-negative": {"mask": positive},
        **training.variants(options, signed),
    }


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    defaults = {"epochs": 300, "layers": 4, "hops": 8, "lr": 3e-3, "dropout": 0.2}
    parser = training.make_parser(__doc__, **defaults)
    add = parser.add_argument
    add("--dataset", default="minesweeper", help="github, or the name of a heterophilous graph")
    add("--root", type=Path, help="folder of git_web_ml.zip or NAME.npz")
    add("--budget", type=int, default=64, help="pairs stored per node")
    return training.parse_options(parser, arguments, epochs=2, channels=8, layers=1, hops=2)


def main() -> None:
    """Train the variants and print the table."""
    options = parse()
    batch = [Data(num_nodes=1)]  # the loaders only count batches: the task holds the graph
    auc = options.root is None or options.dataset in BY_AUC

    def make(_: str, arguments: Variant, seed: int) -> tuple[Task, Loaders]:
        data, classes = load(options, seed)
        model = training.make_model(options, data.num_features, classes, **arguments)
        accuracy = MulticlassAccuracy(classes, average="micro")
        task = OneGraph(data, model, MulticlassAUROC(classes) if auc else accuracy, options)
        return task, Loaders(batch, batch, batch, 1, seed)

    score = f"test {'ROC-AUC' if auc else 'accuracy'}"
    training.compare("node_classification", options, make, choices(options), score)


if __name__ == "__main__":
    main()
