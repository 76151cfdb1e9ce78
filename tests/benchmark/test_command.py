from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from typer.testing import CliRunner, Result

from graphmask import cli
from graphmask.benchmark import IMPLEMENTATIONS, Measurement, Status, fit_exponent
from graphmask.benchmark.comparisons import COMPARISONS, Ratio


@pytest.fixture
def bench() -> Callable[..., Result]:
    return lambda *options: CliRunner().invoke(cli.load_app(), ["bench", *map(str, options)])


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_implementations_are_measured(bench: Callable[..., Result], tmp_path: Path) -> None:
    table, picture, whole = (tmp_path / name for name in ("costs.csv", "costs.png", "costs.json"))
    files = ("--csv", table, "--plot", picture, "--json", whole)
    names = ["global", "walk", "performer", "sdpa-bias"]
    sizes = ("--nodes", "128,64,4096", "--max-nodes", 128, "--implementations", ",".join(names))
    result = bench(*sizes, "--repeats", 1, "--threads", 1, "--memory-limit", 2, *files)
    assert result.exit_code == 0, result.output
    rows = read(table)
    assert [(row["implementation"], row["nodes"]) for row in rows] == [
        (name, size) for size in ("64", "128") for name in names
    ]
    assert {row["status"] for row in rows} == {"measured"}
    for column in ("forward_s", "forward_backward_s", "peak_mib", "first_call_s"):
        for name in names:
            costs = {
                int(row["nodes"]): float(row[column])
                for row in rows
                if row["implementation"] == name
            }
            assert math.isfinite(fit_exponent(costs))
    prepared = {row["implementation"] for row in rows if row["prepare_s"]}
    assert prepared == {"global", "walk", "sdpa-bias"}
    assert picture.read_bytes().startswith(b"\x89PNG")
    content = json.loads(whole.read_text())
    assert (content["machine"]["threads"], content["settings"]["nodes"]) == ("1", [64, 128])
    assert content["settings"]["implementations"] == names
    assert [len(each["both"]) for each in content["measurements"]] == [1] * len(rows)
    for text in (*names, "exponent", "of all", "entries/node", "Peak memory", "torch-geometric"):
        assert text in result.output
    assert "4,096" not in result.output


def test_memory_is_measured_without_times(bench: Callable[..., Result], tmp_path: Path) -> None:
    chosen = ("--memory", "--contenders", "walk,sdpa", "--nodes", "64,128", "--threads", 1)
    result = bench(*chosen, "--reorder", "--csv", tmp_path / "memory.csv")
    assert result.exit_code == 0, result.output
    rows = read(tmp_path / "memory.csv")
    assert [(row["implementation"], row["rounds"], row["forward_s"]) for row in rows] == [
        (name, "0", "") for name in ("walk", "sdpa") * 2
    ]
    assert all(float(row["peak_mib"]) >= 0 for row in rows)
    assert "Peak memory per node [bytes]" in result.output
    assert "Forward" not in result.output


def test_rivals_are_compared(bench: Callable[..., Result], tmp_path: Path) -> None:
    edges = np.array([[node, (node + 1) % 200] for node in range(200)])
    np.savez(tmp_path / "ring.npz", edges=edges)
    chosen = ("--compare", "--only", "published, step", "--nodes", 64)
    files = ("--csv", tmp_path / "ratios.csv", "--json", tmp_path / "ratios.json")
    options = ("--repeats", 2, "--threads", 1, "--mesh", tmp_path / "ring.npz")
    result = bench(*chosen, *options, *files, "--plot", tmp_path / "ratios.svg")
    assert result.exit_code == 0, result.output
    rows = read(tmp_path / "ratios.csv")
    graphs = "ring", "ring, reordered", "sphere", "sphere, reordered"
    assert [(row["comparison"], row["graph"], row["nodes"]) for row in rows] == [
        (name, graph, "64") for graph in graphs for name in ("published", "step")
    ]
    assert all(row["met"] in ("True", "False") and row["rounds"] == "2" for row in rows)
    assert [bool(row["error_ratio"]) for row in rows] == [True, False] * 4
    content = json.loads((tmp_path / "ratios.json").read_text())
    assert len(content["measurements"][0]["ours"]["both"]) == 2
    assert "<svg" in (tmp_path / "ratios.svg").read_text()
    for text in ("ours, ms", "<= 0.2", "of the mask error", "ball around vertex 0 of ring"):
        assert text in result.output


RUN = Measurement("walk", "graphmask", 64, both=(1.0,))
CUT = Measurement("gps", "PyG", 64, status=Status.TIME, note="no answer within 30 s")


@pytest.mark.parametrize(
    ("flags", "module", "results", "text"),
    [
        ([], "scaling", [RUN, CUT], "> 30 s"),
        (["--compare"], "comparisons", [Ratio(COMPARISONS[1], "torus", RUN, CUT)], "no answer"),
        (["--compare"], "comparisons", [Ratio(COMPARISONS[1], "torus", RUN, RUN)], "MISSED"),
    ],
)
def test_an_interrupt_keeps_the_results(
    bench: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    module: str,
    results: list,
    text: str,
) -> None:
    def interrupted(*_: object) -> Iterator[list]:
        yield results
        raise KeyboardInterrupt

    monkeypatch.setattr(f"graphmask.benchmark.{module}.run", interrupted)
    result = bench(*flags, "--csv", tmp_path / "costs.csv", "--plot", tmp_path / "costs.png")
    assert result.exit_code == 130
    assert text in result.output
    assert len(read(tmp_path / "costs.csv")) == len(results)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--implementations", "walk,none-such"], "none-such"),
        (["--implementations", "walk,"], "an empty name"),
        (["--nodes", "64,-5"], "must be at least 2, got -5"),
        (["--nodes", "64;128"], "integers with commas between them"),
        (["--nodes", "64", "--max-nodes", "32"], "at least 64, the smallest size"),
        (["--max-nodes", "0"], "at least 1,024, the smallest size"),
        (["--time-limit", "0"], "`time_limit` must be positive"),
        (["--memory-limit", "-2"], "`memory_limit` must be positive"),
        (["--device", "abacus"], "`device` must be 'cpu' or a CUDA device"),
        (["--csv", "/no/such/folder/costs.csv"], "No such file or directory"),
        (["--plot", "."], "Is a directory"),
        (["--threads", "0"], "`threads` must be at least 1, got 0"),
        (["--repeats", "0"], "`repeats` must be at least 1, got 0"),
        (["--compare", "--memory"], "must be at most one of them"),
        (["--compare", "--implementations", "walk"], "must be absent with --compare"),
        (["--memory", "--repeats", "3"], "must be absent with --memory"),
        (["--only", "gps"], "`--only` must be absent with no flag"),
        (["--compare", "--only", "gsp"], "`only` must be among performer"),
        (["--compare", "--mesh", "/no/such/mesh.npz"], "no such file"),
    ],
)
def test_wrong_options_are_refused(
    bench: Callable[..., Result], options: list[str], message: str
) -> None:
    result = bench(*options)
    assert result.exit_code == 2
    # The message is wrapped and framed: compare what remains without the frame.
    assert "".join(message.split()) in "".join(result.output.replace("│", "").split())


def test_matplotlib_is_asked_for_before_anything_is_measured(
    bench: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    result = bench("--plot", tmp_path / "costs.png")
    assert result.exit_code == 2
    assert 'graphmask[viz]"' in result.output


def test_names_are_listed(bench: Callable[..., Result]) -> None:
    for command in ("implementations", "contenders"):
        output = bench(command).output
        assert all(each.name in output for each in (*IMPLEMENTATIONS, *COMPARISONS))


def test_no_extra_is_needed_to_import_and_former_names_warn() -> None:
    code = """
import sys, warnings
for name in ("typer", "rich", "matplotlib"):
    sys.modules[name] = None
import graphmask.benchmark.report, graphmask.benchmark as benchmark
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert benchmark.CONTENDERS is benchmark.IMPLEMENTATIONS
    assert benchmark.Contender is benchmark.Implementation
    chosen = benchmark.IMPLEMENTATIONS[:1]
    assert benchmark.Settings(contenders=chosen).implementations == chosen
assert [each.category for each in caught] == [DeprecationWarning] * 3
"""
    subprocess.run([sys.executable, "-c", code], check=True)
