"""Masked, unmasked and local models on generated point clouds: a table and two pictures.

    python examples/demo.py

All variants share data, epochs and seed; only the way in which points exchange information differs.
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
from training import Loaders, Task, Variant, compare

import graphmask as gm
from graphmask.datasets import PrimitiveShapes

NAME, VARIANTS = "demo", ["masked", "masked + local", "unmasked", "local"]


def train(options: argparse.Namespace) -> tuple[dict[str, nn.Module], Data]:
    """Train the variants; return their models at the best validation score, and a test cloud."""
    train, test = load(options)
    # Validation clouds are generated, too: as many as test clouds, with another seed.
    settings = {"seed": 1, "pre_transform": prepare(options)}
    val = PrimitiveShapes(None, False, options.points, options.per_class // 2 + 1, **settings)
    make, models = maker(options, train.num_classes, train, val, test), {}

    def keep(variant: str, arguments: Variant, seed: int) -> tuple[Task, Loaders]:
        task, loaders = make(variant, arguments, seed)
        models[variant] = task.model
        return task, loaders

    compare(NAME, options, keep, choices(options))
    return models, test[0]


def draw_mask_row(model: nn.Module, cloud: Data, path: Path) -> None:
    """Draw the row of the first layer's mask for one point, per head."""
    node = int((cloud.pos - cloud.pos.mean(0)).norm(dim=1).argmax())
    with torch.no_grad():
        operator = model.layers[0].attention.mask(gm.Topology.from_data(cloud))
        rows = operator.rows(torch.tensor([node]))[:, 0]
    # The entry of the point itself is often the largest; it does not set the colour scale.
    others = torch.arange(cloud.num_nodes) != node
    bound = float(rows[:, others].abs().max())
    figure = Figure(figsize=(9, 8), layout="constrained")
    for head, row in enumerate(rows):
        axes = figure.add_subplot(2, -(-len(rows) // 2), head + 1, projection="3d")
        dots = scatter(axes, cloud.pos, row, bound)
        axes.scatter(*cloud.pos[node].tolist(), marker="*", s=260, c="none", edgecolors="black")
        axes.set_title(f"head {head}")
        axes.set_box_aspect((cloud.pos.amax(0) - cloud.pos.amin(0)).tolist(), zoom=1.3)
        axes.set_axis_off()
    figure.colorbar(dots, ax=figure.axes, shrink=0.6, label="mask entry")
    figure.suptitle("Mask row of the starred point; grey points are out of reach")
    FigureCanvasAgg(figure).print_png(path)


def scatter(axes: Any, pos: Tensor, row: Tensor, bound: float) -> Any:
    """Draw the points of a cloud, coloured by the entries of a row."""
    reached = row != 0
    axes.scatter(*pos[~reached].T.numpy(), s=6, c="lightgrey")
    colours = {"c": row[reached].numpy(), "cmap": "coolwarm", "vmin": -bound, "vmax": bound}
    return axes.scatter(*pos[reached].T.numpy(), s=24, **colours)


def draw_curves(folder: Path, seed: int, path: Path) -> None:
    """Draw validation accuracy over epochs, from the logs."""
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--epochs", type=int, default=8)
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("runs"), help="folder of logs and pictures")
    add("--smoke", action="store_true", help="a tiny run that only shows that everything works")
    demo = parser.parse_args()
    arguments = ["--epochs", str(demo.epochs), "--seeds", str(demo.seed), "--out", str(demo.out)]
    arguments += ["--variants", *VARIANTS, *(["--smoke"] if demo.smoke else [])]
    options = parse(arguments)
    # One thread is faster on clouds this small.
    torch.set_num_threads(1)
    start, folder = time.perf_counter(), options.out / NAME
    models, cloud = train(options)
    row, curves = folder / "mask_row.png", folder / "accuracy.png"
    draw_mask_row(models["masked"].cpu(), cloud, row)
    draw_curves(folder, demo.seed, curves)
    seconds = time.perf_counter() - start
    print(f"Pictures: {row} (a row of the mask) and {curves}, after {seconds:.0f} s.")
    print("Results vary with the seed: --seed N. Real data and your own files:")
    print("python examples/point_cloud_classification.py --help")
    print("Cost of masks as nodes grow: graphmask bench.")


if __name__ == "__main__":
    main()
