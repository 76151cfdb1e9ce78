"""What the order of nodes costs: a training step of a model on points in random order.

On a topology as it comes, on one that the model prepared, whose blocks then compute in an order of
its own, on data that were moved along Hilbert's curve before, and without a mask. Steps are
interleaved in one process; figures are medians of CPU times. Reproduces the table of
docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from time import process_time
from typing import NamedTuple

import torch
from runner import Row, Study, numbers, print_table, progress
from torch import Tensor, nn
from torch_geometric.data import Data

import graphmask as gm
from graphmask.benchmark import sphere_graph


class Side(NamedTuple):
    """A model, and the features and the topology that it steps on."""

    name: str
    model: nn.Module
    x: Tensor
    topology: gm.Topology

    def step(self) -> float:
        """CPU seconds of a forward and a backward pass."""
        start = process_time()
        self.model(self.x, self.topology).square().mean().backward()
        return process_time() - start


def make_model(mask: gm.masks.TopologicalMask, channels: int) -> gm.nn.TopologicalTransformer:
    """Four blocks; the same weights for the same mask."""
    torch.manual_seed(0)
    return gm.nn.TopologicalTransformer(3, channels, 8, num_layers=4, heads=4, mask=mask)


def measure(nodes: int, pairs: int, channels: int, repeats: int, seed: int) -> Iterator[Row]:
    """Medians of all sides, which step in turn."""
    pos, edge_index = sphere_graph(nodes, seed)
    topology, generator = gm.Topology(edge_index, nodes), torch.Generator().manual_seed(seed)
    walks = gm.walks.ResampledWalks(pairs, hops=4)(topology, generator)
    topology = topology.with_walks(walks)
    model = make_model(gm.masks.WalkMask(hops=4, heads=4), channels)
    order = gm.transforms.Hilbert()(Data(pos=pos))
    start = process_time()
    prepared = model.prepare(topology)
    seconds = process_time() - start
    sides = (
        Side("as they come", model, pos, topology),
        Side("prepared by the model", model, pos, prepared),
        Side("moved before", model, pos[order], topology.permute(order)),
        Side("no mask", make_model(gm.masks.GlobalMask(), channels), pos, topology),
    )
    times: list[list[float]] = [[] for _ in sides]
    for repeat in range(repeats + 1):  # the first compiles, and derives what is not prepared
        progress(f"{nodes:,} nodes, step {repeat} of {repeats}")
        for side, seen in zip(sides, times, strict=True):
            seen.append(side.step())
    first, *_, unmasked = figures = [median(seen[1:]) for seen in times]
    for side, figure in zip(sides, figures, strict=True):
        yield {
            "nodes": nodes,
            "topology": side.name,
            "step, s": figure,
            "ratio": figure / first,
            "to no mask": figure / unmasked,
            "permuted": side.topology.permuted is not None,
            "preparation, s": seconds if side is sides[1] else None,
        }


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure and print."""
    smoke = {"nodes": [64], "pairs": 8, "channels": 8, "repeats": 1}
    study = Study(__doc__, smoke)
    study.add_argument("--nodes", type=numbers(int), default=[32_768, 262_144])
    study.add_argument("--pairs", type=int, default=64, help="per node at most")
    study.add_argument("--channels", type=int, default=64)
    study.add_argument("--repeats", type=int, default=5)
    options = study.parse(arguments)
    sizes = options.pairs, options.channels, options.repeats, options.seed
    with torch.random.fork_rng(devices=[]):
        rows = study.collect(
            (row for nodes in options.nodes for row in measure(nodes, *sizes)), options
        )
    print_table("Training steps of four blocks", rows)
    return rows


if __name__ == "__main__":
    main()
