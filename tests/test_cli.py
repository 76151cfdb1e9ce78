from __future__ import annotations

import csv
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from typer.testing import CliRunner, Result

from graphmask import cli
from graphmask.benchmark import CONTENDERS, Measurement, fit_exponent


@pytest.fixture
def graphmask() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(cli.load_app(), [str(each) for each in arguments])


def test_bench_measures_everyone(graphmask: Callable[..., Result], tmp_path: Path) -> None:
    table, picture = tmp_path / "costs.csv", tmp_path / "costs.png"
    files = ("--csv", table, "--plot", picture)
    result = graphmask("bench", "--nodes", "128,64", "--repeats", 1, "--threads", 1, "--memory-limit", 2, *files)
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(table.read_text().splitlines()))
    names = [contender.name for contender in CONTENDERS]
    assert [(row["contender"], row["nodes"]) for row in rows] == [(name, size) for size in ("64", "128") for name in names]
    assert {row["status"] for row in rows} == {"measured"}
    for column in ("forward_s", "forward_backward_s", "peak_mib", "first_call_s"):
        for name in names:
            values = {int(row["nodes"]): float(row[column]) for row in rows if row["contender"] == name}
            assert math.isfinite(fit_exponent(values))
    for row in rows:
        drawn = row["contender"].removesuffix("-layer") in ("global", "walk", "grf", "power-series", "sdpa-bias")
        assert bool(row["prepare_s"]) == drawn
    assert picture.read_bytes().startswith(b"\x89PNG")
    for text in (*names, "exponent", "entries/node", "Peak memory", "torch-geometric", "cpu"):
        assert text in result.output


def test_bench_of_some(graphmask: Callable[..., Result]) -> None:
    chosen = ("--contenders", "global, sdpa", "--nodes", "64,4096", "--max-nodes", 64)
    result = graphmask("bench", *chosen, "--repeats", 1, "--threads", 1)
    assert result.exit_code == 0, result.output
    assert "global" in result.output
    assert "performer" not in result.output
    assert "4,096" not in result.output


def test_an_interrupt_keeps_what_was_measured(
    graphmask: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Iterator[list[Measurement]]:
        yield [Measurement("walk", "graphmask", 64, both=(1.0,))]
        raise KeyboardInterrupt

    monkeypatch.setattr("graphmask.benchmark.scaling_command.run", interrupted)
    result = graphmask("bench", "--csv", tmp_path / "costs.csv")
    assert result.exit_code == 130
    assert "walk" in result.output
    assert "walk,graphmask,64" in (tmp_path / "costs.csv").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--contenders", "walk,none-such"], "none-such"),
        (["--contenders", "walk,"], "an empty name"),
        (["--nodes", "64,-5"], "must be at least 2, got -5"),
        (["--nodes", "64;128"], "integers with commas between them"),
        (["--nodes", "64", "--max-nodes", "32"], "at least 64, the smallest size"),
        (["--max-nodes", "0"], "at least 1,024, the smallest size"),
        (["--time-limit", "0"], "`time_limit` must be positive"),
        (["--memory-limit", "-2"], "`memory_limit` must be positive"),
        (["--device", "abacus"], "`device` must be 'cpu' or a CUDA device"),
        (["--csv", "/no/such/folder/costs.csv"], "a folder that exists"),
        (["--plot", "."], "a folder that exists"),
    ],
)
def test_bench_refuses(graphmask: Callable[..., Result], options: list[str], message: str) -> None:
    result = graphmask("bench", *options)
    assert result.exit_code == 2
    # The message is wrapped and framed: compare what remains without the frame.
    assert "".join(message.split()) in "".join(result.output.replace("│", "").split())


def test_bench_asks_for_matplotlib_before_it_measures(
    graphmask: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    result = graphmask("bench", "--plot", tmp_path / "costs.png")
    assert result.exit_code == 2
    assert 'graphmask[viz]"' in result.output


def test_contenders_are_listed(graphmask: Callable[..., Result]) -> None:
    result = graphmask("bench", "contenders")
    assert result.exit_code == 0
    assert all(contender.name in result.output for contender in CONTENDERS)


def test_info(graphmask: Callable[..., Result]) -> None:
    result = graphmask("info")
    assert result.exit_code == 0
    for text in ("torch-geometric", "gpu", "viz", "typer", "date"):
        assert text in result.output


@pytest.mark.parametrize("absent", ["typer", "rich"])
def test_without_its_extra_the_command_line_says_what_to_install(
    absent: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "graphmask.benchmark.command", raising=False)
    monkeypatch.setitem(sys.modules, absent, None)
    monkeypatch.setitem(sys.modules, f"{absent}.console", None)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.rstrip().endswith('pip install "graphmask[cli]"')


def test_benchmark_needs_no_extra_to_be_imported() -> None:
    names = ("typer", "rich", "matplotlib")
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in names)
    parts = ("", ".estimators", ".comparisons", ".bodies")
    modules = ", ".join(f"graphmask.benchmark{part}{each}" for part in parts for each in ("", ".report"))
    modules += ", graphmask.benchmark.plot, graphmask.benchmark.estimators.plot"
    code = f"import sys; {blocked}; import {modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
