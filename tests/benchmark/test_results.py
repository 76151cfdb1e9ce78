from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from graphmask.benchmark import Measurement, Settings, Status, fit_exponent, write_csv, write_json
from graphmask.benchmark.comparisons import COMPARISONS, Ratio
from graphmask.benchmark.results import QUANTITIES, extrapolate
from graphmask.benchmark.scaling import count_calls, predict_cut

SIZES = [2**power for power in range(6, 14)]


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.5, 2.0])
def test_exponent_of_a_power_law_is_exact(exponent: float) -> None:
    values = {n: 3e-7 * n**exponent for n in SIZES}
    assert fit_exponent(values) == pytest.approx(exponent, abs=1e-12)


def test_exponent_is_a_least_squares_slope_over_the_larger_half() -> None:
    flat_then_steep = {n: 1.0 if n < SIZES[4] else float(n) ** 2 for n in SIZES}
    assert fit_exponent(flat_then_steep) == pytest.approx(2)
    assert fit_exponent(flat_then_steep, share=1.0) > 4
    values = {10: 1.0, 100: 10.0, 1000: 1000.0, 10_000: 1000.0, 100_000: 1.0, 1_000_000: 10.0}
    # The larger half has logarithms (3, 0, 1) at (4, 5, 6), that is (-1, 0, 1) about their mean.
    assert fit_exponent(values) == pytest.approx((-1 * 3 + 0 * 0 + 1 * 1) / 2)


def test_exponent_of_too_few_sizes_and_of_no_memory() -> None:
    assert math.isnan(fit_exponent({}))
    assert math.isnan(fit_exponent({64: 1.0}))
    assert fit_exponent({64: 0.0, 128: 0.0}) == 0


@pytest.mark.parametrize(
    ("values", "nodes", "expected"),
    [
        ({100: 1.0, 200: 4.0}, 400, 16.0),
        ({50: 9.0, 100: 1.0, 200: 2.0}, 800, 8.0),
        ({100: 2.0, 200: 1.0}, 400, 1.0),
        ({100: 1.0, 200: 1000.0}, 400, 8000.0),
        ({100: 1.0}, 200, None),
    ],
)
def test_extrapolation_follows_the_last_two_sizes(
    values: dict[int, float], nodes: int, expected: float | None
) -> None:
    assert extrapolate(values, nodes) == (expected and pytest.approx(expected))


@pytest.mark.parametrize(
    ("seconds", "mebibytes", "status"),
    [
        ([1.0, 4.0], [1.0, 1.0], Status.TIME),
        ([1.0, 2.0], [1.0, 1.0], None),
        ([1.0, 1.0], [100.0, 400.0], Status.MEMORY),
    ],
)
def test_exceeded_limits_are_predicted(
    seconds: list[float], mebibytes: list[float], status: Status | None
) -> None:
    history = [
        Measurement("fake", "tests", n, both=(time,), peak=peak)
        for n, time, peak in zip(SIZES[:2], seconds, mebibytes, strict=True)
    ]
    cut = predict_cut(history, SIZES[2], Settings(time_limit=10, memory_limit=1))
    assert (cut and cut.status) == status
    if status is Status.TIME:
        assert cut.note == "not tried: 16,000 ms expected at 256 nodes"


def test_an_implementation_that_was_cut_off_stays_cut_off() -> None:
    cut = predict_cut(
        [Measurement("x", "y", 64, status=Status.FAILED, note="why")], 128, Settings()
    )
    assert (cut.status, cut.note) == (Status.FAILED, "why")


def test_measurement_takes_medians() -> None:
    each = Measurement("fake", "tests", 64, forward=(3.0, 1.0, 2.0), both=(4.0, 8.0), entries=640)
    assert (each.forward_seconds, each.both_seconds, each.spread) == (2.0, 6.0, 1.0)
    assert each.entries_per_node == 10
    assert QUANTITIES["forward"].values([each]) == {64: 2000.0}
    assert QUANTITIES["peak"].values([each]) == {}


def test_short_calls_are_timed_together() -> None:
    assert [count_calls(seconds) for seconds in (0.0, 0.01, 0.03, 0.05, 7.0)] == [50, 5, 2, 1, 1]


RUN = Measurement("walk", "graphmask", 64, 320, both=(1.0, 2.0, 9.0), peak=2.0, entries=640)
CUT = Measurement("gps", "PyG", 64, status=Status.TIME, note="a, b")
PEER = Measurement("gps", "PyG", 64, both=(4.0, 4.0, 10.0), entries=64)


def test_files_hold_every_measurement(tmp_path: Path) -> None:
    write_csv(tmp_path / "costs.csv", [RUN, CUT], "abacus")
    first, second = csv.DictReader((tmp_path / "costs.csv").read_text().splitlines())
    assert (first["forward_backward_s"], first["peak_mib"], first["machine"]) == (
        "2.0",
        "2.0",
        "abacus",
    )
    assert (second["status"], second["note"], second["forward_s"]) == ("time limit", "a, b", "")
    settings, machine = {"nodes": (64,), "limit": math.inf}, {"cpu": "abacus"}
    write_json(tmp_path / "costs.json", [RUN, CUT], settings, machine)
    content = json.loads((tmp_path / "costs.json").read_text())
    assert content["machine"] == machine
    assert content["settings"] == {"nodes": [64], "limit": None}
    assert content["measurements"][0]["both"] == [1, 2, 9]
    assert content["measurements"][1]["status"] == "time limit"
    for write in (write_csv, write_json):
        with pytest.raises(ValueError, match="`records` must be at least one"):
            write(tmp_path / "none", [])


def test_ratios_are_those_of_one_round() -> None:
    performer, entry = COMPARISONS[0], COMPARISONS[3]
    ratio = Ratio(performer, "sphere", RUN, PEER)
    assert ratio.rounds == [0.25, 0.5, 0.9]
    assert list(ratio.quartiles) == [0.375, 0.5, 0.7]
    assert ratio.met is True
    assert Ratio(entry, "sphere", RUN, PEER).rounds == pytest.approx([0.025, 0.05, 0.09])
    cut = Ratio(performer, "sphere", RUN, CUT)
    assert (cut.rounds, list(cut.quartiles), cut.met, cut.row()["note"]) == ([], [], None, "a, b")
    assert Ratio(performer, "sphere", RUN, PEER, errors=(0.1, 0.2)).error_ratio == 0.5
    assert Ratio(performer, "sphere", RUN, PEER, errors=(0.0, 0.0)).error_ratio == 0
