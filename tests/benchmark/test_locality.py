"""What the locality benchmark runs is right; how long it takes is not asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graphmask.benchmark.locality import Settings, main, measure, report, tile_fill
from graphmask.kernels import Pattern

TASKS = {"attention", "attention, both ways"}
MORE = {"power series", "training step"}


@pytest.mark.parametrize("dim", [2, 3])
def test_all_labellings_run_all_tasks(dim: int) -> None:
    points = torch.rand(40, dim, generator=torch.Generator().manual_seed(0))
    rows = measure(Settings(points=points, pairs=5, repeats=1))
    assert [row.label for row in rows[::2]] == ["given", "Cuthill-McKee", "Hilbert", "random"]
    for row in rows:
        assert set(row.seconds) == TASKS | (set() if row.label.endswith("scheduled") else MORE)
        assert all(found > 0 for found in row.seconds.values())


def test_good_orders_fill_tiles() -> None:
    rows = {
        row.label: row for row in measure(Settings(nodes=2000, pairs=32, repeats=1, steps=False))
    }
    for size in (16, 32):
        fill = {label: row.fill[size] for label, row in rows.items()}
        assert fill["Hilbert"] > 5 * fill["given"]
        assert fill["Cuthill-McKee"] > 3 * fill["given"]
        assert fill["Hilbert, scheduled"] == fill["Hilbert"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_tile_fill_by_hand(size: int) -> None:
    dense = torch.rand(7, 7, generator=torch.Generator().manual_seed(0)) < 0.2
    row, col = dense.nonzero(as_tuple=True)
    tiles = {(int(i) // size, int(j) // size) for i, j in zip(row, col, strict=True)}
    found = tile_fill(Pattern.from_coo(row, col, (7, 7)), size)
    assert found == pytest.approx(len(row) / (len(tiles) * size**2))


def test_report_compares_with_the_given_order() -> None:
    rows = measure(Settings(nodes=30, pairs=4, repeats=1, steps=False))
    lines = report(rows).splitlines()
    assert len(lines) == 1 + len(rows)
    assert lines[1].count("(1.00)") == 3
    assert "training step" not in lines[0]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "points.npy", np.random.default_rng(0).random((25, 3)))
    threads = torch.get_num_threads()
    main(
        [
            "--points",
            str(tmp_path / "points.npy"),
            "--pairs",
            "4",
            "--repeats",
            "1",
            "--threads",
            str(threads),
        ]
    )
    printed = capsys.readouterr().out
    assert "25 nodes, 4 pairs per row" in printed
    assert "Hilbert, scheduled" in printed


def test_refusals() -> None:
    for name in ("nodes", "pairs", "repeats"):
        with pytest.raises(ValueError, match=f"`{name}` must be at least"):
            Settings(**{name: 0})
    with pytest.raises(ValueError, match=r"`points` must be of shape \[N, 2\] or \[N, 3\]"):
        Settings(points=torch.rand(5))
