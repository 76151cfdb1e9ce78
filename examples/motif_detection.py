"""Motif detection: does a sparse random graph hold a planted caveman graph, cycle, grid or ladder?

    python examples/motif_detection.py --motif caveman --seeds 0 1

The task on which GKAT (ICML 2022) was introduced, generated from the seed: nothing is downloaded.
Nodes know the degrees of their neighbours; classes differ in how the ten nodes of the addition are
joined, not in their number of edges.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
import training
from torch import nn
from torch_geometric.nn import global_mean_pool
from torchmetrics.classification import MulticlassAccuracy

import graphmask as gm
from graphmask.datasets import MotifDetection
from graphmask.datasets.motif_detection import MOTIFS


def load(options: argparse.Namespace, seed: int, part: str) -> MotifDetection:
    """Three parts of the seed's graphs.

    Those to validate on come from the training stream of another seed.
    """
    pairs = options.pairs if part == "train" else options.pairs // 3
    sampler = gm.walks.ResampledWalks(budget=options.budget, hops=options.hops)
    draw = gm.transforms.AddWalks(sampler, torch.Generator().manual_seed(seed))
    held_out = 1_000_000 if part == "val" else 0
    return MotifDetection(
        train=part != "test",
        motif=options.motif,
        num_pairs=pairs,
        seed=seed + held_out,
        pre_transform=draw,
    )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = training.parser(__doc__, epochs=30, channels=32, layers=2, hops=6)
    parser.add_argument("--motif", default="caveman", choices=MOTIFS)
    parser.add_argument(
        "--pairs",
        type=int,
        default=768,
        help="graphs of each class to train on; a third as many to test",
    )
    parser.add_argument("--budget", type=int, default=64, help="of the walks from each node")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.epochs, options.channels, options.layers, options.hops, options.pairs = (
            2,
            8,
            1,
            2,
            12,
        )
    return options


def main() -> None:
    options = parse()

    def make(_: str, mixing: dict[str, Any], seed: int) -> tuple[training.Task, training.Loaders]:
        parts = [load(options, seed, part) for part in ("train", "val", "test")]
        model = gm.nn.TopologicalTransformer(
            parts[0].num_features,
            options.channels,
            parts[0].num_classes,
            options.layers,
            options.heads,
            pool=global_mean_pool,
            dropout=options.dropout,
            **mixing,
        )
        metric = MulticlassAccuracy(parts[0].num_classes, average="micro")
        task = training.Task(model, nn.CrossEntropyLoss(), metric, options.lr)
        return task, training.Loaders(*parts, options.batch_size, seed)

    mask = gm.masks.WalkMask(options.hops, options.heads)
    training.compare(
        f"motif_detection-{options.motif}",
        options,
        make,
        training.variants(options.channels, options.heads, mask),
    )


if __name__ == "__main__":
    main()
