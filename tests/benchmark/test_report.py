from __future__ import annotations

from pathlib import Path

import pytest

from graphmask.benchmark import QUANTITIES, Measurement, Settings, Status

pytest.importorskip("rich")
pytest.importorskip("matplotlib")

from graphmask._console import format_number, make_console
from graphmask.benchmark.plot import write_plot
from graphmask.benchmark.report import explain_cuts, format_cell, print_report

SETTINGS = Settings(time_limit=0.5, memory_limit=2)

RUN = [
    Measurement("linear", "graphmask", 64, both=(0.001,), peak=1.0, entries=640),
    Measurement("full", "torch", 64, both=(0.004,), peak=2.0),
    Measurement("linear", "graphmask", 128, both=(0.002, 0.004), peak=2.0, entries=1280),
    Measurement("full", "torch", 128, status=Status.MEMORY, note="ran out of memory at 128 nodes"),
]


def test_report_shows_values_limits_and_exponents(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(make_console(), RUN, SETTINGS, {"cpu": "abacus"})
    output = capsys.readouterr().out
    row = next(line.split() for line in output.splitlines() if line.split()[:1] == ["linear"])
    assert row == ["linear", "1", "3", "1.58", "1.58", "10"]
    assert "> 2 GiB" in output
    assert "full: memory limit, ran out of memory at 128 nodes" in output
    assert "rounds differ by up to 100% (linear at 128 nodes)" in output
    assert "abacus" in output


def test_who_has_nothing_of_a_quantity_has_no_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(make_console(), RUN[:2], SETTINGS, {})
    output = capsys.readouterr().out
    assert "Peak memory" in output
    assert "Made once" not in output


def test_what_a_cut_contender_made_once_is_shown() -> None:
    cut = Measurement("walk", "graphmask", 64, status=Status.TIME, prepare=0.002)
    assert format_cell(QUANTITIES["prepare"], cut, SETTINGS) == "2"
    assert format_cell(QUANTITIES["both"], cut, SETTINGS) == "> 0.5 s"


@pytest.mark.parametrize(
    ("status", "cell"),
    [(Status.TIME, "> 0.5 s"), (Status.MEMORY, "> 2 GiB"), (Status.FAILED, "failed")],
)
def test_limits_are_named_in_cells(status: Status, cell: str) -> None:
    assert (
        format_cell(QUANTITIES["both"], Measurement("full", "torch", 64, status=status), SETTINGS)
        == cell
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.9996, "1"), (3.14159, "3.14"), (99.96, "100"), (1e6, "1,000,000")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert format_number(value) == text


def test_cuts_are_explained_once() -> None:
    cuts = [
        Measurement("full", "torch", n, status=Status.TIME, note="too slow at 64 nodes")
        for n in (64, 128)
    ]
    assert explain_cuts([RUN[0], *cuts]) == ["full: time limit, too slow at 64 nodes"]


@pytest.mark.parametrize("measurements", [RUN, RUN[:1], RUN[3:]], ids=["some", "one", "none"])
def test_picture_is_drawn_whatever_was_measured(
    measurements: list[Measurement], tmp_path: Path
) -> None:
    write_plot(tmp_path / "costs.png", measurements, "abacus")
    assert (tmp_path / "costs.png").read_bytes().startswith(b"\x89PNG")
