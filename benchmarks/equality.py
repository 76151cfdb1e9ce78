"""A graph over processes gives the outputs and gradients of one: largest relative errors.

On a directed graph of nearest neighbours with features of edges, cut into parts at random, of which
some are empty. Each model is compared with itself on the whole graph; errors are relative to the
largest entry of each tensor. Reproduces the table of docs/distributed.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
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
    """Rows of all sides in both precisions, on the processes that are there."""
    graph = make_graph(options.nodes, options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    parts = torch.randint(9, (options.nodes,), generator=generator)
    parts[parts == 4] = 5
    group, rows = alone(), []
    for dtype in (torch.float32, torch.float64):
        precision = str(dtype).removeprefix("torch.")
        data, place = cast(graph, dtype), folder / precision
        cut = partial(gm.distributed.shard, data, place, parts=parts, walks=WALKS, log=False)
        first_does(cut)
        whole = gm.distributed.open_shard(place, 3, group=group)
        for side in make_sides():
            errors = errors_of(side, dtype, place, whole)
            rows.append({"processes": count(), "model": side.name, "dtype": precision} | errors)
    return rows


def cast(data: Data, dtype: torch.dtype) -> Data:
    """The same graph, its numbers of another type."""
    return data.clone().apply(lambda x: x.to(dtype) if x.is_floating_point() else x)


def alone() -> Any:
    """A group of this process, which then holds the whole graph."""
    if count() == 1:
        return None
    groups = [torch.distributed.new_group([rank]) for rank in range(count())]
    return groups[torch.distributed.get_rank()]


def errors_of(
    side: Side, dtype: torch.dtype, folder: Path, whole: gm.distributed.Shard
) -> dict[str, float]:
    """Largest relative errors over all processes."""
    torch.manual_seed(0)
    single = side.model().to(dtype)
    for parameter in single.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    for module in single.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    model = gm.distributed.sync_batch_norm(deepcopy(single))
    shard, size = gm.distributed.open_shard(folder, side.hops), count()
    x, own = (s.x.to(dtype, copy=True).requires_grad_() for s in (whole, shard))
    expected, out = single(x, whole.topology), model(own, shard.topology)
    for rows, topology in ((expected, whole.topology), (out, shard.topology)):
        is_pooled = rows.shape[0] == 1
        loss = rows.square().mean() + rows.sum()
        if not is_pooled:
            total = rows.square().sum() + rows.sum()
            loss = gm.distributed.mean(total, len(rows), topology)
        loss.backward()
    place = whole.nodes.argsort()[shard.nodes]  # of own rows
    pairs = zip(model.parameters(), single.parameters(), strict=True)
    parameters = [(summed(zero(a)) / size, zero(b)) for a, b in pairs]
    return {
        "output": largest(error(out, expected if is_pooled else expected[place])),
        "gradient of x": largest(error(own.grad / size, x.grad[place])),
        "of parameters": max(largest(error(a, b)) for a, b in parameters),
    }


def zero(parameter: Tensor) -> Tensor:
    """The gradient of a parameter, zeros where there is none."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def error(got: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest entry."""
    got, expected = got.detach(), expected.detach()
    if not got.numel():
        return 0.0
    scale = float(expected.abs().max()) + 1e-6
    return float((got - expected).abs().max()) / scale


def measure(options: Any) -> Iterator[Row]:
    """Rows of all numbers of processes."""
    for size in options.processes:
        progress(f"{size} processes")
        yield from together(compare, size, options)


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure and print."""
    study = Study(__doc__, {"processes": [1], "nodes": 60})
    study.add_argument("--processes", type=numbers(int), default=[1, 2, 3, 4])
    study.add_argument("--nodes", type=int, default=600)
    options = study.parse(arguments)
    with torch.random.fork_rng(devices=[]):
        rows = study.collect(measure(options), options)
    print_table("Errors of a graph over processes", rows)
    return rows


if __name__ == "__main__":
    main()
