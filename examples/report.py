"""Draw the tables of results into pages, between their marks, and the plot of score against time.

    python examples/report.py README.md docs/results.md docs/choosing.md --plot docs/results.png

A page holds ``<!-- KIND NAME ... -->`` with the names of recipes, where KIND is results, summary or
ablation, and ``<!-- end -->`` behind the table. Scores are mean and deviation over the seeds, of
the epochs that validation chose; CPU seconds are those of training and validation, the mean of the
runs.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from train import FOREST, RECIPES, Recipe

KINDS = ("masked", "unmasked", "local", "no graph")
MARK = re.compile(r"(<!-- (results|summary|ablation) ([^\n]*?) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Cell:
    """What the seeds of one row of one recipe gave."""

    seeds: list[int]
    test: list[float]
    validation: list[float]
    cpu_seconds: float
    seconds_per_epoch: float
    memory: float
    parameters: str

    @classmethod
    def of(cls, runs: Sequence[dict[str, str]]) -> Cell:
        """The cell of the rows of the table of one recipe and row."""
        seconds = [float(run["cpu_seconds"]) for run in runs]
        epochs = [int(run["epochs"] or 1) for run in runs]
        per_epoch = [each / count for each, count in zip(seconds, epochs, strict=True)]
        return cls(
            [int(run["seed"]) for run in runs],
            [float(run["test"]) for run in runs],
            [float(run["validation"]) for run in runs],
            statistics.mean(seconds),
            statistics.mean(per_epoch),
            max(float(run["memory"] or "nan") for run in runs),
            runs[0]["parameters"],
        )


def spread(scores: Sequence[float]) -> str:
    """Mean and standard deviation."""
    mean = f"{statistics.mean(scores):.3f}"
    return f"{mean} ± {statistics.stdev(scores):.3f}" if len(scores) > 1 else mean


def read(table: Path) -> dict[str, dict[str, Cell]]:
    """Cells by recipe and row, in the order of the table."""
    with table.open(newline="") as file:
        runs = list(csv.DictReader(file))
    keys = Counter((run["recipe"], run["row"], run["seed"]) for run in runs)
    if twice := [", ".join(key) for key, count in keys.items() if count > 1]:
        raise ValueError(f"{table} has results twice; remove all but one of each: {twice}")
    found: dict[str, dict[str, list[dict[str, str]]]] = {}
    for run in sorted(runs, key=lambda run: int(run["seed"])):
        found.setdefault(run["recipe"], {}).setdefault(run["row"], []).append(run)
    return {
        recipe: {row: Cell.of(runs) for row, runs in rows.items()} for recipe, rows in found.items()
    }


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, its first column to the left."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def of_most_seeds(cells: Iterable[Cell]) -> list[Cell]:
    """The cells that compare: those with as many seeds as any."""
    cells = list(cells)
    most = max(len(cell.seeds) for cell in cells)
    return [cell for cell in cells if len(cell.seeds) == most]


def best(cells: Iterable[Cell], recipe: Recipe) -> list[Cell]:
    """The cells with the best mean of test scores of a recipe."""
    choose, cells = (min if recipe.lower_is_better else max), of_most_seeds(cells)
    top = choose(statistics.mean(cell.test) for cell in cells)
    return [cell for cell in cells if statistics.mean(cell.test) == top]


def draw_results(recipes: Sequence[Recipe], cells: dict[str, dict[str, Cell]]) -> str:
    """A table per recipe: its rows, and what was published."""
    parts = []
    for recipe in recipes:
        rows = cells.get(recipe.name, {})
        if not rows:
            continue
        top, lines = best(rows.values(), recipe), []
        for name, cell in rows.items():
            test = spread(cell.test)
            test = f"**{test}**" if cell in top else test
            memory = "" if math.isnan(cell.memory) else f"{cell.memory:.0f}"
            cost = f"{cell.cpu_seconds:.0f}", memory, cell.parameters
            lines.append([name, str(len(cell.test)), spread(cell.validation), test, *cost])
        head = ["", "seeds", "validation", f"test {recipe.score}", "CPU s", "MB", "parameters"]
        title = f"**{recipe.title}** (`examples/train.py examples/recipes/{recipe.name}.toml`)"
        published = f"\nPublished: {recipe.published}\n" if recipe.published else ""
        parts.append(f"{title}\n\n{markdown(head, lines)}{published}")
    return "\n".join(parts)


def kind_of(row: str) -> str:
    """What a row of a recipe stands for."""
    if row.startswith("unmasked"):
        return "unmasked"
    if row.startswith("no "):
        return "no graph"
    is_local = row.startswith("local") or ("convolution" in row and "walk" not in row)
    return "local" if is_local else "masked"


def draw_summary(recipes: Sequence[Recipe], cells: dict[str, dict[str, Cell]]) -> str:
    """A line per recipe: of the rows of each kind the one with the best validation score.

    Rows with fewer seeds than others of their kind are left out; a kind with fewer seeds than
    another one tells how many, and is not compared.
    """
    lines = []
    for recipe in recipes:
        choose, line = min if recipe.lower_is_better else max, dict[str, Cell]()
        rows = cells.get(recipe.name, {})
        for kind in KINDS:
            cells_of_kind = [cell for row, cell in rows.items() if kind_of(row) == kind]
            if cells_of_kind:
                chosen = of_most_seeds(cells_of_kind)
                line[kind] = choose(chosen, key=lambda cell: statistics.mean(cell.validation))
        if line:
            most, top = max(len(cell.seeds) for cell in line.values()), best(line.values(), recipe)
            scores = [_score(line.get(kind), most, top) for kind in KINDS]
            lines.append([f"{recipe.title}, {recipe.score}", *scores])
    return markdown(["test scores", *KINDS], lines)


def _score(cell: Cell | None, most: int, top: Sequence[Cell]) -> str:
    """A score of a summary, whose rows have ``most`` seeds."""
    if cell is None:
        return ""
    few = len(cell.seeds)
    text = spread(cell.test) + (f" ({few} of {most} seeds)" if few < most else "")
    return f"**{text}**" if cell in top else text


def draw_ablation(recipes: Sequence[Recipe], cells: dict[str, dict[str, Cell]]) -> str:
    """One table: rows are pieces, columns recipes."""
    recipes = [recipe for recipe in recipes if recipe.name in cells]
    columns = [cells.get(recipe.name, {}) for recipe in recipes]
    tops = [best(column.values(), recipe) for column, recipe in zip(columns, recipes, strict=True)]
    lines = []
    for row in dict.fromkeys(row for column in columns for row in column):
        line = [row]
        for column, top in zip(columns, tops, strict=True):
            cell = column.get(row)
            text = "" if cell is None else f"{spread(cell.test)}, {cell.cpu_seconds:.0f} s"
            line.append(f"**{text}**" if cell in top else text)
        lines.append(line)
    return markdown(["", *(f"{each.title}, {each.score}" for each in recipes)], lines)


def draw_plot(recipes: Sequence[Recipe], cells: dict[str, dict[str, Cell]], path: Path) -> None:
    """Test score against CPU seconds per epoch: a panel per recipe, a mark per row.

    What has no epochs is a line.
    """
    recipes = [recipe for recipe in recipes if recipe.name in cells]
    lines = -(-len(recipes) // 3)
    figure = Figure(figsize=(15, 3 * lines), layout="constrained")
    for position, recipe in enumerate(recipes, 1):
        axes = figure.add_subplot(lines, 3, position)
        axes.set_title(recipe.title, fontsize="medium")
        for number, (name, cell) in enumerate(cells[recipe.name].items()):
            mean = statistics.mean(cell.test)
            if name == FOREST:
                axes.axhline(mean, linestyle="--", color="gray", label=name)
            else:
                mark = "os"[number // 10]  # colours come again
                axes.plot(cell.seconds_per_epoch, mean, mark, label=name)
        if recipe.lower_is_better:
            axes.invert_yaxis()
        axes.set(xlabel="CPU s per epoch", ylabel=recipe.score)
        axes.set_xlim(left=0)
        axes.legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1, 1))
    FigureCanvasAgg(figure).print_png(path)


def fill(page: Path, cells: dict[str, dict[str, Cell]]) -> None:
    """Draw the tables of a page anew."""
    drawers = {"results": draw_results, "summary": draw_summary, "ablation": draw_ablation}

    def draw(match: re.Match[str]) -> str:
        recipes = [Recipe.read(RECIPES / f"{name}.toml") for name in match[3].split()]
        return f"{match[1]}\n{drawers[match[2]](recipes, cells)}\n{match[4]}"

    page.write_text(MARK.sub(draw, page.read_text()))


def main(arguments: list[str] | None = None) -> None:
    """Fill the pages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("pages", type=Path, nargs="*")
    add("--results", type=Path, default=RECIPES.parents[1] / "docs" / "results.csv")
    add("--plot", type=Path, help="draw score against time here")
    options = parser.parse_args(arguments)
    cells = read(options.results)
    for page in options.pages:
        fill(page, cells)
    if options.plot:
        recipes = [Recipe.read(path) for path in sorted(RECIPES.glob("*.toml"))]
        draw_plot(recipes, cells, options.plot)


if __name__ == "__main__":
    main()
