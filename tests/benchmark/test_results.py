from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from graphmask.benchmark import Measurement, Status, fit_exponent, write_csv
from graphmask.benchmark.results import QUANTITIES, extrapolate
from graphmask.benchmark.scaling import Settings, foresee

SIZES = [2**power for power in range(6, 14)]


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.5, 2.0])
def test_exponent_of_a_power_law_is_exact(exponent: float) -> None:
    assert fit_exponent({n: 3e-7 * n**exponent for n in SIZES}) == pytest.approx(
        exponent, abs=1e-12
    )


def test_exponent_looks_at_the_larger_half() -> None:
    values = {n: 1.0 if n < SIZES[4] else float(n) ** 2 for n in SIZES}
    assert fit_exponent(values) == pytest.approx(2)


def test_exponent_is_a_least_squares_slope() -> None:
    values = {10: 1.0, 100: 10.0, 1000: 1000.0, 10_000: 1000.0, 100_000: 1.0, 1_000_000: 10.0}
    # The larger half has logarithms (3, 0, 1) at (4, 5, 6), that is (-1, 0, 1) about their mean.
    assert fit_exponent(values) == pytest.approx((-1 * 3 + 0 * 0 + 1 * 1) / 2)


@pytest.mark.parametrize("values", [{}, {64: 1.0}])
def test_exponent_needs_two_sizes(values: dict[int, float]) -> None:
    assert math.isnan(fit_exponent(values))


def test_exponent_of_no_memory_at_all_is_finite() -> None:
    assert fit_exponent({64: 0.0, 128: 0.0}) == 0


@pytest.mark.parametrize(
    ("values", "nodes", "expected"),
    [
        ({100: 1.0, 200: 4.0}, 400, 16.0),
        ({50: 9.0, 100: 1.0, 200: 2.0}, 800, 8.0),
        ({100: 2.0, 200: 1.0}, 400, 1.0),
        ({100: 1.0, 200: 1000.0}, 400, 8000.0),
    ],
)
def test_extrapolation_follows_the_last_two_sizes(
    values: dict[int, float], nodes: int, expected: float
) -> None:
    assert extrapolate(values, nodes) == pytest.approx(expected)


def test_extrapolation_needs_two_sizes() -> None:
    assert extrapolate({100: 1.0}, 200) is None


def _history(seconds: list[float], mebibytes: list[float]) -> list[Measurement]:
    pairs = zip(SIZES, zip(seconds, mebibytes, strict=True), strict=False)
    return [Measurement("fake", "tests", n, both=(time,), peak=peak) for n, (time, peak) in pairs]


def test_quadratic_time_is_foreseen() -> None:
    settings = Settings(time_limit=10, memory_limit=1)
    history = _history([1.0, 4.0], [1.0, 1.0])
    cut = foresee(history, SIZES[2], settings)
    assert cut is not None
    assert cut.status is Status.TIME
    assert cut.note == "not tried: 16,000 ms expected at 256 nodes"
    assert foresee(_history([1.0, 2.0], [1.0, 1.0]), SIZES[2], settings) is None


def test_quadratic_memory_is_foreseen() -> None:
    cut = foresee(
        _history([1.0, 1.0], [100.0, 400.0]), SIZES[2], Settings(time_limit=10, memory_limit=1)
    )
    assert cut is not None
    assert cut.status is Status.MEMORY


def test_who_was_cut_stays_cut() -> None:
    history = [Measurement("fake", "tests", 64, status=Status.FAILED, note="why")]
    cut = foresee(history, 128, Settings())
    assert cut is not None
    assert (cut.status, cut.note) == (Status.FAILED, "why")


def test_measurement_takes_medians() -> None:
    each = Measurement("fake", "tests", 64, forward=(3.0, 1.0, 2.0), both=(4.0, 8.0), entries=640)
    assert (each.forward_seconds, each.both_seconds, each.spread, each.entries_per_node) == (
        2.0,
        6.0,
        1.0,
        10.0,
    )
    assert QUANTITIES["forward"].values([each]) == {64: 2000.0}
    assert QUANTITIES["peak"].values([each]) == {}


def test_csv_holds_every_measurement(tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    write_csv(
        path,
        [*_history([0.5], [2.0]), Measurement("cut", "tests", 64, status=Status.TIME, note="a, b")],
        "here",
    )
    first, second = csv.DictReader(path.read_text().splitlines())
    assert (first["forward_backward_s"], first["peak_mib"], first["machine"]) == (
        "0.5",
        "2.0",
        "here",
    )
    assert (second["status"], second["note"], second["forward_s"]) == ("time limit", "a, b", "")


def test_csv_needs_measurements(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`records` must be at least one"):
        write_csv(tmp_path / "costs.csv", [])
