from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from typer.testing import CliRunner, Result

from graphmask import benchmark, cli
from graphmask.benchmark import IMPLEMENTATIONS, Measurement, Status
from graphmask.benchmark.comparisons import COMPARISONS, Ratio


def bench(*options: object) -> Result:
    return CliRunner().invoke(cli.load_app(), ["bench", *map(str, options)])


def bench_rows(path: Path, *options: object) -> tuple[list[dict[str, str]], str]:
    """The rows of the CSV file that a run writes, and its output."""
    result = bench(*options, "--threads", 1, "--csv", path)
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(path.read_text().splitlines())), result.output


def test_implementations_are_measured(tmp_path: Path) -> None:
    picture, content_file = tmp_path / "costs.png", tmp_path / "costs.json"
    names = ["global", "walk", "performer"]
    sizes = ("--nodes", "128,64,4096", "--max-nodes", 128, "--repeats", 1, "--memory-limit", 2)
    options = ("--implementations", ",".join(names), "--plot", picture, "--json", content_file)
    rows, output = bench_rows(tmp_path / "costs.csv", *sizes, *options)
    expected = [(name, size) for size in ("64", "128") for name in names]
    assert [(row["implementation"], row["nodes"]) for row in rows] == expected
    assert {row["status"] for row in rows} == {"measured"}
    for column in ("forward_s", "forward_backward_s", "peak_mib", "first_call_s"):
        assert all(float(row[column]) >= 0 for row in rows)
    assert {row["implementation"] for row in rows if row["prepare_s"]} == {"global", "walk"}
    assert picture.read_bytes().startswith(b"\x89PNG")
    content = json.loads(content_file.read_text())
    assert (content["machine"]["threads"], content["settings"]["nodes"]) == ("1", [64, 128])
    assert content["settings"]["implementations"] == names
    assert [len(record["both"]) for record in content["measurements"]] == [1] * len(rows)
    for text in (*names, "exponent", "of all", "entries/node", "Peak memory", "torch-geometric"):
        assert text in output
    assert "4,096" not in output


def test_memory_is_measured_without_times(tmp_path: Path) -> None:
    options = ("--memory", "--contenders", "walk,sdpa", "--nodes", "64", "--reorder")
    rows, output = bench_rows(tmp_path / "memory.csv", *options)
    values = [(row["implementation"], row["rounds"], row["forward_s"]) for row in rows]
    assert values == [("walk", "0", ""), ("sdpa", "0", "")]
    assert all(float(row["peak_mib"]) >= 0 for row in rows)
    assert "Peak memory per node [bytes]" in output
    assert "Forward" not in output


@pytest.mark.parametrize(
    "names", ["published", pytest.param("published, step", marks=pytest.mark.slow)]
)
def test_implementations_are_compared(names: str, tmp_path: Path) -> None:
    edges = np.array([[node, (node + 1) % 200] for node in range(200)])
    np.savez(tmp_path / "ring.npz", edges=edges)
    picture, content_file = tmp_path / "ratios.svg", tmp_path / "ratios.json"
    options = ("--compare", "--only", names, "--nodes", 64, "--repeats", 2)
    files = ("--mesh", tmp_path / "ring.npz", "--json", content_file, "--plot", picture)
    rows, output = bench_rows(tmp_path / "ratios.csv", *options, *files)
    graphs = "ring", "ring, reordered", "sphere", "sphere, reordered"
    expected = [(name, graph, "64") for graph in graphs for name in names.split(", ")]
    assert [(row["comparison"], row["graph"], row["nodes"]) for row in rows] == expected
    assert all(row["met"] in ("True", "False") and row["rounds"] == "2" for row in rows)
    assert all(bool(row["error_ratio"]) == (row["comparison"] == "published") for row in rows)
    content = json.loads(content_file.read_text())
    assert len(content["measurements"][0]["ours"]["both"]) == 2
    assert "<svg" in picture.read_text()
    for text in ("ours, ms", "<= 0.2", "of the mask error", "ball around vertex 0 of ring"):
        assert text in output


COMPARED = COMPARISONS[1], "torus"
RUN = Measurement("walk", "graphmask", 64, both=(1.0,))
CUT = Measurement("gps", "PyG", 64, status=Status.TIME, note="no answer within 30 s")


@pytest.mark.parametrize(
    ("module", "results", "text"),
    [
        ("scaling", [RUN, CUT], "> 30 s"),
        ("comparisons", [Ratio(*COMPARED, RUN, CUT)], "no answer"),
        ("comparisons", [Ratio(*COMPARED, RUN, RUN)], "MISSED"),
    ],
)
def test_an_interrupt_keeps_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, results: list, text: str
) -> None:
    def interrupted(*_: object) -> Iterator[list]:
        yield results
        raise KeyboardInterrupt

    monkeypatch.setattr(f"graphmask.benchmark.{module}.run", interrupted)
    flags = ["--compare"] if module == "comparisons" else []
    result = bench(*flags, "--csv", tmp_path / "costs.csv", "--plot", tmp_path / "costs.png")
    assert result.exit_code == 130
    assert text in result.output
    assert len((tmp_path / "costs.csv").read_text().splitlines()) == 1 + len(results)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--implementations", "walk,none-such"], "none-such"),
        (["--implementations", "walk,"], "an empty name"),
        (["--nodes", "64,-5"], "must be at least 2, got -5"),
        (["--nodes", "64;128"], "integers with commas between them"),
        (["--max-nodes", "0"], "at least 1,024, the smallest size"),
        (["--time-limit", "0"], "`time_limit` must be positive"),
        (["--device", "abacus"], "`device` must be 'cpu' or a CUDA device"),
        (["--csv", "/no/such/folder/costs.csv"], "No such file or directory"),
        (["--plot", "."], "Is a directory"),
        (["--repeats", "0"], "`repeats` must be at least 1, got 0"),
        (["--compare", "--memory"], "must be at most one of them"),
        (["--compare", "--implementations", "walk"], "must be absent with --compare"),
        (["--memory", "--repeats", "3"], "must be absent with --memory"),
        (["--only", "gps"], "`--only` must be absent with no flag"),
        (["--compare", "--only", "gsp"], "`only` must be among performer"),
        (["--compare", "--mesh", "/no/such/mesh.npz"], "no such file"),
    ],
)
def test_wrong_options_raise(options: list[str], message: str) -> None:
    result = bench(*options)
    assert result.exit_code == 2
    # The message is wrapped and framed: compare what remains without the frame.
    assert "".join(message.split()) in "".join(result.output.replace("│", "").split())


def test_without_matplotlib_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    result = bench("--plot", tmp_path / "costs.png")
    assert result.exit_code == 2
    assert 'graphmask[viz]"' in result.output


def test_names_are_listed() -> None:
    for command in ("implementations", "contenders"):
        output = bench(command).output
        assert all(entry.name in output for entry in (*IMPLEMENTATIONS, *COMPARISONS))


@pytest.mark.slow
def test_no_extra_is_needed_to_import() -> None:
    code = """
import sys
for name in ("typer", "rich", "matplotlib"):
    sys.modules[name] = None
import graphmask.benchmark.report, graphmask.benchmark.plot
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_former_names_work_and_warn() -> None:
    first = IMPLEMENTATIONS[:1]
    with pytest.warns(DeprecationWarning, match="IMPLEMENTATIONS"):
        assert benchmark.CONTENDERS is IMPLEMENTATIONS
    with pytest.warns(DeprecationWarning, match="Implementation"):
        assert benchmark.Contender is benchmark.Implementation
    with pytest.warns(DeprecationWarning, match="implementations"):
        assert benchmark.Settings(contenders=first).implementations == first
