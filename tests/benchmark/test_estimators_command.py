from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("typer")
pytest.importorskip("rich")

from typer.testing import CliRunner, Result

from graphmask import cli
from graphmask.benchmark.estimators import ESTIMATORS, GRAPHS, KERNELS, Sample

TINY = ("--hops", 3, "--repeats", 2, "--most-entries", 16, "--threads", 1)

COLUMNS = [
    *(
        "graph",
        "nodes",
        "kernel",
        "estimator",
        "setting",
        "sets",
        "repeats",
        "entries",
        "entries_se",
        "pairs",
        "pairs_se",
    ),
    *(
        "support",
        "error",
        "error_se",
        "off_diagonal",
        "off_diagonal_se",
        "diagonal",
        "diagonal_se",
        "truncation",
    ),
    *("seconds", "seconds_se", "machine"),
]


@pytest.fixture
def estimators() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(
        cli.load_app(), ["bench", "estimators", *map(str, arguments)]
    )


def test_all_estimators_are_measured(estimators: Callable[..., Result], tmp_path: Path) -> None:
    table, picture, whole = (tmp_path / f"errors.{ending}" for ending in ("csv", "png", "json"))
    result = estimators(
        "--graphs", "er-20", *TINY, "--csv", table, "--plot", picture, "--json", whole
    )
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert list(rows[0]) == COLUMNS
    assert {row["graph"] for row in rows} == {"er-20"}
    for name, known in (("estimator", ESTIMATORS), ("kernel", KERNELS)):
        assert list(dict.fromkeys(row[name] for row in rows)) == [each.name for each in known]
    assert all(
        0 <= float(row["error"]) < 10 and float(row["seconds"]) > 0 and row["machine"]
        for row in rows
    )
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = json.loads(whole.read_text())
    assert (found["settings"]["graphs"], found["settings"]["repeats"]) == (["er-20"], 2)
    assert len(found["summaries"]) == len(rows) < len(found["measurements"])
    for text in (
        "laplacian-2",
        "equal stored entries",
        "pairs of the product",
        "iid over ours",
        "not squared",
        "torch-geometric",
    ):
        assert text in result.output


def test_some_are_measured_on_a_file(estimators: Callable[..., Result], tmp_path: Path) -> None:
    np.savez(tmp_path / "solid.npz", f=np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]]))
    chosen = ("--estimators", "resampled, iid", "--kernels", "pagerank", "--every-setting")
    before = torch.get_num_threads()
    result = estimators("--graph", tmp_path / "solid.npz", *chosen, *TINY)
    assert result.exit_code == 0, result.output
    assert torch.get_num_threads() == before
    assert "solid, 4 nodes" in result.output
    assert "exact" in result.output
    for absent in ("karate", "diffusion", "stitched"):
        assert absent not in result.output


def test_files_stand_beside_names(estimators: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "path.csv").write_text("0,1\n1,2\n")
    chosen = ("--estimators", "resampled", "--kernels", "diffusion-1")
    result = estimators("--graphs", "karate", "--graph", tmp_path / "path.csv", *chosen, *TINY)
    assert result.exit_code == 0, result.output
    assert result.output.index("karate") < result.output.index("path")


def test_names_are_listed(estimators: Callable[..., Result]) -> None:
    result = estimators("--names")
    assert result.exit_code == 0
    assert all(each.name in result.output for each in (*GRAPHS, *KERNELS, *ESTIMATORS))


def test_an_interrupt_keeps_what_was_measured(
    estimators: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Iterator[list[Sample]]:
        yield [Sample("er", 20, "heat", "iid", 4, 0, 1, 8.0, 8.0, 18.0, 0.5, 0.5, 0.5, 0.0, 1.0)]
        raise KeyboardInterrupt

    monkeypatch.setattr("graphmask.benchmark.estimators.command.run", interrupted)
    result = estimators("--csv", tmp_path / "errors.csv")
    assert result.exit_code == 130
    assert "heat" in result.output
    assert "er,20,heat,iid,4" in (tmp_path / "errors.csv").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--graphs", "karate,mars"], "`graphs` must be among er-20"),
        (["--estimators", "iid,"], "an empty name"),
        (["--kernels", "gaussian"], "`kernels` must be among diffusion-1/3"),
        (
            ["--plot-kernel", "cosine", "--kernels", "pagerank"],
            "`plot_kernel` must be among pagerank, got cosine",
        ),
        (["--graph", "/no/such/graph.npz"], "No such file"),
        (["--graph", "graph.xyzzy"], "an .npz, .csv or mesh file"),
        (["--p-halt", "1"], "`p_halt` must be in [0, 1)"),
        (["--hops", "0"], "`hops` must be at least 1"),
        (["--threads", "0"], "`threads` must be at least 1"),
        (["--time-limit", "-1"], "`time_limit` must be positive"),
        (["--csv", "/no/such/folder/errors.csv"], "a folder that exists"),
    ],
)
def test_bad_options_are_refused(
    estimators: Callable[..., Result], options: list[str], message: str
) -> None:
    result = estimators(*options)
    assert result.exit_code == 2
    # The message is wrapped and framed: compare what remains without the frame.
    assert "".join(message.split()) in "".join(result.output.replace("│", "").split())


def test_matplotlib_is_asked_for_before_anything_is_measured(
    estimators: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    result = estimators("--plot", tmp_path / "errors.png")
    assert result.exit_code == 2
    assert 'graphmask[viz]"' in result.output
