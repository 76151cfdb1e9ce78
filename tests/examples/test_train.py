"""Recipes are read, results are appended and missing ones trained, and tables are drawn."""

import csv

import numpy as np
import pytest
from scripts import ROOT

pytestmark = pytest.mark.filterwarnings("ignore")
RECIPES = sorted((ROOT / "examples/recipes").rglob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_scripts_take_the_options_of_recipes(path, example, tmp_path):
    recipe = example("train").Recipe.read(path)
    options = example(recipe.example).parse(recipe.arguments(tmp_path))
    for name, value in recipe.options.items():
        assert getattr(options, name) == value, name
    assert path.with_suffix("").as_posix().endswith(recipe.name)


def test_a_changed_copy_of_a_recipe_has_results_of_its_own(example, tmp_path):
    copy = tmp_path / "tangle.toml"
    copy.write_text((ROOT / "examples/recipes/tangle.toml").read_text())
    recipe = example("train").Recipe.read(copy)
    assert recipe.name == copy.with_suffix("").resolve().as_posix()
    _, problem = recipe.load(None, tmp_path, True)
    assert problem.name == recipe.name.strip("/").replace("/", "-")


def train(example, table, *rows):
    recipe = ROOT / "examples/recipes/ablation/tangle.toml"
    folders = "--results", str(table), "--out", str(table.parent)
    example("train").main(
        [str(recipe), "--smoke", "--missing", "--seeds", "0", *folders, "--rows", *rows]
    )
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_missing_rows_are_trained_and_appended(example, tmp_path):
    table = tmp_path / "results.csv"
    first = train(example, table, "base")
    rows = train(example, table, "base", "local")
    assert rows[0] == first[0]
    assert [(row["recipe"], row["row"]) for row in rows] == [
        ("ablation/tangle, smoke", "base"),
        ("ablation/tangle, smoke", "local"),
    ]
    assert all(0 <= float(row["test"]) <= 1 and int(row["parameters"]) > 0 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [([], "esol, generated"), (["--data", "."], "esol"), (["--smoke"], "esol, generated, smoke")],
)
def test_runs_on_other_data_are_no_results_of_a_recipe(arguments, name, example):
    train = example("train")
    path = ROOT / "examples/recipes/esol.toml"
    campaign = train.parse([str(path), *arguments])
    assert train.name_of(train.Recipe.read(path), campaign) == name


@pytest.mark.slow
def test_the_average_of_the_weights_is_tested_and_published(example, tmp_path):
    models = tmp_path / "models"
    arguments = str(ROOT / "examples/recipes/esol.toml"), "--smoke", "--out", str(tmp_path)
    table = str(tmp_path / "results.csv")
    example("train").main([*arguments, "--seeds", "0", "--rows", "masked", "--results", table])
    with open(table, newline="") as file:
        (row,) = csv.DictReader(file)
    publish = example("publish")
    scores = publish.publish(publish.parse([*arguments, "masked", str(models)]))
    for name in ("validation", "test"):
        assert scores[name] == pytest.approx(float(row[name]), abs=1e-5)
        assert f"{scores[name]:.4f}" in (models / "README.md").read_text()
    assert (models / "model.safetensors").exists()


TABLE = """recipe,row,seed,validation,test,epoch,epochs,cpu_seconds,memory,parameters
tangle,masked,0,0.5,0.25,1,2,3.0,10,7
tangle,masked,1,0.5,0.75,2,2,5.0,30,7
tangle,unmasked,0,0.5,0.875,2,2,1.0,20,5
"""
PAGE = "before\n<!-- {kind} tangle -->\nold\n<!-- end -->\nafter\n"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("results", "| masked | 2 | 0.500 ± 0.000 | **0.500 ± 0.354** | 4 | 30 | 7 |"),
        ("ablation", "| masked | **0.500 ± 0.354, 4 s** |"),
        (
            "summary",
            "| tangled cables, one click each, generated, accuracy | **0.500 ± 0.354** |"
            " 0.875 (1 of 2 seeds) |  |  |",
        ),
    ],
)
def test_tables_are_drawn_between_their_marks(kind, expected, example, tmp_path):
    table, page, plot = (tmp_path / name for name in ("results.csv", "page.md", "plot.png"))
    table.write_text(TABLE)
    page.write_text(PAGE.format(kind=kind))
    report = example("report")
    report.main([str(page), "--results", str(table), "--plot", str(plot)])
    text = page.read_text()
    assert expected in text.splitlines()
    assert text.startswith(f"before\n<!-- {kind} tangle -->\n")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "old" not in text
    assert plot.stat().st_size > 1000
    report.main([str(page), "--results", str(table)])
    assert page.read_text() == text


def test_a_result_is_in_the_table_once(example, tmp_path):
    table = tmp_path / "results.csv"
    table.write_text(TABLE + TABLE.splitlines()[-1] + "\n")
    with pytest.raises(ValueError, match="tangle, unmasked, 0"):
        example("report").read(table)


def test_rows_are_of_their_kind(example):
    rows = {
        "masked + local": "masked",
        "walk + 3 x 3 convolution": "masked",
        "grid diffusion + positions": "masked",
        "unmasked + local": "unmasked",
        "unmasked + positions": "unmasked",
        "local GINE": "local",
        "convolution": "local",
        "3 x 3 convolution + positions": "local",
        "no structure": "no graph",
        "no graph: forest": "no graph",
    }
    kind_of = example("report").kind_of
    assert {row: kind_of(row) for row in rows} == rows


@pytest.mark.slow
def test_forests_see_nodes_and_graphs_without_edges(example, tmp_path):
    train = example("train")
    for name in ("minesweeper", "esol"):
        recipe = train.Recipe.read(ROOT / f"examples/recipes/{name}.toml")
        script = example(recipe.example)
        problem = script.problem(script.parse(["--smoke", "--out", str(tmp_path)]))
        task, loaders = problem.make("", {"conv": problem.conv}, 0)
        (train_x, train_y), *others = problem.tables(task, loaders)
        assert train_x.ndim == 2
        assert len(train_x) == len(train_y)
        assert all(x.shape[1] == train_x.shape[1] for x, _ in others)


def test_forests_learn_what_inputs_tell(example, monkeypatch):
    forests = example("forests")
    metrics = pytest.importorskip("torchmetrics")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 3)).astype(np.float32)
    parts = [(x[start : start + 100], start) for start in (0, 100, 200)]
    labels = [(rows, (rows[:, 0] > 0).astype(np.int64)) for rows, _ in parts]
    monkeypatch.setattr(forests, "TREES", 20)
    accuracy = metrics.classification.MulticlassAccuracy(2, average="micro")
    assert forests.fit(labels, accuracy, True, 0)["score"] > 0.9
    numbers = [(rows, rows[:, :1]) for rows, _ in parts]
    assert forests.fit(numbers, metrics.MeanSquaredError(squared=False), False, 0)["score"] < 0.5
