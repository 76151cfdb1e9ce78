"""A graph over processes gives the outputs and gradients of one: largest relative errors.

On a directed graph of nearest neighbours with features of edges, cut into parts at random, of which
some are empty. Each model is compared with itself on the whole graph in float64: in float32, where
one process rounds as well, and in float64. Errors are relative to the largest entry of each tensor,
in the median over several draws of the weights.
Reproduces the table of docs/distributed.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from ranks import count, first_does, largest, summed, together
from runner import Row, Study, numbers, print_table, progress
from torch import Tensor, nn
from torch_geometric import nn as pyg
from torch_geometric.data import Data

import graphmask as gm
from graphmask import masks

HEADS, CHANNELS = 2, 8
WALKS = gm.walks.ResampledWalks(12, hops=3)
TENSORS = "output", "gradient of x", "of parameters"


class Side(NamedTuple):
    """A model, and how many hops it reads along edges."""

    name: str
    model: Callable[[], nn.Module]
    hops: int


def transformer(mask: Callable[[], Any], **options: Any) -> nn.Module:
    """Two blocks."""
    sizes = 4, CHANNELS, 3, 2, HEADS
    return gm.nn.TopologicalTransformer(*sizes, mask(), **{"norm": None, **options})


def make_sides() -> list[Side]:
    """A model of each kind that runs on parts."""
    walks = partial(masks.WalkMask, 3, HEADS)
    series = partial(masks.PowerSeriesMask, heads=HEADS)
    of_masks: dict[str, tuple[Callable[[], Any], int]] = {
        "WalkMask": (walks, 0),
        "GlobalMask": (masks.GlobalMask, 0),
        "GlobalMask + WalkMask": (lambda: 0.1 * masks.GlobalMask() + walks(), 0),
        "PowerSeriesMask": (partial(series, 3), 3),
        "PowerSeriesMask of edges": (partial(series, 2, edge_dim=2), 2),
        "ShortestPathMask": (partial(masks.ShortestPathMask, 2, HEADS), 2),
        "AdaptiveWalkMask": (partial(masks.AdaptiveWalkMask, CHANNELS, 3, HEADS), 0),
        "DegreeMask": (partial(masks.DegreeMask, HEADS), 0),
        "FourierMask": (partial(masks.FourierMask, HEADS, num_features=3), 0),
        "RFDMask": (partial(masks.RFDMask, 3, 0.5, HEADS), 0),
    }
    features = gm.features.PositiveRandomFeatures(4, 6)
    layers: dict[str, tuple[Callable[[], nn.Module], int]] = {
        "WalkMask, GCNConv beside": (
            lambda: transformer(walks, conv=pyg.GCNConv(CHANNELS, CHANNELS)),
            1,
        ),
        "WalkMask, softmax": (
            partial(transformer, walks, feature_map=gm.features.SoftmaxScores()),
            0,
        ),
        "GlobalMask, positive features": (
            partial(transformer, masks.GlobalMask, feature_map=features),
            0,
        ),
        "WalkMask, batch normalisation": (partial(transformer, walks, norm="batch_norm"), 0),
        "WalkMask, mean over graphs": (
            lambda: transformer(walks, pool=pyg.global_mean_pool, head=nn.Linear(CHANNELS, 3)),
            0,
        ),
    }
    sides = [
        Side(name, partial(transformer, mask), hops) for name, (mask, hops) in of_masks.items()
    ]
    return sides + [Side(name, model, hops) for name, (model, hops) in layers.items()]


def make_graph(nodes: int, seed: int) -> Data:
    """Four nearest neighbours of each node; the first node is no neighbour of any."""
    generator = torch.Generator().manual_seed(seed)
    draw = partial(torch.rand, generator=generator)
    pos = draw(nodes, 3)
    near = torch.cdist(pos, pos).topk(5, largest=False).indices[:, 1:]
    edge_index = torch.stack([near.flatten(), torch.arange(nodes).repeat_interleave(4)])
    edge_index = edge_index[:, edge_index[0] != 0]
    edges = edge_index.shape[1]
    weights = {"edge_weight": draw(edges) + 0.1, "edge_attr": draw(edges, 2)}
    return Data(x=draw(nodes, 4) - 0.5, pos=pos, edge_index=edge_index, **weights)


def compare(options: Any, folder: Path) -> list[Row]:
    """Rows of all sides, on the processes that are there."""
    generator = torch.Generator().manual_seed(options.seed)
    parts = torch.randint(9, (options.nodes,), generator=generator)
    parts[parts == 4] = 5
    graph = gm.transforms.AddWalks(WALKS, generator)(make_graph(options.nodes, options.seed))
    graphs = {dtype: cast(graph, dtype) for dtype in (torch.float32, torch.float64)}
    for dtype, data in graphs.items():
        first_does(partial(gm.distributed.shard, data, folder / str(dtype), parts=parts, log=False))
    return [
        {
            "processes": count(),
            "model": side.name,
            **median_errors(side, graphs, folder, options.draws),
        }
        for side in make_sides()
    ]


def cast(data: Data, dtype: torch.dtype) -> Data:
    """The same graph, its numbers of another type."""
    return data.clone().apply(lambda x: x.to(dtype) if x.is_floating_point() else x)


def median_errors(
    side: Side, graphs: dict[torch.dtype, Data], folder: Path, draws: int
) -> dict[str, float]:
    """Errors in the median over the weights of the model."""
    found = [errors_of(side, graphs, folder, seed) for seed in range(draws)]
    return {name: median(row[name] for row in found) for name in found[0]}


def errors_of(
    side: Side, graphs: dict[torch.dtype, Data], folder: Path, seed: int
) -> dict[str, float]:
    """Largest errors of one process in float32, of all in float32, and of all in float64."""
    torch.manual_seed(seed)
    model = side.model()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    one, all_ranks = {}, {}
    for dtype, data in graphs.items():
        single = deepcopy(model).to(dtype)
        shard = gm.distributed.open_shard(folder / str(dtype), side.hops)
        many = gm.distributed.sync_batch_norm(deepcopy(single))
        one[dtype] = results_of(single, data.x, gm.Topology.from_data(data), 1)
        all_ranks[dtype] = results_of(many, shard.x, shard.topology, count())
    truth = one[torch.float64]
    sides = {
        "float32, one": one[torch.float32],
        "float32": all_ranks[torch.float32],
        "float64": all_ranks[torch.float64],
    }
    return {
        f"{name}, {part}": error
        for part, results in sides.items()
        for name, error in zip(TENSORS, errors(results, truth), strict=True)
    }


def results_of(model: nn.Module, x: Tensor, topology: gm.Topology, ranks: int) -> list[Tensor]:
    """The output, the gradient of x and those of all parameters, for the whole graph."""
    x = x.clone().requires_grad_()
    out = model(x, topology)
    is_pooled = len(out) == 1
    loss = out.square().mean() + out.sum()
    if not is_pooled:
        total = out.square().sum() + out.sum()
        loss = gm.distributed.mean(total, len(out), topology)
    loss.backward()
    if not is_pooled:
        out = gm.distributed.collect(out, topology)
    grad = gm.distributed.collect(x.grad / ranks, topology)
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    if ranks > 1:
        grads = [summed(grad) / ranks for grad in grads]
    return [tensor.detach().double() for tensor in (out, grad, *grads)]


def errors(got: list[Tensor], truth: list[Tensor]) -> tuple[float, float, float]:
    """Largest errors of the output, of the gradient of x, and of those of parameters.

    They are relative to the largest entry of the tensor. Gradients of parameters that are zero but
    for rounding, such as those of a bias before a batch normalisation, are left out.
    """
    sizes = [float(tensor.abs().max()) for tensor in truth]
    least = 1e-9 * max(sizes[2:])
    found = [
        float((a - b).abs().max()) / size
        for a, b, size in zip(got, truth, sizes, strict=True)
        if size > least
    ]
    return found[0], found[1], largest(max(found[2:]))


def measure(options: Any) -> Iterator[Row]:
    """Rows of all numbers of processes."""
    for size in options.processes:
        progress(f"{size} processes")
        yield from together(compare, size, options)


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure and print."""
    study = Study(__doc__, {"processes": [1], "nodes": 60, "draws": 1})
    study.add_argument("--processes", type=numbers(int), default=[1, 2, 3, 4])
    study.add_argument("--nodes", type=int, default=600)
    study.add_argument("--draws", type=int, default=15, help="of the weights of each model")
    options = study.parse(arguments)
    with torch.random.fork_rng(devices=[]):
        rows = study.collect(measure(options), options)
    print_table("Errors of a graph over processes", rows)
    return rows


if __name__ == "__main__":
    main()
