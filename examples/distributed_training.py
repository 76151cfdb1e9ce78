"""One graph on several processes, with the gradients of one: a field that has spread on a surface.

torchrun --nproc-per-node 2 examples/distributed_training.py --nodes 40000 --steps 30

Rank 0 cuts a generated torus into parts; each process opens its own, and trains with
``DistributedDataParallel`` as if the whole graph were one batch. ``--smoke`` trains a small torus
on one process and on two, and compares the losses.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.nn.functional import mse_loss
from torch.nn.parallel import DistributedDataParallel
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

import graphmask as gm

HOPS = 4


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", type=int, default=10_000, help="about as many")
    parser.add_argument("--parts", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="where to keep the graph (default: none)")
    parser.add_argument("--smoke", action="store_true", help="seconds, one process and two")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.nodes, options.parts, options.steps = 400, 5, 4
    return options


def torus(nodes: int) -> Data:
    """A grid on a torus, impulses at some nodes, and what is left of them after some steps."""
    side = max(3, round(nodes**0.5))
    node = torch.arange(side * side).view(side, side)
    ends = torch.cat([node.roll(1, 0).flatten(), node.roll(1, 1).flatten()])
    edge_index = torch.stack([ends, node.flatten().repeat(2)])
    angle = torch.arange(side) * (2 * torch.pi / side)
    outer, inner = torch.meshgrid(angle, angle, indexing="ij")
    ring = 2 + inner.cos()
    pos = torch.stack([ring * outer.cos(), ring * outer.sin(), inner.sin()], -1).view(-1, 3)
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(side * side, 1, generator=generator) < 0.1).float()
    data = Data(x=x, pos=pos, edge_index=torch.cat([edge_index, edge_index.flip(0)], 1))
    alpha = torch.eye(HOPS + 1)[-1:]
    spread = gm.operators.PowerSeriesOperator(
        gm.Topology.from_data(data), *gm.Topology.from_data(data).adjacency(), alpha
    )
    data.y = spread.matmul(x)[0] * 10
    return data


def train(options: argparse.Namespace, folder: Path) -> list[float]:
    """The losses, the same on all ranks."""
    is_alone = not dist.is_initialized()
    if is_alone or dist.get_rank() == 0:
        sampler = gm.walks.ResampledWalks(budget=48, hops=HOPS)
        data, parts = torus(options.nodes), options.parts
        print(gm.distributed.shard(data, folder, parts=parts, walks=sampler))
    if not is_alone:
        dist.barrier()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shard = gm.distributed.open_shard(folder).to(device)
    print(shard)
    torch.manual_seed(0)
    mask = 0.1 * gm.masks.GlobalMask() + gm.masks.WalkMask(
        HOPS, heads=4, alpha=gm.masks.NonNegative
    )
    model = gm.nn.TopologicalTransformer(1, 32, 1, 2, 4, mask, conv=GCNConv(32, 32), norm=None)
    model = gm.distributed.sync_batch_norm(model).to(device)  # where norm="batch_norm"
    model = model if is_alone else DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses, start = [], time.perf_counter()
    for _ in range(options.steps):
        optimizer.zero_grad()
        with gm.distributed.count_traffic() as traffic:
            out = model(shard.x, shard.topology)
            errors = mse_loss(out, shard.y, reduction="sum")
            loss = gm.distributed.mean(errors, len(out), shard.topology)
            loss.backward()
        optimizer.step()
        losses.append(loss.item())
    seconds = (time.perf_counter() - start) / options.steps
    print(f"loss {losses[0]:.4f} to {losses[-1]:.4f}, {seconds:.2f} s per step, {traffic} per step")
    return losses


def work(rank: int, size: int, options: argparse.Namespace, folder: Path, out: Path) -> None:
    """One process of ``--smoke``."""
    store = dist.FileStore(str(folder / "store"), size)
    wait = timedelta(seconds=60)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=wait)
    losses = train(options, folder)
    if rank == 0:
        torch.save(losses, out)
    dist.destroy_process_group()


def compare(options: argparse.Namespace, folder: Path) -> None:
    """Train on one process, and on two."""
    one, two = train(options, folder / "one"), folder / "losses"
    (folder / "two").mkdir()
    multiprocessing.spawn(work, (2, options, folder / "two", two), nprocs=2)
    torch.testing.assert_close(torch.tensor(torch.load(two)), torch.tensor(one), rtol=1e-4, atol=0)
    print("two processes have the losses of one")


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as temporary:
        if options.smoke:
            compare(options, Path(temporary))
        elif "RANK" in os.environ:
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
            # Folders of ranks on one machine have to be the same.
            folder = [str(options.folder or temporary)]
            dist.broadcast_object_list(folder)
            train(options, Path(folder[0]))
            dist.barrier()
            dist.destroy_process_group()
        else:
            train(options, options.folder or Path(temporary))


if __name__ == "__main__":
    main()
