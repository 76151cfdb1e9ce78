"""Label tangled cables from one click each: a table and three pictures, in two minutes.

    python examples/demo.py

Trains the models of `tangled_cables.py`, which has all their options, on the same scenes.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import Any

import torch
from comparison import compare, folder_of
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tangled_cables import NAME, load, nearest_in_space, parse, problem
from torch import Tensor, nn
from torch_geometric.data import Data
from training import Task

import graphmask as gm


def draw_scene(task: Task, scene: Data, path: Path) -> None:
    """Draw a scene as clicked, as the nearest click says, as predicted, and as it is."""
    with torch.no_grad():
        predicted = task.eval()(scene).argmax(1)
    nearest, clicks = nearest_in_space(scene), scene.x.argmax(0)
    panels = {
        "one click per cable": torch.full_like(scene.y, -1),
        f"nearest click: {share(nearest, scene)} right": nearest,
        f"masked attention: {share(predicted, scene)} right": predicted,
        "the cables": scene.y,
    }
    figure, x, y = Figure(figsize=(12, 3), layout="constrained"), *flatten(scene.pos)
    for position, (title, label) in enumerate(panels.items(), 1):
        axes = add_panel(figure, 1, position, title)
        colours = [f"C{cable}" if cable >= 0 else "lightgrey" for cable in label.tolist()]
        axes.scatter(x, y, s=8, c=colours)
        for cable, click in enumerate(clicks.tolist()):
            axes.scatter(x[click], y[click], s=160, marker="*", c=f"C{cable}", edgecolors="black")
    FigureCanvasAgg(figure).print_png(path)


def share(label: Tensor, scene: Data) -> str:
    """The share of right labels."""
    return f"{float((label == scene.y).float().mean()):.0%}"


def draw_mask_row(model: nn.Module, scene: Data, path: Path) -> None:
    """Draw what one point attends to: its row of the first layer's mask, per head."""
    with torch.no_grad():
        operator = model.layers[0].attention.mask(gm.Topology.from_data(scene))
    node = int((scene.pos - scene.pos.mean(0)).norm(dim=1).argmin())
    rows = operator.rows(torch.tensor([node]))[:, 0].detach()
    bound = float(rows.abs().max())
    figure, x, y = Figure(figsize=(12, 5), layout="constrained"), *flatten(scene.pos)
    for position, row in enumerate(rows, 1):
        axes, reached = add_panel(figure, 2, position, f"head {position - 1}"), row != 0
        axes.scatter(x, y, s=3, c="lightgrey")
        colours = {"c": row[reached], "cmap": "coolwarm", "vmin": -bound, "vmax": bound}
        dots = axes.scatter(x[reached], y[reached], s=24, **colours)
        axes.scatter(x[node], y[node], marker="*", s=160, c="none", edgecolors="black")
    figure.colorbar(dots, ax=figure.axes, shrink=0.6, label="mask entry")
    figure.suptitle("What the starred point attends to; light grey points are out of reach")
    FigureCanvasAgg(figure).print_png(path)


def flatten(pos: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates in the plane of the largest spread."""
    centred = pos - pos.mean(0)
    return tuple((centred @ torch.linalg.svd(centred).Vh[:2].T).T)


def add_panel(figure: Figure, lines: int, position: int, title: str) -> Any:
    """Add axes of equal scales, four in a line, without a frame."""
    axes = figure.add_subplot(lines, 4, position, title=title, aspect="equal")
    axes.set_axis_off()
    return axes


def draw_curves(logs: dict[str, Path], path: Path) -> None:
    """Draw validation accuracy over epochs, from the logs of each variant."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, folder in logs.items():
        with (folder / "metrics.csv").open() as file:
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
    add("--epochs", type=int, default=10)
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("runs"), help="folder of logs and pictures")
    add("--smoke", action="store_true", help="a tiny run that only shows that everything works")
    demo = parser.parse_args()
    arguments = ["--epochs", str(demo.epochs), "--seeds", str(demo.seed), "--out", str(demo.out)]
    options = parse(arguments + ["--smoke"] * demo.smoke)
    # One thread is faster on scenes this small.
    torch.set_num_threads(1)
    start, tasks = time.perf_counter(), dict[str, Task]()
    splits = load(options)
    compare(problem(options, splits, tasks), options)
    masked, scene, folder = tasks["masked"].cpu(), splits[2][0], options.out / NAME
    pictures = [folder / f"{name}.png" for name in ("scene", "mask_row", "accuracy")]
    draw_scene(masked, scene, pictures[0])
    draw_mask_row(masked.model, scene, pictures[1])
    draw_curves({each: folder_of(options, NAME, each, demo.seed) for each in tasks}, pictures[2])
    print("Pictures:", *pictures, f"after {time.perf_counter() - start:.0f} s.")
    print("Results vary with the seed: --seed N. Real clouds, and your own files:")
    print("python examples/point_cloud_classification.py --help")
    print("When a mask pays: docs/choosing.md. Cost as nodes grow: graphmask bench.")


if __name__ == "__main__":
    main()
