from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("typer")
pytest.importorskip("rich")

from typer.testing import CliRunner, Result

from graphmask import cli
from graphmask.benchmark.features import (
    MAPS,
    Accuracy,
    Study,
    default_inputs,
    make_inputs,
    measure,
    read_inputs,
    run,
)

TINY = (
    "--channels",
    4,
    "--spreads",
    0.5,
    "--nodes",
    6,
    "--sizes",
    "8,16",
    "--draws",
    5,
    "--threads",
    1,
)


@pytest.fixture
def features() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(
        cli.load_app(), ["bench", "features", *map(str, arguments)]
    )


def accuracy(name: str, **options: int) -> Accuracy:
    (chosen,) = (each for each in MAPS if each.name == name)
    settings = {"size": 16, "draws": 300} | options
    return measure(make_inputs(8, 0.5, anisotropic=False, nodes=12), chosen, **settings)


def test_inputs_have_the_spread_that_is_asked_for() -> None:
    for anisotropic in (False, True):
        made = make_inputs(4, 0.5, anisotropic, nodes=20_000)
        assert made.q.shape == made.k.shape == (20_000, 4)
        assert float(made.q.square().mean().sqrt()) == pytest.approx(0.5, rel=0.02)
        assert float(made.q.std(0)[0] / made.q.std(0)[1]) == pytest.approx(
            2 if anisotropic else 1, rel=0.05
        )


def test_all_kinds_of_inputs_are_made() -> None:
    made = default_inputs([4, 8], [0.5, 1], nodes=3, seed=0)
    assert len({(each.name, each.q.shape) for each in made}) == 8


def test_errors_fall_with_features_and_come_in_order() -> None:
    plus, oprf, simplex = (accuracy(name).error for name in ("favor-plus", "oprf", "oprf-simplex"))
    assert simplex < oprf < plus
    assert accuracy("oprf", size=256).error < oprf / 2.5
    assert accuracy("oprf", size=256).attention < accuracy("oprf").attention / 2


@pytest.mark.parametrize("name", [each.name for each in MAPS])
def test_estimates_are_unbiased(name: str) -> None:
    found = accuracy(name, draws=400)
    assert abs(found.bias_z) < 4


def test_measures_are_functions_of_the_seed() -> None:
    assert (
        accuracy("sharp", draws=4)
        == accuracy("sharp", draws=4)
        != accuracy("sharp", draws=4, seed=1)
    )


def test_progress_is_told() -> None:
    told: list[str] = []
    list(run(Study(default_inputs([4], [0.5], 4, 0), MAPS[:2], [8], draws=2), told.append))
    assert told == [
        f"{kind}, 0.5, 4 channels: {name}"
        for kind in ("gaussian", "anisotropic")
        for name in ("favor-iid", "favor-plus")
    ]


def test_all_maps_are_measured(features: Callable[..., Result], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    table, picture = tmp_path / "errors.csv", tmp_path / "errors.png"
    before = torch.get_num_threads()
    result = features(*TINY, "--csv", table, "--plot", picture)
    assert result.exit_code == 0, result.output
    assert torch.get_num_threads() == before
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 2 * len(MAPS) * 2
    assert list(dict.fromkeys(row["features"] for row in rows)) == [each.name for each in MAPS]
    assert all(float(row["error"]) > 0 and row["machine"] for row in rows)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert all(each.name in result.output for each in MAPS)
    assert "scores 16" in result.output
    assert "torch-geometric" in result.output


def test_some_are_measured_on_a_file(features: Callable[..., Result], tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    np.savez(
        tmp_path / "trained.npz", q=generator.normal(size=(5, 4)), k=generator.normal(size=(7, 4))
    )
    result = features("--inputs", tmp_path / "trained.npz", "--maps", "sharp, simrf", *TINY)
    assert result.exit_code == 0, result.output
    assert "trained" in result.output
    assert "oprf" not in result.output


def test_names_are_listed(features: Callable[..., Result]) -> None:
    result = features("--names")
    assert result.exit_code == 0
    assert all(each.name in result.output for each in MAPS)


def test_an_interrupt_keeps_what_was_measured(
    features: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Iterator[list[Accuracy]]:
        yield [Accuracy("gaussian", 4, "oprf", 8, 2, 0.5, 0.25, 0.0, 0.1)]
        raise KeyboardInterrupt

    monkeypatch.setattr("graphmask.benchmark.features_command.run", interrupted)
    result = features(*TINY, "--csv", tmp_path / "errors.csv")
    assert result.exit_code == 130
    assert "oprf" in result.output
    assert "gaussian,4,oprf,8,2,0.5" in (tmp_path / "errors.csv").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--maps", "oprf,mars"], "`maps` must be among favor-iid"),
        (["--sizes", "12"], "`sizes` must be multiples of 8"),
        (["--sizes", "8,x"], "`sizes` must be numbers with commas"),
        (["--spreads", "0"], "`spreads` must be positive"),
        (["--channels", "0"], "`channels` must be at least 1"),
        (["--draws", "1"], "`draws` must be at least 2"),
        (["--nodes", "0"], "`nodes` must be at least 1"),
        (["--threads", "0"], "`threads` must be at least 1"),
        (["--inputs", "/no/such/file.npz"], "No such file"),
        (["--csv", "/no/such/folder/errors.csv"], "a folder that exists"),
    ],
)
def test_bad_options_are_refused(
    features: Callable[..., Result], options: list[str], message: str
) -> None:
    result = features(*options)
    assert result.exit_code == 2
    # The message is wrapped and framed: compare what remains without the frame.
    assert "".join(message.split()) in "".join(result.output.replace("│", "").split())


@pytest.mark.parametrize(
    "arrays",
    [
        {"q": np.ones((2, 3))},
        {"q": np.ones((2, 3)), "k": np.ones((2, 4))},
        {"q": np.ones(3), "k": np.ones(3)},
    ],
)
def test_files_without_queries_and_keys_are_refused(
    arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(ValueError, match="`inputs` must be"):
        read_inputs(tmp_path / "wrong.npz")
