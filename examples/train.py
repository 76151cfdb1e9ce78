"""Train the rows of a recipe, and append every result to a table as soon as it is known.

    python examples/train.py examples/recipes/minesweeper.toml --data DATA
    python examples/train.py examples/recipes/*.toml --data DATA --missing

A recipe names a script of this folder, the folder of its data below DATA, the options of the
script, seeds, and the rows: those of the script, or with ``rows = "pieces"`` those of an ablation.
A campaign that is interrupted goes on with ``--missing``; several processes may share a table.
"""

from __future__ import annotations

import argparse
import csv
import fcntl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import tomllib
from comparison import Problem, train
from pieces import pieces
from training import Options

COLUMNS = ["recipe", "row", "seed", "validation", "test", "epoch", "epochs"]
COLUMNS += ["cpu_seconds", "memory", "parameters"]


@dataclass(frozen=True)
class Recipe:
    """A recipe as its file says it."""

    name: str
    example: str
    data: str | None
    root: str
    rows: str | list[str] | None
    seeds: list[int]
    options: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Read a recipe."""
        keys = {"data": None, "root": "--root", "rows": None, "seeds": [0, 1, 2], "options": {}}
        return cls(path.stem, **{**keys, **tomllib.loads(path.read_text())})

    def arguments(self, data: Path | None) -> list[str]:
        """The arguments of the script."""
        arguments = [] if data is None or self.data is None else [self.root, str(data / self.data)]
        for name, value in self.options.items():
            words = value if isinstance(value, list) else [value]
            flag = f"--{name.replace('_', '-')}"
            arguments += [] if value is False else [flag]
            arguments += [] if isinstance(value, bool) else map(str, words)
        return arguments

    def choices(self, problem: Problem, options: Options) -> Mapping[str, Any]:
        """The rows, in the order in which they are trained."""
        if self.rows == "pieces":
            return pieces(problem, options)
        rows = self.rows or list(problem.choices)
        return {row: problem.choices[row] for row in rows}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of the campaign."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("recipes", type=Path, nargs="+", help="files of recipes")
    add("--data", type=Path, help="folder of the data of all recipes (default: generated data)")
    add("--rows", nargs="+", help="some of the rows")
    add("--seeds", type=int, nargs="+", help="in place of those of the recipe")
    add("--missing", action="store_true", help="train what the table does not have")
    add("--results", type=Path, default=Path("runs/results.csv"), help="the table")
    add("--out", type=Path, default=Path("runs"), help="folder of caches, logs and checkpoints")
    add("--smoke", action="store_true", help="a tiny run that only shows that everything works")
    return parser.parse_args(arguments)


def known(table: Path) -> set[tuple[str, str, int]]:
    """Recipe, row and seed of the results of a table."""
    if not table.exists():
        return set()
    with table.open(newline="") as file:
        return {(row["recipe"], row["row"], int(row["seed"])) for row in csv.DictReader(file)}


def append(table: Path, row: Mapping[str, Any]) -> None:
    """Append a result; one process writes at a time."""
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("a", newline="") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not table.stat().st_size:
            writer.writeheader()
        writer.writerow(row)


def runs(recipe: Recipe, campaign: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Train the rows of a recipe with every seed: all rows with the first seed, then the next."""
    script = import_module(recipe.example)
    arguments = [*recipe.arguments(campaign.data), "--out", str(campaign.out), "--quiet"]
    options = script.parse([*arguments, *["--smoke"] * campaign.smoke])
    problem: Problem = script.problem(options)
    choices = recipe.choices(problem, options)
    for seed in campaign.seeds or recipe.seeds:
        for row in campaign.rows or choices:
            if campaign.missing and (recipe.name, row, seed) in known(campaign.results):
                continue
            result = train(problem, row, choices[row], seed, options)
            yield {
                "recipe": recipe.name,
                "row": row,
                "seed": seed,
                "validation": f"{result['validation']:.5f}",
                "test": f"{result['score']:.5f}",
                "epoch": result["epoch"],
                "epochs": options.epochs,
                "cpu_seconds": f"{result['cpu_seconds']:.1f}",
                "memory": f"{result['memory']:.0f}",
                "parameters": result["parameters"],
            }


def main() -> None:
    """Train what is asked for."""
    campaign = parse()
    for path in campaign.recipes:
        for row in runs(Recipe.read(path), campaign):
            append(campaign.results, row)
            print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
