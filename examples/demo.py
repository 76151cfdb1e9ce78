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
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tangled_cables import NAME, load, nearest_in_space, parse, run
from torch import Tensor, nn
from torch_geometric.data import Data
from training import Task, folder_of

import graphmask as gm


def draw_scene(task: Task, scene: Data, path: Path) -> None:
    """Draw a scene as the clicks, as the nearest click, as predicted, and as it is."""
    task.eval()
    with torch.no_grad():
        predicted = task(scene).argmax(1)
    grey = torch.full_like(scene.y, -1)
    panels = {
        "input: one click per cable": grey,
        "nearest click": nearest_in_space(scene),
        "masked attention": predicted,
        "cables": scene.y,
    }
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    for position, (title, label) in enumerate(panels.items()):
        right = float((label == scene.y).float().mean())
        axes = add_panel(figure, scene, 4, position, title)
        if title in ("nearest click", "masked attention"):
            axes.set_title(f"{title}: {right:.0%} right")
        for cable in range(-1, scene.x.shape[1]):
            colour = "lightgrey" if cable < 0 else f"C{cable}"
            axes.scatter(*scene.pos[label == cable].T.numpy(), s=7, c=colour)
        for cable, click in enumerate(scene.x.argmax(0)):
            place = scene.pos[click].tolist()
            axes.scatter(*place, marker="*", s=200, c=f"C{cable}", edgecolors="black", zorder=9)
    FigureCanvasAgg(figure).print_png(path)


def draw_mask_row(model: nn.Module, scene: Data, path: Path) -> None:
    """Draw what one point attends to: its row of the first layer's mask, per head."""
    with torch.no_grad():
        operator = model.layers[0].attention.mask(gm.Topology.from_data(scene))
    node = int(scene.pos.sub(scene.pos.mean(0)).norm(dim=1).argmin())
    rows = operator.rows(torch.tensor([node]))[:, 0].detach()
    bound = float(rows.abs().max())
    figure = Figure(figsize=(12, 6), layout="constrained")
    for head, row in enumerate(rows):
        axes = add_panel(figure, scene, -(-len(rows) // 2), head, f"head {head}", lines=2)
        dots = scatter(axes, scene.pos, row, bound)
        axes.scatter(*scene.pos[node].tolist(), marker="*", s=160, c="none", edgecolors="black")
    figure.colorbar(dots, ax=figure.axes, shrink=0.6, label="mask entry")
    figure.suptitle("What the starred point attends to; light grey points are out of reach")
    FigureCanvasAgg(figure).print_png(path)


def add_panel(
    figure: Figure, scene: Data, columns: int, position: int, title: str, lines: int = 1
) -> Any:
    """Add axes of three dimensions and equal scales, without a frame."""
    axes = figure.add_subplot(lines, columns, position + 1, projection="3d", title=title)
    axes.set_box_aspect((scene.pos.amax(0) - scene.pos.amin(0)).tolist(), zoom=1.3)
    axes.set_axis_off()
    return axes


def scatter(axes: Any, pos: Tensor, row: Tensor, bound: float) -> Any:
    """Draw the points of a scene, coloured by the entries of a row."""
    reached = row != 0
    axes.scatter(*pos[~reached].T.numpy(), s=4, c="lightgrey")
    colours = {"c": row[reached].numpy(), "cmap": "coolwarm", "vmin": -bound, "vmax": bound}
    return axes.scatter(*pos[reached].T.numpy(), s=20, **colours)


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
    run(options, splits, tasks)
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
