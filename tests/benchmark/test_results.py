from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path

import pytest

from graphmask._machine import describe_machine, summarize, total_memory
from graphmask.benchmark import Measurement, Settings, Status, fit_exponent, write_csv, write_json
from graphmask.benchmark.comparisons import COMPARISONS, Ratio
from graphmask.benchmark.memory import HostMemory
from graphmask.benchmark.results import QUANTITIES, extrapolate
from graphmask.benchmark.scaling import count_calls, predict_cut

SIZES = [2**power for power in range(6, 14)]
RUN = Measurement("walk", "graphmask", 64, 320, both=(1.0, 2.0, 9.0), peak=2.0, entries=640)
CUT = Measurement("gps", "PyG", 64, status=Status.TIME, note="a, b")
PEER = Measurement("gps", "PyG", 64, both=(4.0, 4.0, 10.0), entries=64)


def test_the_exponent_is_a_least_squares_slope_over_the_larger_half() -> None:
    assert fit_exponent({n: 3e-7 * n**1.5 for n in SIZES}) == pytest.approx(1.5, abs=1e-12)
    flat_then_steep = {n: 1.0 if n < SIZES[4] else float(n) ** 2 for n in SIZES}
    assert fit_exponent(flat_then_steep) == pytest.approx(2)
    assert fit_exponent(flat_then_steep, share=1.0) > 4
    values = {10: 1.0, 100: 10.0, 1000: 1000.0, 10_000: 1000.0, 100_000: 1.0, 1_000_000: 10.0}
    # The larger half has logarithms (3, 0, 1) at (4, 5, 6), that is (-1, 0, 1) about their mean.
    assert fit_exponent(values) == pytest.approx((-1 * 3 + 0 * 0 + 1 * 1) / 2)
    assert math.isnan(fit_exponent({64: 1.0}))
    assert fit_exponent({64: 0.0, 128: 0.0}) == 0


def test_extrapolation_follows_the_last_two_sizes() -> None:
    assert extrapolate({100: 1.0, 200: 4.0}, 400) == pytest.approx(16)
    assert extrapolate({50: 9.0, 100: 1.0, 200: 2.0}, 800) == pytest.approx(8)
    assert extrapolate({100: 1.0}, 200) is None
    # The exponent is between 0 and 3.
    assert extrapolate({100: 2.0, 200: 1.0}, 400) == pytest.approx(1)
    assert extrapolate({100: 1.0, 200: 1000.0}, 400) == pytest.approx(8000)


def test_exceeded_limits_are_predicted() -> None:
    def predict(seconds: float, peak: float) -> tuple[Status, str] | None:
        first = Measurement("fake", "tests", 64, both=(1.0,), peak=1.0)
        second = Measurement("fake", "tests", 128, both=(seconds,), peak=peak)
        cut = predict_cut([first, second], 256, Settings(time_limit=10, memory_limit=1))
        return cut and cut.args

    assert predict(2.0, 1.0) is None
    assert predict(4.0, 1.0) == (Status.TIME, "not tried: 16,000 ms expected at 256 nodes")
    assert predict(1.0, 400.0)[0] is Status.MEMORY
    assert predict_cut([CUT], 128, Settings()).args == (Status.TIME, "a, b")


def test_a_measurement_has_medians() -> None:
    measurement = Measurement("fake", "tests", 64, forward=(3.0, 1.0, 2.0), both=(4.0, 8.0))
    assert (measurement.forward_seconds, measurement.both_seconds) == (2.0, 6.0)
    assert (measurement.spread, RUN.entries_per_node) == (1.0, 10)
    assert QUANTITIES["forward"].values([measurement]) == {64: 2000.0}
    assert QUANTITIES["peak"].values([measurement]) == {}


def test_short_calls_are_timed_together() -> None:
    assert [count_calls(seconds) for seconds in (0.0, 0.01, 0.03, 0.05, 7.0)] == [50, 5, 2, 1, 1]


def test_files_hold_every_measurement(tmp_path: Path) -> None:
    write_csv(tmp_path / "costs.csv", [RUN, CUT], "abacus")
    first, second = csv.DictReader((tmp_path / "costs.csv").read_text().splitlines())
    expected = {"forward_backward_s": "2.0", "peak_mib": "2.0", "machine": "abacus"}
    assert first.items() >= expected.items()
    assert second.items() >= {"status": "time limit", "note": "a, b", "forward_s": ""}.items()
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
    for errors, ratio in (((0.1, 0.2), 0.5), ((0.0, 0.0), 0)):
        assert Ratio(performer, "sphere", RUN, PEER, errors=errors).error_ratio == ratio


def test_the_machine_is_described() -> None:
    machine = describe_machine(threads=3)
    names = "cpu cores threads memory gpu load os python torch torch-geometric numba graphmask date"
    assert list(machine) == names.split()
    assert all(machine.values())
    assert "threads 3; memory" in summarize(machine)
    assert total_memory() > 2**28


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can be reset on Linux only")
def test_the_peak_of_memory_can_be_reset() -> None:
    memory = HostMemory()
    block = bytearray(2**26)
    del block
    assert memory.peak() >= 63
    memory.reset()
    peak = memory.peak()
    # This process lives on, and keeps its freed memory again.
    memory.relax()
    assert peak < 32
