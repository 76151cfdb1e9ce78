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
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import forests
import lightning as L
from comparison import Problem, train
from pieces import pieces
from torchmetrics import MeanSquaredError
from training import Options

try:
    import tomllib
except ModuleNotFoundError:  # before Python 3.11
    import tomli as tomllib

RECIPES = Path(__file__).resolve().parent / "recipes"
FOREST = "no graph: forest"
COLUMNS = ["recipe", "row", "seed", "validation", "test", "epoch", "epochs"]
COLUMNS += ["cpu_seconds", "memory", "parameters"]


@dataclass(frozen=True)
class Recipe:
    """A recipe as its file says it.

    Args:
        name: of the file.
        example: the script that has the problem.
        title: of the tables.
        score: what the test scores are.
        lower_is_better: whether they are errors.
        data: folder of the data, below that of the campaign; :obj:`None` for generated data.
        root: the option of the script that takes it.
        rows: :obj:`None` for all rows of the script, some of their names, or "pieces".
        seeds: of the runs.
        options: of the script.
        published: what others report, with their protocol.
    """

    name: str
    example: str
    title: str
    score: str = "accuracy"
    lower_is_better: bool = False
    data: str | None = None
    root: str = "--root"
    rows: str | list[str] | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    options: Mapping[str, Any] = field(default_factory=dict)
    published: str = ""

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Read a recipe; its name is its path below the folder of recipes, elsewhere its path."""
        path = path.resolve()
        name = path.relative_to(RECIPES) if path.is_relative_to(RECIPES) else path
        return cls(name.with_suffix("").as_posix(), **tomllib.loads(path.read_text()))

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
        rows = {**problem.choices, FOREST: None}
        return {row: rows[row] for row in self.rows or problem.choices}

    def load(self, data: Path | None, out: Path, smoke: bool) -> tuple[Options, Problem]:
        """The options of the script, and its problem; each recipe has a folder of its own."""
        script = import_module(self.example)
        arguments = [*self.arguments(data), "--out", str(out), "--quiet", *["--smoke"] * smoke]
        options = script.parse(arguments)
        folder = "-".join(Path(self.name).relative_to(Path(self.name).anchor).parts)
        return options, replace(script.problem(options), name=folder)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of the campaign."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("recipes", type=Path, nargs="*", help="files of recipes (default: all)")
    add("--data", type=Path, help="folder of the data of all recipes (default: generated data)")
    add("--rows", nargs="+", help="some of the rows")
    add("--seeds", type=int, nargs="+", help="in place of those of the recipe")
    add("--missing", action="store_true", help="train what the table does not have")
    add("--results", type=Path, default=Path("runs/results.csv"), help="the table")
    add("--out", type=Path, default=Path("runs"), help="folder of caches, logs and checkpoints")
    add("--smoke", action="store_true", help="a tiny run that only shows that everything works")
    campaign = parser.parse_args(arguments)
    if not campaign.recipes:  # of a tiny run one, the tests read all
        pattern = "tangle.toml" if campaign.smoke else "**/*.toml"
        campaign.recipes = sorted(RECIPES.glob(pattern))
    return campaign


def known(table: Path) -> set[tuple[str, str, int]]:
    """Recipe, row and seed of the results of a table."""
    if not table.exists():
        return set()
    with table.open(newline="") as file:
        return {(row["recipe"], row["row"], int(row["seed"])) for row in csv.DictReader(file)}


def name_of(recipe: Recipe, campaign: argparse.Namespace) -> str:
    """The name of a recipe in the table: runs on generated data or of a tiny size have their own.

    They are no results of the recipe, and none is missing the less for them.
    """
    generated = recipe.data is not None and campaign.data is None
    return recipe.name + ", generated" * generated + ", smoke" * campaign.smoke


def append(table: Path, row: Mapping[str, Any]) -> None:
    """Append a result in one write, so that several processes may share a table."""
    table.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), table.open("x", newline="") as file:
        csv.DictWriter(file, COLUMNS, lineterminator="\n").writeheader()
    with table.open("a", newline="") as file:
        csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)


def runs(recipe: Recipe, campaign: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Train the rows of a recipe with every seed: all rows with the first seed, then the next."""
    options, problem = recipe.load(campaign.data, campaign.out, campaign.smoke)
    name = name_of(recipe, campaign)
    choices = recipe.choices(problem, options)
    unknown = set(campaign.rows or ()) - {*choices, FOREST}
    if unknown:
        raise ValueError(f"`--rows` must be of {[*choices, FOREST]}, got {sorted(unknown)}")
    for seed in campaign.seeds or recipe.seeds:
        for row in campaign.rows or choices:
            if campaign.missing and (name, row, seed) in known(campaign.results):
                continue
            if row == FOREST:
                result = fit_forest(problem, seed)
            else:
                result = train(problem, row, choices[row], seed, options)
            yield {
                "recipe": name,
                "row": row,
                "seed": seed,
                "validation": f"{result['validation']:.5f}",
                "test": f"{result['score']:.5f}",
                "epoch": result.get("epoch", ""),
                "epochs": options.epochs if "epoch" in result else "",
                "cpu_seconds": f"{result['cpu_seconds']:.1f}",
                "memory": f"{result['memory']:.0f}" if "memory" in result else "",
                "parameters": result.get("parameters", ""),
            }


def fit_forest(problem: Problem, seed: int) -> dict[str, Any]:
    """The strongest model without a graph."""
    if problem.tables is None:
        raise ValueError(f"{problem.name} has no tables for a forest")
    L.seed_everything(seed, verbose=False)  # of what transforms draw
    task, loaders = problem.make(FOREST, {"conv": problem.conv}, seed)  # for its data
    classes = not isinstance(task.metrics["test"], MeanSquaredError)
    return forests.fit(problem.tables(task, loaders), task.metrics["test"], classes, seed)


def main(arguments: list[str] | None = None) -> None:
    """Train what is asked for."""
    campaign = parse(arguments)
    for path in campaign.recipes:
        for row in runs(Recipe.read(path), campaign):
            append(campaign.results, row)
            print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
