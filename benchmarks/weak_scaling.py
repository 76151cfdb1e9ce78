"""Weak scaling: a step on a graph that grows with the processes that share it.

A torus of so many nodes per process, cut along Hilbert's curve: bytes that a process sends per
step, by count and by formula, and the time of a step. Times of more processes than cores say what
the cores say. Reproduces the table of docs/distributed.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import torch
import torch.distributed as dist
from ranks import count, first_does, largest, summed, together
from runner import Row, Study, numbers, print_table, progress
from torch import nn
from torch.nn.functional import mse_loss
from torch.nn.parallel import DistributedDataParallel
from torch_geometric.data import Data

import graphmask as gm

HOPS, HEADS = 4, 4


def torus(rows: int, columns: int) -> Data:
    """A grid whose ends are joined, with positions on a torus."""
    node = torch.arange(rows * columns).view(rows, columns)
    ends = torch.cat([node.roll(1, 0).flatten(), node.roll(1, 1).flatten()])
    edges = torch.stack([ends, node.flatten().repeat(2)])
    outer = torch.arange(rows) * (2 * torch.pi / rows)
    inner = torch.arange(columns) * (2 * torch.pi / columns)
    outer, inner = torch.meshgrid(outer, inner, indexing="ij")
    ring = rows / columns + inner.cos()  # cells are about square
    pos = torch.stack([ring * outer.cos(), ring * outer.sin(), inner.sin()], -1).view(-1, 3)
    x = torch.stack([outer.sin(), inner.cos()], -1).view(-1, 2)
    y = (3 * outer + inner).sin().view(-1, 1)
    return Data(x=x, y=y, pos=pos, edge_index=torch.cat([edges, edges.flip(0)], 1))


def make_model(channels: int, layers: int) -> nn.Module:
    """The same weights on all processes."""
    torch.manual_seed(0)
    mask = 0.1 * gm.masks.GlobalMask() + gm.masks.WalkMask(HOPS, HEADS, alpha=gm.masks.NonNegative)
    sizes = 2, channels, 1, layers, HEADS
    model = gm.nn.TopologicalTransformer(*sizes, mask, norm=None)
    return DistributedDataParallel(model) if dist.is_initialized() else model


def step_on(options: Any, folder: Path) -> list[Row]:
    """A row for the processes that are there."""
    side = round(options.nodes**0.5)
    sampler = gm.walks.ResampledWalks(options.budget, HOPS)

    def cut() -> None:
        data = torus(side * count(), side)
        gm.distributed.shard(data, folder / "graph", parts=4 * count(), walks=sampler)

    first_does(cut)
    shard = gm.distributed.open_shard(folder / "graph")
    model, times, cpus = make_model(options.channels, options.layers), [], []
    for _ in range(options.repeats + 1):
        start, cpu = perf_counter(), process_time()
        with gm.distributed.count_traffic() as traffic:
            out = model(shard.x, shard.topology)
            total = mse_loss(out, shard.y, reduction="sum")
            gm.distributed.mean(total, len(out), shard.topology).backward()
        times.append(perf_counter() - start)
        cpus.append(process_time() - cpu)
    nodes, part = side * side, shard.topology.part
    copies, others = sum(part.halo.receive), sum(part.halo.send)
    # There with the features of its nodes, back with the gradients of copies.
    formula = options.layers * (others + copies) * options.channels * 4
    cpu = median(cpus[1:])  # the first compiles
    row = {
        "processes": count(),
        "nodes": count() * nodes,
        "copies per node": largest(copies / nodes),
        "step, s": largest(median(times[1:])),
        "CPU us per node": float(summed(torch.tensor(cpu))) / (count() * nodes) * 1e6,
        "bytes per node": largest(traffic.exchanged / nodes),
        "by formula": largest(formula / nodes),
        "sums, bytes": largest(traffic.reduced),
    }
    return [row]


def measure(options: Any) -> Iterator[Row]:
    """Rows of all numbers of processes."""
    for size in options.processes:
        progress(f"{size} processes")
        yield from together(step_on, size, options)


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure and print."""
    smoke = {"processes": [1], "nodes": 64, "budget": 8, "channels": 8, "layers": 1, "repeats": 1}
    study = Study(__doc__, smoke)
    study.add_argument("--processes", type=numbers(int), default=[1, 2, 4])
    study.add_argument("--nodes", type=int, default=10_000, help="of each process")
    study.add_argument("--budget", type=int, default=48, help="pairs per node")
    study.add_argument("--channels", type=int, default=32)
    study.add_argument("--layers", type=int, default=2)
    study.add_argument("--repeats", type=int, default=5)
    options = study.parse(arguments)
    with torch.random.fork_rng(devices=[]):
        rows = study.collect(measure(options), options)
    print_table("Weak scaling of one graph over processes", rows)
    return rows


if __name__ == "__main__":
    main()
