"""Classification of the nodes of one graph: mines in a grid, actors, developers and others.

    python examples/node_classification.py --root DATA/heterophilous
    python examples/node_classification.py --root DATA/heterophilous --dataset actor --parts 1 \
        --layers 2 --epochs 60 --lr 5e-3 --weight-decay 0.05 --dropout 0.5 --ema 0.9 --hops 1
    python examples/node_classification.py --dataset github --root DATA/musae --layers 2

--dataset is github or any name of `graphmask.datasets.Heterophilous`; the defaults are those for
minesweeper. Nodes are reordered so that neighbours are close in memory; a step of training reads
one of --parts bands of this order, which start at --shifts places each, validation and test the
whole graph. Every variant has the same deep block with batch normalisation and skips, the
convolution less dropout, which helps it. Without --root, a generated Minesweeper.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import comparison
import forests
import torch
import training
from comparison import Problem
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC
from training import Loaders, Options, Task, Variant

import graphmask as gm
from graphmask.datasets import GitHub, Heterophilous, Minesweeper

BY_AUC = ("minesweeper", "checks", "tolokers")  # scored by the area under the ROC curve


class NodeTask(Task):
    """Holds the graphs, whose structure is then derived once; batches hold their numbers."""

    def __init__(
        self, graphs: list[Data], model: nn.Module, metric: Metric, options: Options
    ) -> None:
        super().__init__(model, training.cross_entropy(options), metric, options)
        self.graphs = [(data, gm.Topology.from_data(data)) for data in graphs]

    def predict(self, batch: Batch, part: str) -> tuple[Tensor, Tensor]:
        number = int(batch.number)
        data, topology = self.graphs[number]
        if topology.device != self.device:
            data, topology = data.to(self.device), topology.to(self.device)
            self.graphs[number] = data, topology
        mask = data[f"{part}_mask"]
        out = self.model(data.x, topology)[mask]
        # Areas under curves are of probabilities, which a metric would guess.
        return out if part == "train" else out.softmax(1), data.y[mask]


def load(options: Options, seed: int) -> tuple[list[Data], int]:
    """The graph, its bands, and the number of classes; the seed selects the split."""
    if options.root is None:
        print("No --root: a generated game of Minesweeper")
        dataset: Any = Minesweeper(size=16 if options.smoke else 100, seed=seed)
    elif options.dataset == "github":
        dataset = GitHub(options.root, seed=seed, processed_root=options.out)
    else:
        settings = {"split": seed % 10, "processed_root": options.out}
        dataset = Heterophilous(options.root, options.dataset, **settings)
    data, draw = (
        gm.transforms.ReorderNodes()(dataset[0]),
        training.add_walks(options, options.budget, seed),
    )
    parts = [data.subgraph(band) for band in bands(data.num_nodes, options)]
    return [draw(graph.clone()) for graph in (data, *(parts or [data]))], dataset.num_classes


def bands(num_nodes: int, options: Options) -> list[Tensor]:
    """Nodes that follow each other, the first after the last; none where all are one part."""
    count = options.parts * options.shifts if options.parts > 1 else 0
    starts = [num_nodes * number // count for number in range(count)]
    return [(torch.arange(num_nodes // options.parts) + start) % num_nodes for start in starts]


def choices(options: Options, mask: gm.masks.TopologicalMask, conv: GCNConv) -> dict[str, Variant]:
    """Masks that start as one hop per head and fade attention in, no mask, and a convolution."""
    rows = comparison.variants(mask, conv)
    for name in ("masked", "masked + local"):
        rows[name] |= comparison.from_one(options.heads)
    rows["local"]["dropout"] = options.local_dropout
    return rows


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    sizes = {"layers": 12, "channels": 32, "heads": 8, "hops": 2, "dropout": 0.4}
    recipe = {"lr": 1e-2, "weight_decay": 0.0, "warm_up": 0.1, "ema": 0.98}
    epochs = {"epochs": 125, "validate_every": 5}
    parser = training.make_parser(__doc__, **sizes, **recipe, **epochs)
    add = parser.add_argument
    add("--dataset", default="minesweeper", help="github, or the name of a heterophilous graph")
    add("--root", type=Path, help="folder of git_web_ml.zip or NAME.npz")
    add("--budget", type=int, default=64, help="pairs stored per node")
    add("--parts", type=int, default=4, help="bands of the graph, one in each step")
    add("--shifts", type=int, default=1, help="bands that start within one")
    add("--input-dropout", type=float, default=0.0, help="of the features")
    add("--local-dropout", type=float, default=0.2, help="of the convolution alone")
    tiny = {"epochs": 2, "validate_every": 1, "channels": 8, "layers": 1, "parts": 2}
    return training.parse_options(parser, arguments, **tiny)


def problem(options: Options) -> Problem:
    """The task of a run."""
    auc = options.root is None or options.dataset in BY_AUC

    def make(_: str, arguments: Variant, seed: int) -> tuple[Task, Loaders]:
        graphs, classes = load(options, seed)
        numbers = [Data(num_nodes=1, number=number) for number in range(len(graphs))]
        channels = graphs[0].num_features
        encoder = nn.Sequential(
            nn.Dropout(options.input_dropout), nn.Linear(channels, options.channels)
        )
        model = training.make_model(options, channels, classes, **{"encoder": encoder, **arguments})
        accuracy = MulticlassAccuracy(classes, average="micro")
        task = NodeTask(graphs, model, MulticlassAUROC(classes) if auc else accuracy, options)
        return task, Loaders(numbers[1:], numbers[:1], numbers[:1], 1, seed)

    masks = partial(gm.masks.WalkMask, options.hops, options.heads)
    conv = GCNConv(options.channels, options.channels)
    rows, score = choices(options, masks(gm.masks.OneHop), conv), "ROC-AUC" if auc else "accuracy"
    return Problem("node_classification", make, rows, masks, conv, score, tables=forests.nodes)


if __name__ == "__main__":
    settings = parse()
    comparison.compare(problem(settings), settings)
