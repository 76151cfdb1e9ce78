"""Motif detection: does a sparse random graph hold a planted caveman graph, cycle, grid or ladder?

    python examples/motif_detection.py --motif caveman --seeds 0 1

The task on which GKAT (ICML 2022) was introduced, generated from the seed. Inputs are the degrees
of the neighbours of a node; classes differ in the edges among ten added nodes, not in their number.
"""

from __future__ import annotations

from functools import partial

import comparison
import forests
import training
from comparison import Problem
from torchmetrics.classification import MulticlassAccuracy
from training import Loaders, Options, Task, Variant

import graphmask as gm
from graphmask.datasets import MotifDetection
from graphmask.datasets.motif_detection import MOTIFS


def load(options: Options, seed: int, part: str) -> MotifDetection:
    """A part of the graphs of a seed; validation graphs are training graphs of another seed."""
    return MotifDetection(
        train=part != "test",
        motif=options.motif,
        num_pairs=options.pairs if part == "train" else options.pairs // 3,
        seed=seed + (1_000_000 if part == "val" else 0),
        pre_transform=training.add_walks(options, options.budget, seed),
    )


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    parser = training.make_parser(__doc__, epochs=30, channels=32, layers=2, hops=6)
    add = parser.add_argument
    add("--motif", default="caveman", choices=MOTIFS)
    add("--pairs", type=int, default=768, help="training graphs per class; a third for testing")
    add("--budget", type=int, default=64, help="pairs stored per node")
    tiny = {"epochs": 2, "channels": 8, "layers": 1, "hops": 2, "pairs": 12}
    return training.parse_options(parser, arguments, **tiny)


def problem(options: Options) -> Problem:
    """The task of a run."""

    def make(_: str, arguments: Variant, seed: int) -> tuple[Task, Loaders]:
        parts = [load(options, seed, part) for part in ("train", "val", "test")]
        sizes = parts[0].num_features, parts[0].num_classes
        model = training.graph_model(options, *sizes, **arguments)
        metric = MulticlassAccuracy(parts[0].num_classes, average="micro")
        task = Task(model, training.cross_entropy(options), metric, options)
        return task, Loaders(*parts, options.batch_size, seed)

    masks = partial(gm.masks.WalkMask, options.hops, options.heads)
    conv, name = comparison.local_mean(options), f"motif_detection-{options.motif}"
    choices = comparison.variants(masks(), conv)
    return Problem(name, make, choices, masks, conv, pools=("mean", "max"), tables=forests.graphs)


if __name__ == "__main__":
    settings = parse()
    comparison.compare(problem(settings), settings)
