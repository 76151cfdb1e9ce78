"""One graph on several processes, with the gradients of one: a field that has spread on a surface.

python -m torch.distributed.run --nproc-per-node 2 examples/one_graph_over_ranks.py --folder torus

One process cuts a generated torus into parts; each opens its own, and Lightning trains them
together as if the whole graph were one batch. A run that was stopped, or whose processes torchrun
starts again, goes on from the last checkpoint in ``--folder``, with any number of processes.
``--smoke`` trains a small torus on one process and on two, and compares.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.nn.functional import mse_loss
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

import graphmask as gm

HOPS = 4


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", type=int, default=10_000, help="about as many")
    parser.add_argument("--parts", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--every", type=int, default=5, help="steps between checkpoints")
    parser.add_argument("--folder", type=Path, help="of the graph and checkpoints (default: none)")
    parser.add_argument("--smoke", action="store_true", help="seconds, one process and two")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.nodes, options.parts, options.steps = 400, 5, 4
    elif "WORLD_SIZE" in os.environ and options.folder is None:
        parser.error("several processes need a --folder that all can read")
    return options


def side_of(nodes: int) -> int:
    return max(3, round(nodes**0.5))


def torus(nodes: int) -> Data:
    """A grid on a torus, impulses at some nodes, and what is left of them after some steps."""
    side = side_of(nodes)
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


class Field(lightning.LightningModule):
    """A masked transformer on the own nodes of each process."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        super().__init__()
        self.options, self.folder = options, folder
        self.losses: list[float] = []
        torch.manual_seed(0)
        walks = gm.masks.WalkMask(HOPS, heads=4, alpha=gm.masks.NonNegative)
        mask = 0.1 * gm.masks.GlobalMask() + walks
        model = gm.nn.TopologicalTransformer(1, 32, 1, 2, 4, mask, conv=GCNConv(32, 32), norm=None)
        self.model = gm.distributed.sync_batch_norm(model)  # where norm="batch_norm"

    def prepare_data(self) -> None:
        """Cut the graph, on one process."""
        if not (self.folder / "manifest.json").exists():
            sampler = gm.walks.ResampledWalks(budget=48, hops=HOPS)
            parts = self.options.parts
            gm.distributed.shard(torus(self.options.nodes), self.folder, parts=parts, walks=sampler)

    def setup(self, stage: str) -> None:
        """Open own parts, on each process."""
        found = gm.distributed.GraphShards(self.folder).num_nodes
        if found != side_of(self.options.nodes) ** 2:
            raise ValueError(f"{self.folder} has {found} nodes: --nodes {found}, or a new --folder")
        shard = gm.distributed.open_shard(self.folder)
        self.shard = shard.to(self.trainer.strategy.root_device)
        print(self.shard)

    def train_dataloader(self) -> list[int]:
        """An epoch is a step on the whole graph."""
        return [0]

    def training_step(self, batch: Any) -> Tensor:
        shard = self.shard
        out = self.model(shard.x, shard.topology)
        errors = mse_loss(out, shard.y, reduction="sum")
        loss = gm.distributed.mean(errors, len(out), shard.topology)
        self.log("loss", loss)
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=3e-3)


class Report(lightning.Callback):
    """Prints losses, the time of a step, and the bytes that it sent."""

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.start, self.first = time.perf_counter(), trainer.current_epoch
        self.counting = gm.distributed.count_traffic()
        self.traffic = self.counting.__enter__()

    def on_train_end(self, trainer: Any, module: Any) -> None:
        self.counting.__exit__(None, None, None)
        count = max(1, trainer.current_epoch - self.first)
        seconds = (time.perf_counter() - self.start) / count
        print(f"losses of steps {self.first} on:", *(f"{loss:.4f}" for loss in module.losses))
        print(f"{seconds:.2f} s per step; {count} steps sent {self.traffic}")


def train(options: argparse.Namespace, folder: Path, processes: int = 1) -> Tensor:
    """The last loss, the same for any number of processes."""
    field, wait = Field(options, folder / "graph"), timedelta(minutes=2)
    # Set by torchrun, which starts the processes; here Lightning does.
    total, local = (int(os.environ.get(f"{name}WORLD_SIZE", 0)) for name in ("", "LOCAL_"))
    strategy: Any = "auto"
    if total or processes > 1:
        strategy = DDPStrategy(start_method="popen" if total else "spawn", timeout=wait)
    checkpoint = ModelCheckpoint(folder, "{epoch}", every_n_epochs=options.every, save_last=True)
    trainer = lightning.Trainer(
        accelerator="cpu" if options.smoke else "auto",
        devices=local or processes,
        num_nodes=total // local if total else 1,
        strategy=strategy,
        max_epochs=options.steps,
        callbacks=[checkpoint, Report()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    last = folder / "last.ckpt"
    trainer.fit(field, ckpt_path=last if last.exists() else None)
    return trainer.callback_metrics["loss"]


def compare(options: argparse.Namespace, folder: Path) -> None:
    """Train on one process, and on two."""
    one, two = (train(options, folder / str(count), count) for count in (1, 2))
    torch.testing.assert_close(two, one, rtol=1e-4, atol=0)
    print("two processes have the losses of one")


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if options.smoke:
            compare(options, folder)
        else:
            train(options, folder)


if __name__ == "__main__":
    main()
