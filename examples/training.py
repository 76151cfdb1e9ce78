"""What the training examples share.

Options, a task and loaders for Lightning, and the comparison of variants.

Every epoch is seeded by the run's seed and the epoch's own number, so that a run that was stopped
and goes on with ``--resume`` ends with the same weights as one that was never stopped.
"""

from __future__ import annotations

import argparse
import csv
import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import Dataset, DistributedSampler
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GraphConv
from torchmetrics import Metric

import graphmask as gm

# What `AddWalks` stores, of up to two sets.
PARTS = (
    "index",
    "table",
    "index_1",
    "table_1",
    "hop",
    "weight",
    "set",
    "num_hops",
    "normalization",
)
WALKS = [f"walk_{part}" for part in PARTS]


def parser(description: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """The options that all examples have; ``defaults`` replaces their defaults."""
    made = argparse.ArgumentParser(
        description=(description or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = made.add_argument
    add("--variants", nargs="+", help="which of the compared models to train (default: all)")
    add("--seeds", type=int, nargs="+", default=[0])
    add("--epochs", type=int, default=10)
    add("--batch-size", type=int, default=32, help="of all devices together")
    add("--lr", type=float, default=2e-3)
    add("--channels", type=int, default=64)
    add("--layers", type=int, default=3)
    add("--heads", type=int, default=4)
    add("--hops", type=int, default=4, help="hops of the mask")
    add("--dropout", type=float, default=0.0)
    add("--accelerator", default="auto", help="as Lightning names it: cpu, gpu, auto")
    add("--devices", default="1", help="number of devices: more than one train data-parallel")
    add("--precision", default="32-true", help="as Lightning names it, such as bf16-mixed")
    add("--out", type=Path, default=Path("runs"), help="folder of logs, checkpoints and results")
    add(
        "--resume",
        action="store_true",
        help="go on from the last checkpoint of each run, where there is one (with the same options)",
    )
    add("--smoke", action="store_true", help="a tiny run that only shows that everything works")
    made.set_defaults(**defaults)
    return made


def variants(
    channels: int, heads: int, mask: gm.masks.TopologicalMask
) -> dict[str, dict[str, Any]]:
    """What is compared: how the nodes of a ``TopologicalTransformer`` mix."""
    local, everyone = GraphConv(channels, channels, aggr="mean"), gm.masks.GlobalMask()
    return {
        "masked": {"mask": mask},
        "masked + local": {"mask": mask, "conv": local},
        "unmasked": {"mask": everyone},
        "unmasked + local": {"mask": everyone, "conv": local},
        "local": {"conv": local},
    }


class Task(L.LightningModule):
    """Trains a model on the node attributes ``inputs``, and scores it by a metric on validation and test data."""

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        metric: Metric,
        lr: float = 2e-3,
        inputs: Sequence[str] = ("x",),
    ) -> None:
        super().__init__()
        self.model, self.loss, self.lr, self.inputs = model, loss, lr, inputs
        self.metrics = nn.ModuleDict({part: metric.clone() for part in ("val", "test")})

    def forward(self, batch: Batch) -> Tensor:
        return self.model(
            torch.cat([batch[name] for name in self.inputs], 1), gm.Topology.from_data(batch)
        )

    def predict(self, batch: Batch, part: str) -> tuple[Tensor, Tensor]:
        """Predictions and targets.

        ``part`` (train, val or test) serves tasks whose batches hold all three.
        """
        return self(batch), batch.y

    def training_step(self, batch: Batch) -> Tensor:
        loss = self.loss(*self.predict(batch, "train"))
        self.log(
            "loss",
            loss,
            prog_bar=True,
            on_step=False,
            on_epoch=True,
            batch_size=batch.num_graphs,
            sync_dist=True,
        )
        return loss

    def validation_step(self, batch: Batch) -> None:
        self._score("val", batch)

    def test_step(self, batch: Batch) -> None:
        self._score("test", batch)

    def _score(self, part: str, batch: Batch) -> None:
        self.metrics[part].update(*self.predict(batch, part))
        self.log(
            part, self.metrics[part], prog_bar=True, on_epoch=True, batch_size=batch.num_graphs
        )

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.lr, total_steps=int(self.trainer.estimated_stepping_batches)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class SeededEpochs(DistributedSampler):
    """Makes all that is random in an epoch follow from the seed and the epoch's number.

    Order, augmentation, dropout.

    The trainer calls ``set_epoch`` before it fetches an epoch's first batch, and also when it
    resumes.
    """

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        L.seed_everything(1_000_003 * self.seed + 1_009 * epoch + self.rank, verbose=False)


class Loaders(L.LightningDataModule):
    """Loaders of PyG datasets, or lists of ``Data``.

    Without validation data the last epoch counts as the best.
    """

    def __init__(
        self,
        train: Dataset,
        val: Dataset | None,
        test: Dataset,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.train, self.val, self.test, self.batch_size, self.seed = (
            train,
            val,
            test,
            batch_size,
            seed,
        )

    def train_dataloader(self) -> DataLoader:
        world = self.trainer.world_size
        sampler = SeededEpochs(self.train, world, self.trainer.global_rank, seed=self.seed)
        return self._loader(self.train, max(self.batch_size // world, 1), sampler=sampler)

    def val_dataloader(self) -> DataLoader | list[Any]:
        return [] if self.val is None else self._loader(self.val, self.batch_size)

    def test_dataloader(self) -> DataLoader:
        return self._loader(self.test, self.batch_size)

    def _loader(self, data: Dataset, size: int, **options: Any) -> DataLoader:
        masks = [
            part
            for part in self.trainer.lightning_module.modules()
            if isinstance(part, gm.masks.TopologicalMask)
        ]
        # Models that read no walks are not timed batching them.
        unread = [] if any(mask.walk_demand for mask in masks) else WALKS
        # A loader without a generator of its own draws from the global one whenever it is iterated,
        # however often that is.
        return DataLoader(data, size, exclude_keys=unread, generator=torch.Generator(), **options)


class Stopwatch(Callback):
    """Seconds that training took in each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, *_: object) -> None:
        self._start = time.perf_counter()

    def on_train_epoch_end(self, *_: object) -> None:
        self.seconds.append(time.perf_counter() - self._start)


def fit(task: Task, loaders: Loaders, options: argparse.Namespace, name: str) -> dict[str, float]:
    """Train, then test the epoch that validated best.

    Its score, the median seconds of an epoch, the number of parameters.
    """
    folder = options.out / name
    mode = "max" if task.metrics["val"].higher_is_better else "min"
    # Its own callback: `save_last` beside a monitor writes only when the monitor improves.
    last, watch = (
        ModelCheckpoint(folder, filename="last", enable_version_counter=False),
        Stopwatch(),
    )
    best = last
    if loaders.val is not None:
        best = ModelCheckpoint(
            folder, filename="best", monitor="val", mode=mode, enable_version_counter=False
        )
    trainer = L.Trainer(
        max_epochs=options.epochs,
        accelerator=options.accelerator,
        devices=options.devices,
        precision=options.precision,
        gradient_clip_val=1.0,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        callbacks=list(dict.fromkeys([best, last, watch])),
        logger=CSVLogger(options.out, name, version=""),
        enable_model_summary=False,
    )
    start = folder / "last.ckpt"
    trainer.fit(task, loaders, ckpt_path=start if options.resume and start.exists() else None)
    score = trainer.test(task, loaders, ckpt_path=best.best_model_path, verbose=False)[0]["test"]
    seconds = sorted(watch.seconds)[len(watch.seconds) // 2] if watch.seconds else float("nan")
    return {
        "score": score,
        "seconds": seconds,
        "parameters": sum(p.numel() for p in task.model.parameters()),
    }


def compare(
    name: str,
    options: argparse.Namespace,
    make: Callable[[str, Any, int], tuple[Task, Loaders]],
    choices: Mapping[str, Any],
    score: str = "test accuracy",
) -> list[dict[str, Any]]:
    """Train each variant with each seed, by ``make(variant, its arguments, seed)``.

    Print and keep the table.
    """
    # Lightning advises on loader workers (graphs here are batched faster than workers start) and
    # tells what it overwrites.
    for told in ("does not have many workers", "exists and is not empty", "treespec"):
        warnings.filterwarnings("ignore", message=f".*{told}.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    rows = []
    for variant in options.variants or choices:
        for seed in options.seeds:
            L.seed_everything(seed, verbose=False)
            task, loaders = make(variant, choices[variant], seed)
            print(f"\n{name}, {variant}, seed {seed}", flush=True)
            found = fit(task, loaders, options, f"{name}/{variant.replace(' ', '')}-{seed}")
            rows.append({"variant": variant, "seed": seed, **found})
    if rows and L.pytorch.utilities.rank_zero_only.rank == 0:
        _report(name, rows, score, options.out / name / "results.csv")
    return rows


def _report(name: str, rows: Sequence[Mapping[str, Any]], score: str, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    table = Table("", score, "s / epoch", "parameters", title=name)
    for variant in dict.fromkeys(row["variant"] for row in rows):
        mine = [row for row in rows if row["variant"] == variant]
        scores = ", ".join(f"{row['score']:.4f}" for row in mine)
        table.add_row(variant, scores, f"{mine[0]['seconds']:.2f}", f"{mine[0]['parameters']:,}")
    Console(width=120).print(table)
    print(f"Logs, checkpoints (best, last) and this table: {path.parent}")
