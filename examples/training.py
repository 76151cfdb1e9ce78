"""Options, model, training loop and comparison of variants for the training examples.

Each epoch is seeded by the seed of the run and the number of the epoch, so that an interrupted run
that continues with ``--resume`` ends with the same weights as an uninterrupted one.
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
import recipes
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from loaders import Loaders
from recipes import Options, cross_entropy
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import MLP, GraphConv
from torchmetrics import Metric

import graphmask as gm
from graphmask._atomic import replacing

__all__ = ["Loaders", "Options", "cross_entropy"]  # for the examples, beside what is defined here
Variant = dict[str, Any]


def make_parser(description: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """A parser of the options of all examples; ``defaults`` replaces their defaults."""
    parser = argparse.ArgumentParser(
        description=(description or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--variants", nargs="+", help="names of the models to train (default: all)")
    add("--seeds", type=int, nargs="+", default=[0])
    add("--epochs", type=int, default=10)
    add("--validate-every", type=int, default=1, help="epochs")
    add("--batch-size", type=int, default=32, help="of all devices together")
    add("--channels", type=int, default=64)
    add("--layers", type=int, default=3)
    add("--heads", type=int, default=4)
    add("--hops", type=int, default=4, help="hops of the mask")
    add("--dropout", type=float, default=0.0)
    add("--head-dropout", type=float, default=0.3, help="of outputs of graphs")
    add("--norm", default="batch_norm", help="of models of graphs, as in PyG; none: of each node")
    add("--accelerator", default="auto", help="as in Lightning: cpu, gpu, auto")
    add("--devices", default="1", help="number of devices; several train data-parallel")
    add("--precision", default="32-true", help="as in Lightning, such as bf16-mixed")
    add("--out", type=Path, default=Path("runs"), help="folder of logs, checkpoints and results")
    add("--resume", action="store_true", help="continue each run from its last checkpoint, if any")
    add("--smoke", action="store_true", help="a tiny run that only shows that everything works")
    recipes.add_options(parser)
    parser.set_defaults(**defaults)
    return parser


def parse_options(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None, **smoke: Any
) -> Options:
    """The options; with ``--smoke``, those of a tiny run."""
    options = parser.parse_args(arguments)
    paths = {name: x.expanduser() for name, x in vars(options).items() if isinstance(x, Path)}
    vars(options).update(paths)
    if options.smoke:
        vars(options).update(smoke)
    return options


def add_walks(
    options: Options, budget: int, seed: int = 0, sets: int = 1
) -> gm.transforms.AddWalks:
    """The transform that draws the walks of the mask."""
    sampler = gm.walks.ResampledWalks(budget, options.hops)
    return gm.transforms.AddWalks(sampler, torch.Generator().manual_seed(seed), sets=sets)


class SharedWalks:
    """Transform for examples on one graph: adds the walks of that graph, drawn once."""

    def __init__(self, data: Data, draw: gm.transforms.AddWalks) -> None:
        stored = draw(data.clone())
        self.walks = {name: stored[name] for name in gm.transforms.AddWalks.attributes(stored)}

    def __call__(self, data: Data) -> Data:
        return data.update(self.walks)


def make_model(
    options: Options, in_channels: int, out_channels: int, **arguments: Any
) -> nn.Module:
    """The transformer of all variants, of the size of the options unless arguments differ."""
    sizes = {"num_layers": options.layers, "heads": options.heads, "dropout": options.dropout}
    channels = in_channels, options.channels, out_channels
    model = gm.nn.TopologicalTransformer(*channels, **{**sizes, **arguments})
    return recipes.use_bit_dropout(model)


def graph_model(
    options: Options,
    in_channels: int,
    out_channels: int,
    aggr: str | Sequence[str] = ("mean", "max"),
    **arguments: Any,
) -> nn.Module:
    """A transformer for outputs of graphs: two layers first, and a readout of all blocks."""
    width, norm = options.channels, None if options.norm == "none" else options.norm
    blocks, hidden = arguments.get("num_layers", options.layers) * width, (4 * width, 2 * width)
    readout = gm.nn.Readout(blocks, out_channels, aggr, hidden, options.head_dropout, norm)
    parts = {"encoder": MLP([in_channels, width, width], norm=norm), "head": readout}
    return make_model(options, in_channels, out_channels, jk="cat", norm=norm, **parts, **arguments)


def variants(options: Options, mask: gm.masks.TopologicalMask) -> dict[str, Variant]:
    """The compared arguments of the model: masked and unmasked attention, a local convolution."""
    local = GraphConv(options.channels, options.channels, aggr="mean")
    unmasked = gm.masks.GlobalMask()
    return {
        "masked": {"mask": mask},
        "masked + local": {"mask": mask, "conv": local},
        "unmasked": {"mask": unmasked},
        "unmasked + local": {"mask": unmasked, "conv": local},
        "local": {"conv": local},
    }


class Task(L.LightningModule):
    """Trains a model on the node attributes ``inputs``; a metric scores its predictions."""

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        metric: Metric,
        options: Options,
        inputs: Sequence[str] = ("x",),
    ) -> None:
        super().__init__()
        self.model, self.loss, self.options, self.inputs = model, loss, options, inputs
        self.metrics = nn.ModuleDict({part: metric.clone() for part in ("val", "test")})

    def forward(self, batch: Batch) -> Tensor:
        x = torch.cat([batch[name] for name in self.inputs], 1)
        return self.model(x, gm.Topology.from_data(batch))

    def predict(self, batch: Batch, part: str) -> tuple[Tensor, Tensor]:
        """Predictions and targets; ``part`` is train, val or test."""
        return self(batch), batch.y

    def training_step(self, batch: Batch) -> Tensor:
        loss = self.loss(*self.predict(batch, "train"))
        options = {"on_step": False, "on_epoch": True, "sync_dist": True}
        self.log("loss", loss, prog_bar=True, batch_size=batch.num_graphs, **options)
        return loss

    def validation_step(self, batch: Batch) -> None:
        self._score("val", batch)

    def test_step(self, batch: Batch) -> None:
        self._score("test", batch)

    def _score(self, part: str, batch: Batch | list[Batch]) -> None:
        """Score the mean of the outputs for a batch, or for several draws of it."""
        draws = batch if isinstance(batch, list) else [batch]
        votes, targets = zip(*(self.predict(draw, part) for draw in draws), strict=True)
        metric = self.metrics[part]
        metric.update(torch.stack(votes).mean(0), targets[0])
        self.log(part, metric, prog_bar=True, on_epoch=True, batch_size=draws[0].num_graphs)

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = recipes.make_optimizer(self.model, self.options)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = recipes.make_schedule(optimizer, self.options, steps)
        if schedule is None:
            return {"optimizer": optimizer}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Stopwatch(Callback):
    """Measures the seconds of training in each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, *_: object) -> None:
        self._start = time.perf_counter()

    def on_train_epoch_end(self, *_: object) -> None:
        self.seconds.append(time.perf_counter() - self._start)


class WholeCheckpoints(TorchCheckpointIO):
    """Replaces checkpoints whole, so that a run that is killed can always resume."""

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside:
            torch.save(checkpoint, aside)


def fit(task: Task, loaders: Loaders, options: Options, folder: Path) -> dict[str, float]:
    """Train, and test the epoch with the best validation score.

    Returns its score, the median seconds per epoch, and the number of parameters.
    """
    stopwatch = Stopwatch()
    # A callback of its own: with a monitor, `save_last` writes only when the monitor improves.
    last = ModelCheckpoint(folder, filename="last", enable_version_counter=False)
    callbacks: list[Callback] = [last, stopwatch]
    best, mode = last, None
    if loaders.val is not None:
        mode = "max" if task.metrics["val"].higher_is_better else "min"
        best = ModelCheckpoint(
            folder, filename="best", monitor="val", mode=mode, enable_version_counter=False
        )
        callbacks.insert(0, best)
    callbacks += recipes.make_callbacks(options, mode)
    trainer = L.Trainer(
        max_epochs=options.epochs,
        accelerator=options.accelerator,
        devices=options.devices,
        precision=options.precision,
        gradient_clip_val=options.clip,
        check_val_every_n_epoch=options.validate_every,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        callbacks=callbacks,
        logger=CSVLogger(folder.parent, folder.name, version=""),
        plugins=[WholeCheckpoints()],
        enable_model_summary=False,
    )
    checkpoint = folder / "last.ckpt"
    resume = options.resume and checkpoint.exists()
    trainer.fit(task, loaders, ckpt_path=checkpoint if resume else None)
    L.seed_everything(loaders.seed, verbose=False)  # of votes
    score = trainer.test(task, loaders, ckpt_path=best.best_model_path, verbose=False)[0]["test"]
    seconds = sorted(stopwatch.seconds)
    return {
        "score": score,
        "seconds": seconds[len(seconds) // 2] if seconds else float("nan"),
        "parameters": sum(parameter.numel() for parameter in task.model.parameters()),
    }


def folder_of(options: Options, name: str, variant: str, seed: int) -> Path:
    """The folder of the logs and checkpoints of a run."""
    return options.out / name / f"{variant.replace(' ', '')}-{seed}"


def compare(
    name: str,
    options: Options,
    make: Callable[[str, Any, int], tuple[Task, Loaders]],
    choices: Mapping[str, Any],
    score: str = "test accuracy",
    rules: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Train ``make(variant, choices[variant], seed)`` for each variant and seed; print a table.

    ``rules`` are the scores of what is not trained.
    """
    # Lightning recommends loader workers, which are slower here, and reports what it overwrites.
    for message in ("does not have many workers", "exists and is not empty", "treespec"):
        warnings.filterwarnings("ignore", message=f".*{message}.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    rows = []
    for variant in options.variants or choices:
        for seed in options.seeds:
            L.seed_everything(seed, verbose=False)
            task, loaders = make(variant, choices[variant], seed)
            print(f"\n{name}, {variant}, seed {seed}", flush=True)
            result = fit(task, loaders, options, folder_of(options, name, variant, seed))
            rows.append({"variant": variant, "seed": seed, **result})
    rows += [{"variant": rule, "score": result} for rule, result in (rules or {}).items()]
    if rows and L.pytorch.utilities.rank_zero_only.rank == 0:
        _report(name, rows, score, options.out / name / "results.csv")
    return rows


def _report(name: str, rows: Sequence[Mapping[str, Any]], score: str, path: Path) -> None:
    with replacing(path) as aside, aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    table = Table("", score, "s / epoch", "parameters", title=name)
    for variant in dict.fromkeys(row["variant"] for row in rows):
        runs = [row for row in rows if row["variant"] == variant]
        scores = ", ".join(f"{row['score']:.4f}" for row in runs)
        trained = "parameters" in runs[0]
        cost = (f"{runs[0]['seconds']:.2f}", f"{runs[0]['parameters']:,}") if trained else ("", "")
        table.add_row(variant, scores, *cost)
    Console(width=120).print(table)
    print(f"Logs, checkpoints (best, last) and this table: {path.parent}")
