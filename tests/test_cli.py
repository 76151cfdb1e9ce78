from __future__ import annotations

import csv
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("typer")
pytest.importorskip("rich")

from typer.testing import CliRunner, Result

import graphmask as gm
from graphmask import cli
from graphmask.benchmark import CONTENDERS, Measurement, fit_exponent
from graphmask.benchmark.bodies import BODIES
from graphmask.benchmark.comparisons import COMPARISONS, Paired


@pytest.fixture
def graphmask() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(cli.load_app(), [str(each) for each in arguments])


def test_bench_measures_everyone(graphmask: Callable[..., Result], tmp_path: Path) -> None:
    table, picture = tmp_path / "costs.csv", tmp_path / "costs.png"
    files = ("--csv", table, "--plot", picture)
    result = graphmask(
        "bench", "--nodes", "128,64", "--repeats", 1, "--threads", 1, "--memory-limit", 2, *files
    )
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(table.read_text().splitlines()))
    names = [contender.name for contender in CONTENDERS]
    assert [(row["contender"], row["nodes"]) for row in rows] == [
        (name, size) for size in ("64", "128") for name in names
    ]
    assert {row["status"] for row in rows} == {"measured"}
    for column in ("forward_s", "forward_backward_s", "peak_mib", "first_call_s"):
        for name in names:
            values = {
                int(row["nodes"]): float(row[column]) for row in rows if row["contender"] == name
            }
            assert math.isfinite(fit_exponent(values))
    for row in rows:
        drawn = row["contender"].removesuffix("-layer") in (
            "global",
            "walk",
            "grf",
            "power-series",
            "sdpa-bias",
        )
        assert bool(row["prepare_s"]) == drawn
    assert picture.read_bytes().startswith(b"\x89PNG")
    for text in (*names, "exponent", "entries/node", "Peak memory", "torch-geometric", "cpu"):
        assert text in result.output


def test_bench_writes_every_round(graphmask: Callable[..., Result], tmp_path: Path) -> None:
    chosen = (
        "--contenders",
        "walk",
        "--nodes",
        "64,128",
        "--repeats",
        2,
        "--threads",
        1,
        "--keep-memory",
    )
    result = graphmask("bench", *chosen, "--json", tmp_path / "costs.json")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "costs.json").read_text())
    assert found["machine"]["threads"] == "1"
    assert (found["settings"]["nodes"], found["settings"]["contenders"]) == ([64, 128], ["walk"])
    assert [len(each["both"]) for each in found["measurements"]] == [2, 2]
    assert {each["contender"] for each in found["summaries"]} == {"walk"}
    assert "of all" in result.output


def test_bench_of_memory_takes_no_times(graphmask: Callable[..., Result], tmp_path: Path) -> None:
    chosen = (
        "--memory",
        "--contenders",
        "walk,sdpa",
        "--nodes",
        "64,128",
        "--threads",
        1,
        "--reorder",
    )
    result = graphmask(
        "bench", *chosen, "--csv", tmp_path / "memory.csv", "--json", tmp_path / "memory.json"
    )
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((tmp_path / "memory.csv").read_text().splitlines()))
    assert [(row["contender"], row["status"], row["rounds"], row["forward_s"]) for row in rows] == [
        (name, "measured", "0", "") for name in ("walk", "sdpa") * 2
    ]
    assert all(float(row["peak_mib"]) >= 0 for row in rows)
    quantities = {
        each["quantity"] for each in json.loads((tmp_path / "memory.json").read_text())["summaries"]
    }
    assert "Peak memory per node" in quantities
    for text in ("Peak memory per node [bytes]", "exponent"):
        assert text in result.output
    assert "Forward" not in result.output


def test_bench_compares_rivals(graphmask: Callable[..., Result], tmp_path: Path) -> None:
    np.savez(
        tmp_path / "ring.npz", edges=np.array([[node, (node + 1) % 200] for node in range(200)])
    )
    chosen = (
        "--compare",
        "--only",
        "published, entry",
        "--nodes",
        "64,96",
        "--repeats",
        2,
        "--threads",
        1,
    )
    files = ("--csv", tmp_path / "ratios.csv", "--json", tmp_path / "ratios.json")
    threads = torch.get_num_threads()
    result = graphmask("bench", *chosen, "--mesh", tmp_path / "ring.npz", *files)
    assert result.exit_code == 0, result.output
    assert torch.get_num_threads() == threads
    rows = list(csv.DictReader((tmp_path / "ratios.csv").read_text().splitlines()))
    graphs = "ring", "ring, reordered", "torus", "torus, reordered"
    assert [(row["comparison"], row["graph"], row["nodes"]) for row in rows] == [
        (name, graph, nodes)
        for nodes in ("64", "96")
        for graph in graphs
        for name in ("published", "entry")
    ]
    assert all(
        float(row["ratio"]) > 0 and row["met"] in ("True", "False") and row["rounds"] == "2"
        for row in rows
    )
    assert [bool(row["error_ratio"]) for row in rows] == [True, False] * 8
    whole = json.loads((tmp_path / "ratios.json").read_text())
    assert (
        whole["settings"]["nodes"],
        whole["settings"]["rounds"],
        whole["settings"]["threads"],
    ) == ([64, 96], 2, 1)
    assert whole["summaries"][0]["ratio"] == pytest.approx(float(rows[0]["ratio"]))
    for text in (
        "ours, ms",
        "<= 1/5",
        "of the mask error",
        "ball around vertex 0 of ring",
        "torch-geometric",
    ):
        assert text in result.output


def test_bench_compares_bodies(graphmask: Callable[..., Result], tmp_path: Path) -> None:
    chosen = ("--bodies", "--only", "torch-int64", "--nodes", 64, "--repeats", 2, "--threads", 1)
    result = graphmask(
        "bench", *chosen, "--csv", tmp_path / "bodies.csv", "--json", tmp_path / "bodies.json"
    )
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((tmp_path / "bodies.csv").read_text().splitlines()))
    assert [(row["operation"], row["body"]) for row in rows] == [
        (operation, body)
        for operation in ("sddmm", "spmm", "pairs")
        for body in ("in use", "torch-int64")
    ]
    assert json.loads((tmp_path / "bodies.json").read_text())["summaries"][0]["forward_ratio"] == 1
    for text in ("over in use", "4 heads of 16", "torch-int64", "numba"):
        assert text in result.output


def test_an_interrupt_keeps_what_was_compared(
    graphmask: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Iterator[Paired]:
        yield Paired("gps", "torus", 64, 640, "walk-layer", "gps", 0.02, (1.0,), (2.0,))
        raise KeyboardInterrupt

    monkeypatch.setattr("graphmask.benchmark.comparisons.command.run", interrupted)
    result = graphmask("bench", "--compare", "--csv", tmp_path / "ratios.csv")
    assert result.exit_code == 130
    assert "MISSED" in result.output
    assert "gps,torus,64" in (tmp_path / "ratios.csv").read_text()


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
        (["--json", "/no/such/folder/costs.json"], "a folder that exists"),
        (["--threads", "0"], "`threads` must be at least 1, got 0"),
        (["--repeats", "0"], "`repeats` must be at least 1, got 0"),
        (["--compare", "--bodies"], "must be at most one of them, got --compare and --bodies"),
        (
            ["--compare", "--contenders", "walk"],
            "`--contenders` must be given with no flag or --memory, got it with --compare",
        ),
        (
            ["--bodies", "--molecules", "x.csv"],
            "`--molecules` must be given with --compare, got it with --bodies",
        ),
        (
            ["--memory", "--repeats", "3"],
            "with no flag or --compare or --bodies, got it with --memory",
        ),
        (
            ["--only", "gps"],
            "`--only` must be given with --compare or --bodies, got it with no flag",
        ),
        (["--compare", "--only", "gsp"], "`only` must be among performer"),
        (["--bodies", "--only", "gps"], "`only` must be among in use"),
        (["--compare", "--nodes", "64,x"], "integers with commas between them"),
        (["--compare", "--nodes", "1"], "`nodes` must be at least 2, got 1"),
        (["--compare", "--mesh", "/no/such/mesh.npz"], "No such file"),
        (["--bodies", "--time-limit", "0"], "`time_limit` must be positive"),
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
    assert all(each.name in result.output for each in (*CONTENDERS, *COMPARISONS, *BODIES))


def test_info(graphmask: Callable[..., Result]) -> None:
    result = graphmask("info")
    assert result.exit_code == 0
    for text in ("torch-geometric", "gpu", "viz", "typer", "date"):
        assert text in result.output


@pytest.mark.parametrize("absent", ["typer", "rich"])
def test_without_its_extra_the_command_line_says_what_to_install(
    absent: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("command", "options"):
        monkeypatch.delitem(sys.modules, f"graphmask.benchmark.{module}", raising=False)
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
    modules = ", ".join(
        f"graphmask.benchmark{part}{each}" for part in parts for each in ("", ".report")
    )
    modules += ", graphmask.benchmark.plot, graphmask.benchmark.estimators.plot"
    code = f"import sys; {blocked}; import {modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


def ring_file(folder: Path) -> Path:
    path = folder / "ring.edgelist"
    path.write_text("".join(f"{node} {(node + 1) % 20}\n" for node in range(20)))
    return path


def test_info_of_a_file(graphmask: Callable[..., Result], tmp_path: Path) -> None:
    result = graphmask("info", ring_file(tmp_path), "--masks", "walk, toeplitz")
    assert result.exit_code == 0, result.output
    for text in (
        "40 in both directions",
        "2 to 2, mean 2",
        "O(N p)",
        "no grid",
        "WalkMask(hops=8) or PowerSeriesMask",
    ):
        assert text in result.output
    assert "separator" not in result.output.split("Recommendations")[0]
    assert "once per graph" not in result.output
    result = graphmask("info", ring_file(tmp_path), "--masks", "walk", "--whole", "--threads", 1)
    assert "once per graph" in result.output, result.output
    assert (
        "O(" not in graphmask("info", ring_file(tmp_path), "--masks", "none").output.split("Rec")[0]
    )


def test_info_refuses_what_is_no_graph(graphmask: Callable[..., Result], tmp_path: Path) -> None:
    result = graphmask("info", tmp_path / "none.gml")
    assert result.exit_code == 2
    assert "nosuchfile" in "".join(result.output.replace("│", "").split())
    result = graphmask("info", ring_file(tmp_path), "--masks", "wlak")
    assert result.exit_code == 2
    assert "wlak" in result.output


def test_view_draws_a_picture_and_a_page(graphmask: Callable[..., Result], tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    out = tmp_path / "ring"
    chosen = (
        "--node",
        3,
        "--mask",
        "walk:hops=2,heads=2",
        "--mask",
        "tree-distance",
        "--head",
        1,
        "--out",
        out,
    )
    result = graphmask("view", ring_file(tmp_path), *chosen)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "ring.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "ring.html").read_text()
    assert "A click on any node shows its row." in page
    assert "ring.edgelist: 20 nodes, 40 edges" in page
    assert re.search(r"<(script|link|img)[^>]*(src|href)=.?https?:", page) is None
    assert "Row of node 3, head 1" in result.output
    assert "tree-distance does not apply here: `edge_index` must be a forest" in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mask", "tree-distance"], "tree-distance does not apply here"),
        (["--mask", "wlak"], "`mask` must be one of causal"),
        (["--node", "20"], "`node` must be below 20"),
        (["--head", "1"], "`head` must be below 1"),
        (["--model", "none.pt"], "--trust"),
        (["--out", "/no/such/folder/ring.png"], "No such file"),
    ],
)
def test_view_refuses(
    graphmask: Callable[..., Result], tmp_path: Path, options: list[str], message: str
) -> None:
    result = graphmask(
        "view",
        ring_file(tmp_path),
        *(options if "--out" in options else [*options, "--out", tmp_path / "ring.png"]),
    )
    assert result.exit_code == 2
    assert "".join(message.split()) in "".join(result.output.replace("│", "").split())


def test_view_of_a_trained_model(graphmask: Callable[..., Result], tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    np.savez(
        tmp_path / "ring.npz",
        edges=np.array([[node, (node + 1) % 20] for node in range(20)]),
        x=np.ones((20, 3)),
    )
    mask = gm.masks.WalkMask(hops=2, heads=2)
    gm.nn.TopologicalTransformer(3, 8, 2, num_layers=2, heads=2, mask=mask).save_pretrained(
        tmp_path / "model"
    )
    out = tmp_path / "row.html"
    result = graphmask(
        "view", tmp_path / "ring.npz", "--model", tmp_path / "model", "--layer", 1, "--out", out
    )
    assert result.exit_code == 0, result.output
    assert "attention of layer 1" in result.output
    assert out.exists()


def test_masks_are_listed(graphmask: Callable[..., Result]) -> None:
    result = graphmask("masks")
    assert result.exit_code == 0
    assert "power-series" in result.output
    assert ":math:" not in result.output


def test_bench_writes_a_page_beside_its_files(
    graphmask: Callable[..., Result], tmp_path: Path
) -> None:
    pytest.importorskip("plotly")
    chosen = ("--contenders", "walk", "--nodes", "64,128", "--repeats", 1, "--threads", 1)
    result = graphmask("bench", *chosen, "--csv", tmp_path / "costs.csv")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "costs.html").read_text()
    for text in (
        "<h1>graphmask bench</h1>",
        "Forward + backward",
        "torch-geometric",
        "entries/node",
        "Peak memory",
    ):
        assert text in page
    assert page.count('class="plotly-graph-div"') == 4
    assert re.search(r"<(script|link|img)[^>]*(src|href)=.?https?:", page) is None
    assert not list(tmp_path.glob("*.json"))
