from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from typer.testing import CliRunner, Result

import graphmask as gm
from graphmask import cli


@pytest.fixture
def graphmask() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(cli.load_app(), [str(each) for each in arguments])


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
