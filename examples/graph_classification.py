"""Classification of small graphs (NCI1, PROTEINS, IMDB-BINARY) by ten folds.

    python examples/graph_classification.py --root DATA/tu_graphs --dataset PROTEINS --folds 1 2 3

Compares masks, local message passing, and no structure. As in Errica et al., "A Fair Comparison of
Graph Neural Networks for Graph Classification" (ICLR 2020), a tenth of the training graphs of each
fold selects the epoch, and test graphs are evaluated once. Their folds differ, and they also select
sizes and rates; here all variants share them, and each fold is trained once per seed. Without
files, generated stars with one marked node: the centre, or a leaf.
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
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import StratifiedKFold, train_test_split
from torch import Tensor, nn
from torch_geometric.nn import GINConv
from torchmetrics.classification import MulticlassAccuracy
from training import Loaders, Options, Task, Variant

import graphmask as gm
from graphmask.datasets import TUText

PUBLISHED = {  # by Errica et al.
    "NCI1": "GIN 80.0 +- 1.4, without structure 69.8",
    "PROTEINS": "GIN 73.3 +- 4.0, without structure 75.8",
    "IMDBBINARY": "GIN 71.2 +- 3.9, without structure 70.8",
}


class NodeWise(nn.Module):
    """A linear layer with the signature of a convolution, which ignores edges."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        return self.linear(x)


def write_stand_in(root: Path, graphs: int = 200) -> None:
    """Write graphs and folds in the text format of the TU collections."""
    labels, lines = np.arange(graphs) % 2, [f"{graphs}"]
    for graph, marked in enumerate(labels):
        leaves = range(1, 7 + graph % 10)
        lines.append(f"{len(leaves) + 1} {marked}")
        lines.append(f"{int(marked == 0)} {len(leaves)} {' '.join(map(str, leaves))}")
        lines += [f"{int(leaf == marked)} 1 0" for leaf in leaves]
    folds = root / "STANDIN" / "10fold_idx"
    folds.mkdir(parents=True)
    (root / "STANDIN" / "STANDIN.txt").write_text("\n".join(lines) + "\n")
    splits = StratifiedKFold(10, shuffle=True, random_state=0).split(labels, labels)
    for k, parts in enumerate(splits, 1):
        for part, indices in zip(("train", "test"), parts, strict=True):
            (folds / f"{part}_idx-{k}.txt").write_text("\n".join(map(str, indices)) + "\n")


def load(options: Options) -> TUText:
    """The graphs, with walks drawn once."""
    draw = training.add_walks(options, budget=64)
    if options.root is not None:
        return TUText(options.root, options.dataset, pre_transform=draw)
    print("No --root: generated stars, whose two classes are equal as sets of nodes.")
    with tempfile.TemporaryDirectory() as folder:
        write_stand_in(Path(folder))
        return TUText(folder, "STANDIN", pre_transform=draw)


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    parser = training.make_parser(__doc__, epochs=30, batch_size=64, dropout=0.1)
    add = parser.add_argument
    add("--root", type=Path, help="folder of the TU collections as text (default: generated)")
    add("--dataset", default="PROTEINS", help="such as NCI1, PROTEINS, IMDBBINARY, MUTAG")
    add("--folds", type=int, nargs="+", default=[1], help="of 1 to 10; the protocol has all")
    add("--by-seed", action="store_true", help="fold 1 + SEED mod 10 instead")
    add("--pools", nargs="+", default=["mean", "max"], help="PyG's aggregations, such as sum")
    options = training.parse_options(parser, arguments, epochs=2, channels=8, layers=1, hops=2)
    if options.smoke:
        options.variants = options.variants or ["masked", "local"]
    return options


def choices(options: Options) -> dict[str, Variant]:
    """The variants of all examples, GIN, and no structure."""
    width, mask = options.channels, gm.masks.WalkMask(options.hops, options.heads)
    network = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
    gin = GINConv(network, train_eps=True)
    return {
        **comparison.variants(mask, comparison.local_mean(options)),
        "masked + GIN": {"mask": mask, "conv": gin},
        "local GIN": {"conv": gin},
        "no structure": {"conv": NodeWise(width)},
    }


def problem(options: Options, dataset: TUText | None = None) -> Problem:
    """The task of a run on the first of its folds."""
    dataset = dataset or load(options)
    labels = torch.cat([data.y for data in dataset]).numpy()
    metric = MulticlassAccuracy(dataset.num_classes, average="micro")

    def make(_: str, arguments: Variant, seed: int) -> tuple[Task, Loaders]:
        train, test = dataset.fold(1 + seed % 10 if options.by_seed else options.folds[0])
        strata = {"random_state": seed, "stratify": labels[train]}
        split = train_test_split(train, test_size=0.1, **strata)
        parts = [dataset[indices] for indices in (*split, test)]
        sizes = dataset.num_features, dataset.num_classes
        model = training.graph_model(options, *sizes, aggr=options.pools, **arguments)
        task = Task(model, training.cross_entropy(options), metric, options)
        return task, Loaders(*parts, options.batch_size, seed)

    masks = partial(gm.masks.WalkMask, options.hops, options.heads)
    fold = "s" if options.by_seed else options.folds[0]
    conv, name = comparison.local_mean(options), f"graphs-{dataset.name}-fold{fold}"
    return Problem(
        name, make, choices(options), masks, conv, pools=tuple(options.pools), tables=forests.graphs
    )


def run_fold(options: Options, dataset: TUText, fold: int) -> list[dict[str, float]]:
    """Train every variant with every seed on one fold."""
    options = Options(**{**vars(options), "folds": [fold]})
    return comparison.compare(problem(options, dataset), options)


def main() -> None:
    """Train on every fold; print means and deviations over folds and seeds."""
    options = parse()
    dataset = load(options)
    rows = [row for fold in options.folds for row in run_fold(options, dataset, fold)]
    folds = f"{len(options.folds)} of 10 folds, seeds {options.seeds}"
    title, published = f"{dataset.name}: test accuracy, {folds}", PUBLISHED.get(dataset.name)
    table = Table("", "mean", "deviation", title=title, caption=published)
    for variant in dict.fromkeys(row["variant"] for row in rows):
        scores = [100 * row["score"] for row in rows if row["variant"] == variant]
        table.add_row(variant, f"{np.mean(scores):.1f}", f"{np.std(scores):.1f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
