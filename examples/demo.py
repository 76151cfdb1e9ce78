"""Four ways to mix the points of a cloud, trained side by side on generated shapes.

A table and two pictures in a few minutes.

    python examples/demo.py

Same data, same epochs, same seed; only what lets points exchange information differs.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from point_cloud_classification import choices, load, maker, parse, prepare
from torch import Tensor, nn
from torch_geometric.data import Data
from training import Loaders, Task, compare

import graphmask as gm
from graphmask.datasets import PrimitiveShapes

NAME, VARIANTS = "demo", ["masked", "masked + local", "unmasked", "local"]


def train(options: argparse.Namespace) -> tuple[dict[str, nn.Module], Data]:
    """Train the variants; their models with the weights that validated best, and a test cloud."""
    train, test = load(options)
    # What is generated can be generated again: as many clouds to validate as to test.
    other = PrimitiveShapes(
        None,
        False,
        options.points,
        options.per_class // 2 + 1,
        seed=1,
        pre_transform=prepare(options),
    )
    make, models = maker(options, train.num_classes, train, other, test), {}

    def keep(variant: str, mixing: dict[str, Any], seed: int) -> tuple[Task, Loaders]:
        task, loaders = make(variant, mixing, seed)
        models[variant] = task.model
        return task, loaders

    compare(NAME, options, keep, choices(options))
    return models, test[0]


def draw_mask_row(model: nn.Module, cloud: Data, path: Path) -> None:
    """The row of the first layer's mask for one point, per head, on the cloud that it belongs to."""
    node = int((cloud.pos - cloud.pos.mean(0)).norm(dim=1).argmax())
    with torch.no_grad():
        rows = (
            model.layers[0]
            .attention.mask(gm.Topology.from_data(cloud))
            .rows(torch.tensor([node]))[:, 0]
        )
    others = torch.arange(cloud.num_nodes) != node
    bound = float(
        rows[:, others].abs().max()
    )  # the point itself, often the largest entry, would leave the rest pale
    figure = Figure(figsize=(9, 8), layout="constrained")
    for head, row in enumerate(rows):
        axes = figure.add_subplot(2, -(-len(rows) // 2), head + 1, projection="3d")
        dots = scatter(axes, cloud.pos, row, bound)
        axes.scatter(*cloud.pos[node].tolist(), marker="*", s=260, c="none", edgecolors="black")
        axes.set_title(f"head {head}")
        axes.set_box_aspect((cloud.pos.amax(0) - cloud.pos.amin(0)).tolist(), zoom=1.3)
        axes.set_axis_off()
    figure.colorbar(dots, ax=figure.axes, shrink=0.6, label="mask entry")
    figure.suptitle("Mask row of the starred point; grey points are out of its reach")
    FigureCanvasAgg(figure).print_png(path)


def scatter(axes: Any, pos: Tensor, row: Tensor, bound: float) -> Any:
    """The points of a cloud, coloured by the entries of a row."""
    reached = row != 0
    axes.scatter(*pos[~reached].T.numpy(), s=6, c="lightgrey")
    return axes.scatter(
        *pos[reached].T.numpy(),
        s=24,
        c=row[reached].numpy(),
        cmap="coolwarm",
        vmin=-bound,
        vmax=bound,
    )


def draw_curves(folder: Path, seed: int, path: Path) -> None:
    """Validation accuracy over epochs, from the logs."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    for name in VARIANTS:
        with (folder / f"{name.replace(' ', '')}-{seed}" / "metrics.csv").open() as file:
            accuracy = [float(row["val"]) for row in csv.DictReader(file) if row["val"]]
        axes.plot(range(1, len(accuracy) + 1), accuracy, label=name)
    axes.set(xlabel="epoch", ylabel="validation accuracy")
    axes.grid(alpha=0.3)
    axes.legend()
    FigureCanvasAgg(figure).print_png(path)


def main() -> None:
    """Train the variants, print the table, draw the pictures."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--epochs", type=int, default=8)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--out", type=Path, default=Path("runs"), help="folder of logs and pictures")
    asked.add_argument(
        "--smoke", action="store_true", help="a tiny run that only shows that everything works"
    )
    chosen = asked.parse_args()
    shared = [
        "--epochs",
        str(chosen.epochs),
        "--seeds",
        str(chosen.seed),
        "--out",
        str(chosen.out),
        "--variants",
        *VARIANTS,
    ]
    options = parse([*shared, *(["--smoke"] if chosen.smoke else [])])
    # On clouds this small, threads wait for each other longer than they work.
    torch.set_num_threads(1)
    start, folder = time.perf_counter(), options.out / NAME
    models, cloud = train(options)
    row, curves = folder / "mask_row.png", folder / "accuracy.png"
    draw_mask_row(models["masked"].cpu(), cloud, row)
    draw_curves(folder, chosen.seed, curves)
    print(
        f"Pictures: {row} (what one point attends to) and {curves}, after {time.perf_counter() - start:.0f} s."
    )
    print(
        "One seed decides little: --seed N trains again from others. Real data and your own files:"
    )
    print(
        "python examples/point_cloud_classification.py --help; what masks cost as nodes grow: graphmask bench."
    )


if __name__ == "__main__":
    main()
