from __future__ import annotations

import csv
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("typer")
pytest.importorskip("rich")

from typer.testing import CliRunner, Result

from graphmask import cli
from graphmask.benchmark import encodings
from graphmask.benchmark.encodings import ENCODERS, Study, run
from graphmask.benchmark.memory import HostMemory


@pytest.fixture
def command() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(
        cli.load_app(), ["bench", "encodings", *map(str, arguments)]
    )


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests need no fresh process, nor the memory that one would take."""

    monkeypatch.setattr(HostMemory, "limit", lambda *_: None)

    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        before = torch.get_num_threads()
        try:
            return function(*arguments)
        finally:
            torch.set_num_threads(before)

    monkeypatch.setattr(encodings, "_apart", call)


@pytest.mark.usefixtures("in_process")
@pytest.mark.filterwarnings("ignore:Sparse")
def test_all_are_measured_against_what_is_exact(
    command: Callable[..., Result], tmp_path: Path
) -> None:
    result = command(
        "--nodes", 400, "--steps", 6, "--threads", 1, "--csv", tmp_path / "encodings.csv"
    )
    assert result.exit_code == 0, result.output
    with open(tmp_path / "encodings.csv", encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert list(rows) == [each.name for each in ENCODERS]
    assert all(float(row["seconds"]) > 0 and float(row["cpu"]) > 0 for row in rows.values())
    assert float(rows["walk-encoding"]["error"]) == 0
    assert float(rows["pyg"]["error"]) < 1e-6
    assert 0.01 < float(rows["iid"]["error"]) < 1
    assert "walk-encoding" in result.output


def test_a_process_of_its_own_measures_memory() -> None:
    (found,) = run(Study(nodes=300, steps=4, threads=1), ENCODERS[:1], lambda _: None)
    assert found.error == 0
    assert found.peak_mib < 500


@pytest.mark.usefixtures("in_process")
def test_a_process_that_is_killed_is_reported(
    command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(encodings, "_measure", killed)
    result = command("--nodes", 100, "--steps", 2, "--only", "pyg", "--threads", 1)
    assert result.exit_code == 0
    assert "no memory" in result.output


def test_names_are_listed(command: Callable[..., Result]) -> None:
    assert all(each.name in command("--names").output for each in ENCODERS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--nodes", 0], "`nodes` must be at least 1"),
        (["--only", "pig"], "`only` must be among"),
        (["--steps", 0], "`steps`"),
    ],
)
def test_bad_options_are_refused(
    command: Callable[..., Result], options: list[object], message: str
) -> None:
    result = command(*options)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
