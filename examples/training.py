"""Options, models and training loop of the training examples.

Each epoch is seeded by the seed of the run and the number of the epoch, so that an interrupted run
that continues with ``--resume`` ends with the same weights as an uninterrupted one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import optimization
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from loaders import Loaders
from optimization import Options, cross_entropy
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import MLP
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
    add("--norm", default="batch_norm", help="as in PyG; none: layer normalisation of each node")
    add("--accelerator", default="auto", help="as in Lightning: cpu, gpu, auto")
    add("--devices", default="1", help="number of devices; several train data-parallel")
    add("--precision", default="32-true", help="as in Lightning, such as bf16-mixed")
    add("--out", type=Path, default=Path("runs"), help="folder of logs, checkpoints and results")
    add("--resume", action="store_true", help="continue each run from its last checkpoint, if any")
    add("--quiet", action="store_true", help="show no progress")
    add("--smoke", action="store_true", help="a tiny run that only shows that everything works")
    optimization.add_options(parser)
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


def norm_of(options: Options) -> str | None:
    """The normalisation of blocks, as PyG names it."""
    return None if options.norm == "none" else options.norm


def make_model(
    options: Options, in_channels: int, out_channels: int, **arguments: Any
) -> nn.Module:
    """The transformer of all variants, of the size of the options unless arguments differ."""
    sizes = {"num_layers": options.layers, "heads": options.heads, "dropout": options.dropout}
    sizes["norm"] = norm_of(options)
    channels = in_channels, options.channels, out_channels
    model = gm.nn.TopologicalTransformer(*channels, **{**sizes, **arguments})
    return optimization.use_bit_dropout(model)


def graph_model(
    options: Options,
    in_channels: int,
    out_channels: int,
    aggr: str | Sequence[str] = ("mean", "max"),
    graph_channels: int = 0,
    **arguments: Any,
) -> nn.Module:
    """A transformer for outputs of graphs: two layers first, and a readout of all blocks.

    Arguments replace these parts.
    """
    width, norm = options.channels, norm_of(options)
    blocks, hidden = arguments.get("num_layers", options.layers) * width, (4 * width, 2 * width)
    settings = options.head_dropout, norm
    readout = gm.nn.Readout(
        blocks, out_channels, aggr, hidden, *settings, graph_channels=graph_channels
    )
    encoder = MLP([in_channels, width, width], norm=norm)
    parts = {"encoder": encoder, "head": readout, "jk": "cat"}
    return make_model(options, in_channels, out_channels, **{**parts, **arguments})


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
        of_graphs = {"u": batch.u} if "u" in batch else {}
        return self.model(x, gm.Topology.from_data(batch), **of_graphs)

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
        optimizer = optimization.make_optimizer(self.model, self.options)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = optimization.make_schedule(optimizer, self.options, steps)
        if schedule is None:
            return {"optimizer": optimizer}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Meter(Callback):
    """Measures training: seconds of each epoch with its validation, CPU seconds, memory in MB.

    Linux alone tells the most memory since a moment; elsewhere it is NaN.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.cpu_seconds, self.memory = 0.0, float("nan")

    def on_train_epoch_start(self, *_: object) -> None:
        if not self.seconds and Path("/proc/self/clear_refs").exists():
            Path("/proc/self/clear_refs").write_text("5")
        self._start = time.perf_counter(), time.process_time()

    def on_train_epoch_end(self, *_: object) -> None:
        seconds, cpu_seconds = self._start
        self.seconds.append(time.perf_counter() - seconds)
        self.cpu_seconds += time.process_time() - cpu_seconds
        status = Path("/proc/self/status")
        lines = status.read_text().splitlines() if status.exists() else []
        peaks = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
        self.memory = peaks[0] if peaks else float("nan")


class Best(ModelCheckpoint):
    """Keeps the epoch with the best validation score, of equal ones the last.

    Small sets of validation data are soon without error, long before training ends.
    """

    def check_monitor_top_k(self, trainer: L.Trainer, current: Tensor | None = None) -> bool:
        is_equal = current is not None and self.best_model_score == current
        return is_equal or super().check_monitor_top_k(trainer, current)


class WholeCheckpoints(TorchCheckpointIO):
    """Replaces checkpoints whole, so that a run that is killed can always resume."""

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside:
            torch.save(checkpoint, aside)


def fit(task: Task, loaders: Loaders, options: Options, folder: Path) -> dict[str, float]:
    """Train, and test the epoch with the best validation score, or the last without validation."""
    meter = Meter()
    # A callback of its own: with a monitor, `save_last` writes only when the monitor improves.
    last = ModelCheckpoint(folder, filename="last", enable_version_counter=False)
    callbacks: list[Callback] = [last, meter]
    best, mode = last, None
    if loaders.val is not None:
        mode = "max" if task.metrics["val"].higher_is_better else "min"
        best = Best(folder, filename="best", monitor="val", mode=mode, enable_version_counter=False)
        callbacks.insert(0, best)
    callbacks += optimization.make_callbacks(options, mode)
    trainer = L.Trainer(
        max_epochs=options.epochs,
        accelerator=options.accelerator,
        devices=options.devices,
        precision=options.precision,
        gradient_clip_val=options.clip,
        check_val_every_n_epoch=min(options.validate_every, options.epochs),
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        callbacks=callbacks,
        logger=CSVLogger(folder.parent, folder.name, version=""),
        plugins=[WholeCheckpoints()],
        enable_model_summary=False,
        enable_progress_bar=not options.quiet,
    )
    checkpoint = folder / "last.ckpt"
    resume = options.resume and checkpoint.exists()
    trainer.fit(task, loaders, ckpt_path=checkpoint if resume else None)
    L.seed_everything(loaders.seed, verbose=False)  # of votes
    score = trainer.test(task, loaders, ckpt_path=best.best_model_path, verbose=False)[0]["test"]
    seconds = sorted(meter.seconds)
    parameters = sum(parameter.numel() for parameter in task.model.parameters())
    return {
        "validation": float("nan") if mode is None else float(best.best_model_score),
        "score": score,
        "epoch": torch.load(best.best_model_path, weights_only=False)["epoch"] + 1,
        "seconds": seconds[len(seconds) // 2] if seconds else float("nan"),
        "cpu_seconds": meter.cpu_seconds,
        "memory": meter.memory,
        "parameters": parameters,
    }
