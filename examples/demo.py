"""Four ways to mix the points of a cloud, trained side by side on generated shapes: a table and two pictures in a few minutes.

    python examples/demo.py

Same data, same epochs, same seed; only what lets points exchange information differs.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from point_cloud_classification import INPUTS, Classifier, PointClouds, load, make_model
from point_cloud_classification import parse as classification_options
from torch import Tensor
from torch_geometric.data import Batch, Data

import graphmask as gm

VARIANTS = {
    "masked attention": ["--mask", "walk"],
    "masked + local convolution": ["--mask", "walk", "--conv"],
    "unmasked linear attention": ["--mask", "global"],
    "local convolution alone": ["--mask", "none", "--conv"],
}
SIZES = ["--points", "128", "--per-class", "50", "--batch-size", "16", "--lr", "3e-3"]


class Curve(Callback):
    """Test accuracy after each epoch, and the seconds that training it took."""

    def __init__(self) -> None:
        self.accuracy: list[float] = []
        self.seconds: list[float] = []

    def on_train_epoch_start(self, *_: object) -> None:
        self._start = time.perf_counter()

    def on_validation_start(self, *_: object) -> None:
        self.seconds.append(time.perf_counter() - self._start)

    def on_validation_epoch_end(self, trainer: L.Trainer, *_: object) -> None:
        self.accuracy.append(float(trainer.callback_metrics["val_acc"]))


class TestedClouds(PointClouds):
    """Trains on all training clouds and looks at the test clouds after every epoch, to draw curves; nothing is selected."""

    def val_dataloader(self) -> object:
        return self.test_dataloader()

    def held_out(self, index: int) -> bool:
        return False


class Result(NamedTuple):
    """A trained variant."""

    curve: Curve
    model: gm.nn.TopologicalTransformer
    entries: float | None
    cloud: Data


def train(name: str, options: argparse.Namespace) -> Result:
    """Train one variant."""
    L.seed_everything(options.seed, verbose=False)
    train_set, test_set = load(options)
    inputs = INPUTS[options.dataset]
    model = make_model(options, sum(train_set[0][name].shape[1] for name in inputs), train_set.num_classes)
    curve = Curve()
    trainer = L.Trainer(
        max_epochs=options.epochs,
        accelerator="auto",
        devices=1,
        gradient_clip_val=1.0,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        callbacks=[curve],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    print(f"\n{name}", flush=True)
    task = Classifier(model, train_set.num_classes, inputs, options.lr)
    trainer.fit(task, TestedClouds(train_set, test_set, options.batch_size, options.seed))
    return Result(curve, model.cpu().eval(), entries_per_node(model, test_set[:32]), test_set[0])


def entries_per_node(model: gm.nn.TopologicalTransformer, clouds: object) -> float | None:
    """Mean number of nodes that a node's mask row reaches, or None without a mask."""
    attention = model.layers[0].attention
    if attention is None:
        return None
    topology = gm.Topology.from_data(Batch.from_data_list(list(clouds)))
    entries = attention.mask(topology).entries()
    return float(topology.graph_sizes.float().mean()) if entries is None else entries.pattern.nnz / topology.num_nodes


def table(results: dict[str, Result]) -> str:
    """Accuracy, time and size of every variant."""
    lines = [f"{'':28}{'test accuracy':>14}{'s / epoch':>11}{'mask entries / node':>21}"]
    for name, result in results.items():
        seconds = sorted(result.curve.seconds)[len(result.curve.seconds) // 2]
        entries = "-" if result.entries is None else f"{result.entries:.0f}"
        lines.append(f"{name:28}{result.curve.accuracy[-1]:>14.3f}{seconds:>11.2f}{entries:>21}")
    return "\n".join(lines)


def draw_mask_row(result: Result, path: Path) -> None:
    """The row of the first layer's mask for one point, per head, on the cloud it belongs to."""
    mask, cloud = result.model.layers[0].attention.mask, result.cloud
    node = int((cloud.pos - cloud.pos.mean(0)).norm(dim=1).argmax())
    with torch.no_grad():
        rows = mask(gm.Topology.from_data(cloud)).rows(torch.tensor([node]))[:, 0]
    others = torch.arange(cloud.num_nodes) != node
    bound = float(rows[:, others].abs().max())  # the point itself, often the largest entry, would leave the rest pale
    figure = Figure(figsize=(9, 8), layout="constrained")
    for head, row in enumerate(rows):
        axes = figure.add_subplot(2, -(-len(rows) // 2), head + 1, projection="3d")
        dots = _scatter(axes, cloud.pos, row, bound)
        axes.scatter(*cloud.pos[node].tolist(), marker="*", s=260, c="none", edgecolors="black")
        axes.set_title(f"head {head}")
        axes.set_box_aspect((cloud.pos.amax(0) - cloud.pos.amin(0)).tolist(), zoom=1.3)
        axes.set_axis_off()
    figure.colorbar(dots, ax=figure.axes, shrink=0.6, label="mask entry")
    figure.suptitle("Mask row of the starred point; grey points are out of its reach")
    FigureCanvasAgg(figure).print_png(path)


def _scatter(axes: object, pos: Tensor, row: Tensor, bound: float) -> object:
    reached = row != 0
    axes.scatter(*pos[~reached].T.numpy(), s=6, c="lightgrey")
    return axes.scatter(*pos[reached].T.numpy(), s=24, c=row[reached].numpy(), cmap="coolwarm", vmin=-bound, vmax=bound)


def draw_curves(results: dict[str, Result], path: Path) -> None:
    """Test accuracy over epochs."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, result in results.items():
        axes.plot(range(1, len(result.curve.accuracy) + 1), result.curve.accuracy, label=name)
    axes.set(xlabel="epoch", ylabel="test accuracy")
    axes.grid(alpha=0.3)
    axes.legend()
    FigureCanvasAgg(figure).print_png(path)


def main() -> None:
    """Train the variants, print the table, draw the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of the pictures")
    parser.add_argument("--smoke", action="store_true", help="a tiny run that only shows that everything works")
    asked = parser.parse_args()
    shared = [*SIZES, "--epochs", str(asked.epochs), "--seed", str(asked.seed), *(["--smoke"] if asked.smoke else [])]
    # Lightning advises on loader workers and devices; batches here are made faster than workers start.
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    # On clouds this small, threads wait for each other longer than they work.
    torch.set_num_threads(1)
    start = time.perf_counter()
    results = {name: train(name, classification_options(shared + extra)) for name, extra in VARIANTS.items()}
    asked.out.mkdir(parents=True, exist_ok=True)
    row, curves = asked.out / "mask_row.png", asked.out / "accuracy.png"
    draw_mask_row(results["masked attention"], row)
    draw_curves(results, curves)
    print(f"\n{table(results)}\n")
    print(f"Pictures: {row} (what one point attends to) and {curves}, after {time.perf_counter() - start:.0f} s.")
    print(
        "Next: python examples/point_cloud_classification.py --help (real data, other masks); graphmask bench (cost in nodes)."
    )


if __name__ == "__main__":
    main()
