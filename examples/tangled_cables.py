"""Label every point of tangled cables from one click per cable.

    python examples/tangled_cables.py --seeds 0 1 2

Four cables wound about each other, 64 points each, joined to their nearest neighbours. What is
near in space is mostly another cable: a point must look along its own, further than a few layers of
a local convolution reach. Compares masked attention (by hop distance, as far as --hops in each
layer), no mask, a convolution of equal depth, a convolution of equal reach, and the nearest click
without training. The epoch is chosen on validation scenes, generated with another seed.
"""

from __future__ import annotations

from functools import partial

import comparison
import numpy as np
import torch
import training
from comparison import Problem
from scipy.sparse.csgraph import shortest_path
from torch_geometric import transforms as T
from torch_geometric.data import Data, Dataset
from torch_geometric.utils import to_scipy_sparse_matrix
from torchmetrics.classification import MulticlassAccuracy
from training import Loaders, Options, Task, Variant

import graphmask as gm
from graphmask.datasets import TangledCables

NAME = "tangled_cables"
VALIDATION = 1_000_000  # added to the seed of the scenes


def load(options: Options) -> tuple[TangledCables, TangledCables, TangledCables]:
    """Training, validation and test scenes, with graphs and hop distances."""
    shells = gm.walks.Shells(options.budget, options.hops)
    prepare = T.Compose(
        [
            gm.transforms.KNNGraph(options.k, force_undirected=True),
            gm.transforms.AddWalks(shells, torch.Generator().manual_seed(0)),
        ]
    )
    quarter = -(-options.scenes // 4)
    splits = (True, options.scenes, 0), (False, quarter, VALIDATION), (False, quarter, 0)
    return tuple(
        TangledCables(None, train, scenes, seed=options.data_seed + seed, pre_transform=prepare)
        for train, scenes, seed in splits
    )


def choices(options: Options) -> dict[str, Variant]:
    """Masked attention, no mask, and a convolution, as deep and as far-reaching as the mask."""
    local = comparison.local_mean(options)
    hops, heads, layers = options.hops, options.heads, options.layers
    mask = gm.masks.WalkMask(hops, heads, alpha=gm.masks.OneHop)
    return {
        "masked": {"mask": mask, **comparison.from_one(heads)},
        "unmasked": {"mask": gm.masks.GlobalMask()},
        f"local, {layers} layers": {"conv": local},
        f"local, {hops * layers} layers": {"conv": local, "num_layers": hops * layers},
    }


def nearest_in_space(scene: Data) -> torch.Tensor:
    """The cable whose click is nearest."""
    return torch.cdist(scene.pos, scene.pos[scene.x.argmax(0)]).argmin(1)


def nearest_along_graph(scene: Data) -> torch.Tensor:
    """The cable whose click is fewest edges away."""
    graph = to_scipy_sparse_matrix(scene.edge_index, num_nodes=scene.num_nodes)
    edges = shortest_path(graph, unweighted=True, indices=scene.x.argmax(0).numpy())
    return torch.from_numpy(edges.argmin(0))


RULES = {
    "nearest click along the graph": nearest_along_graph,
    "nearest click in space": nearest_in_space,
}


def score_rules(scenes: Dataset) -> dict[str, float]:
    """Accuracy of the rules, which are not trained."""
    return {
        name: float(np.mean([(rule(scene) == scene.y).float().mean() for scene in scenes]))
        for name, rule in RULES.items()
    }


def parse(arguments: list[str] | None = None) -> Options:
    """The options of a run."""
    defaults = {"epochs": 10, "batch_size": 8, "lr": 5e-3, "heads": 8, "hops": 8, "channels": 48}
    parser = training.make_parser(__doc__, **defaults)
    add = parser.add_argument
    add("--scenes", type=int, default=320, help="for training; a quarter each for the other splits")
    add("--data-seed", type=int, default=0, help="of the scenes")
    add("--k", type=int, default=4, help="neighbours of each point in the graph")
    add("--budget", type=int, default=64, help="pairs stored per point")
    tiny = {"scenes": 8, "channels": 16, "layers": 1, "epochs": 2, "hops": 2}
    return training.parse_options(parser, arguments, **tiny)


def problem(
    options: Options,
    splits: tuple[TangledCables, ...] | None = None,
    tasks: dict[str, Task] | None = None,
) -> Problem:
    """The task of a run, and the scores of the rules; ``tasks`` keeps what was trained."""
    splits = splits or load(options)
    channels, classes = splits[0].num_features, splits[0].num_classes

    def make(name: str, arguments: Variant, seed: int) -> tuple[Task, Loaders]:
        model = training.make_model(options, channels, classes, **arguments)
        metric = MulticlassAccuracy(classes, average="micro")
        task = Task(model, training.cross_entropy(options), metric, options)
        if tasks is not None:
            tasks[name] = task
        return task, Loaders(*splits, options.batch_size, seed)

    masks, rules = partial(gm.masks.WalkMask, options.hops, options.heads), score_rules(splits[2])
    return Problem(
        NAME, make, choices(options), masks, comparison.local_mean(options), rules=rules, dim=3
    )


if __name__ == "__main__":
    settings = parse()
    comparison.compare(problem(settings), settings)
