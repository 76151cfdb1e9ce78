from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from typer.testing import CliRunner, Result

import graphmask as gm
from graphmask import cli
from graphmask._console import make_console, make_fact_table


def graphmask(*arguments: object) -> Result:
    return CliRunner().invoke(cli.load_app(), list(map(str, arguments)))


def unwrapped(output: str) -> str:
    """An error message without its frame and without spaces, since it is wrapped."""
    return "".join(output.replace("│", "").split())


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    path = tmp_path / "ring.edgelist"
    path.write_text("".join(f"{node} {(node + 1) % 20}\n" for node in range(20)))
    return path


def test_names_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    make_console().print(make_fact_table("[/b]", {"[/x]": ":smile: [red]"}))
    out = capsys.readouterr().out
    assert all(text in out for text in ("[/b]", "[/x]", ":smile: [red]"))


def test_info_and_masks_print_tables() -> None:
    result = graphmask("masks")
    assert result.exit_code == 0
    assert "power-series" in result.output
    assert ":math:" not in result.output
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


def test_info_of_a_file(ring: Path) -> None:
    result = graphmask("info", ring, "--masks", "walk, toeplitz")
    assert result.exit_code == 0, result.output
    properties = ("40 in both directions", "2 to 2, mean 2", "O(N p)", "no grid")
    for text in (*properties, "WalkMask(hops=8) or PowerSeriesMask"):
        assert text in result.output
    assert "separator" not in result.output.split("Recommendations")[0]
    assert "once per graph" not in result.output
    result = graphmask("info", ring, "--masks", "walk", "--whole", "--threads", 1)
    assert "once per graph" in result.output, result.output
    assert "O(" not in graphmask("info", ring, "--masks", "none").output.split("Rec")[0]


def test_view_draws_a_picture_and_a_page(ring: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    names = ("--mask", "walk:hops=2,heads=2", "--mask", "tree-distance")
    result = graphmask("view", ring, "--node", 3, "--head", 1, *names, "--out", tmp_path / "ring")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "ring.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "ring.html").read_text()
    assert "A click on any node shows its row." in page
    assert "ring.edgelist: 20 nodes, 40 edges" in page
    assert re.search(r"<(script|link|img)[^>]*(src|href)=.?https?:", page) is None
    assert "Row of node 3, head 1" in result.output
    assert "tree-distance does not apply here: `edge_index` must be a forest" in result.output


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("info", ["--masks", "wlak"], "wlak"),
        ("view", ["--mask", "tree-distance"], "tree-distance does not apply here"),
        ("view", ["--mask", "wlak"], "`mask` must be one of adaptive-walk"),
        ("view", ["--node", "20"], "`node` must be below 20"),
        ("view", ["--head", "1"], "`head` must be below 1"),
        ("view", ["--model", "none.pt"], "--trust"),
        ("view", ["--out", "/no/such/folder/ring.png"], "No such file"),
    ],
)
def test_wrong_options_raise(
    ring: Path, tmp_path: Path, command: str, options: list[str], message: str
) -> None:
    if command == "view" and "--out" not in options:
        options = [*options, "--out", str(tmp_path / "ring.png")]
    result = graphmask(command, ring, *options)
    assert result.exit_code == 2
    assert unwrapped(message) in unwrapped(result.output)
    absent = graphmask(command, tmp_path / "none.gml")
    assert absent.exit_code == 2
    assert "nosuchfile" in unwrapped(absent.output)


def test_view_of_a_trained_model(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    data, folder, out = (tmp_path / name for name in ("ring.npz", "model", "row.html"))
    edges = np.array([[node, (node + 1) % 20] for node in range(20)])
    np.savez(data, edges=edges, x=np.ones((20, 3)))
    mask = gm.masks.WalkMask(hops=2, heads=2)
    model = gm.nn.TopologicalTransformer(3, 8, 2, num_layers=2, heads=2, mask=mask)
    model.save_pretrained(folder)
    result = graphmask("view", data, "--model", folder, "--layer", 1, "--out", out)
    assert result.exit_code == 0, result.output
    assert "attention of layer 1" in result.output
    assert out.exists()
