from __future__ import annotations

from typing import Any

import benchmark_fakes as fakes
import pytest

from graphmask.benchmark import (
    Implementation,
    Measurement,
    Settings,
    Status,
    find_implementations,
    run,
    scaling,
)
from graphmask.benchmark.worker import Bench, CutOffError, Worker

SIZES = (128, 256, 512)
CUT_BY = {
    fakes.allocate_from_256: (Status.MEMORY, "at 256 nodes"),
    fakes.fail_from_256: (Status.FAILED, "RuntimeError: the fake failed at 256 nodes"),
    fakes.exit_from_256: (Status.FAILED, "ended with code 3 at 256 nodes"),
    fakes.sleep_from_256: (Status.TIME, "no answer within 4 s at 256 nodes"),
}


def measure(*implementations: Implementation, **settings: Any) -> dict[Any, Measurement]:
    defaults = {"repeats": 1, "time_limit": 2.0, "memory_limit": 1.0, "threads": 1}
    measurements = run(Settings(SIZES, implementations, **defaults | settings))
    return {(m.implementation, m.nodes): m for batch in measurements for m in batch}


def test_implementations_beyond_a_limit_are_cut_off_and_the_run_continues() -> None:
    results = measure(*map(fakes.make_fake, CUT_BY), fakes.make_fake(fakes.idle))
    for function, (status, note) in CUT_BY.items():
        name = function.__name__
        statuses = [results[name, size].status for size in SIZES]
        assert statuses == [Status.MEASURED, status, status], name
        assert results[name, 512].note.endswith(note)
    assert [results["idle", size].status for size in SIZES] == [Status.MEASURED] * 3


def test_limits_hold_while_preparing() -> None:
    results = measure(fakes.make_fake(fakes.allocate_from_256, fakes.FakePrepared))
    small, large, _ = results.values()
    assert (large.status, small.status) == (Status.MEMORY, Status.MEASURED)
    assert small.entries_per_node == 3
    assert small.prepare is not None


def test_a_process_that_the_system_killed_ran_out_of_memory() -> None:
    worker = Worker(fakes.make_fake(fakes.idle), 64, Settings(threads=1, memory_limit=1))
    worker.prepare(20)
    worker._process.kill()
    worker._process.join()
    with pytest.raises(CutOffError, match="killed by the system") as error:
        worker.ask(Bench.first_call, 20)
    worker.close()
    assert error.value.status is Status.MEMORY


def test_a_size_that_is_predicted_to_be_slow_is_not_tried() -> None:
    results = measure(fakes.make_fake(fakes.sleep_quadratically), time_limit=0.5)
    small, large = (results["sleep_quadratically", size] for size in (256, 512))
    assert small.status is Status.MEASURED
    assert (large.status, large.first) == (Status.TIME, None)
    assert large.note.startswith("not tried")


@pytest.mark.parametrize("cpu_time", [False, True])
def test_cpu_time_does_not_include_waiting(cpu_time: bool) -> None:
    settings = Settings(threads=1, cpu_time=cpu_time)
    worker = Worker(fakes.make_fake(fakes.sleep_half_a_second), 128, settings)
    worker.prepare(20)
    seconds = worker.ask(Bench.first_call, 20)["first"]
    worker.close()
    assert (seconds < 0.5) == cpu_time


def test_peak_memory_is_that_of_the_call() -> None:
    results = measure(fakes.make_fake(fakes.allocate_64_mib), fakes.make_fake(fakes.idle))
    assert results["allocate_64_mib", 128].peak == pytest.approx(64, rel=0.1)
    assert results["idle", 128].peak == pytest.approx(0, abs=4)


def test_without_rounds_one_process_is_alive_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[int] = [0]

    class CountingWorker(Worker):
        def __init__(self, *task: Any) -> None:
            alive.append(alive[-1] + 1)
            super().__init__(*task)

        def close(self) -> None:
            alive.append(alive[-1] - 1)
            super().close()

    monkeypatch.setattr(scaling, "Worker", CountingWorker)
    functions = fakes.idle, fakes.allocate_64_mib
    result = measure(*map(fakes.make_fake, functions), repeats=0)["allocate_64_mib", 512]
    assert (alive[-1], max(alive)) == (0, 1)
    assert result.peak == pytest.approx(64, rel=0.1)
    assert (result.both, result.status) == ((), Status.MEASURED)


def test_rounds_are_interleaved(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[tuple[str, bool]] = []

    class LoggingWorker:
        def __init__(self, implementation: Implementation, nodes: int, settings: Settings) -> None:
            self.name = implementation.name

        def prepare(self, seconds: float) -> dict[str, int]:
            return {"edges": 5}

        def ask(self, request: Any, seconds: float) -> Any:
            if request is Bench.first_call:
                return {"first": 2.0, "peak": 1.0}
            log.append((self.name, request.keywords["backward"]))
            return float(len(log))

        def close(self) -> None:
            pass

    monkeypatch.setattr(scaling, "Worker", LoggingWorker)
    pair = [fakes.Fake(name, "", fakes.idle) for name in "ab"]
    (measured,) = run(Settings([64], pair, repeats=2, threads=1))
    assert log == [(name, backward) for name in "abab" for backward in (False, True)]
    assert [measurement.both for measurement in measured] == [(2, 6), (4, 8)]
    # The time limit ends the rounds, but not before the third.
    (measured,) = run(Settings([64], pair[:1], repeats=9, time_limit=1.0, threads=1))
    assert len(measured[0].both) == 3


def test_walks_are_the_same_for_the_same_seed() -> None:
    def entries(seed: int) -> int | None:
        walk = find_implementations(["walk"])
        ((measurement,),) = run(Settings([128], walk, threads=1, repeats=0, seed=seed))
        return measurement.entries

    assert entries(1) == entries(1) != entries(2)


def test_settings_sort_sizes_count_memory_and_reorder_nodes() -> None:
    settings = Settings([256, 64, 256], memory_limit=0.5)
    assert (settings.nodes, settings.memory_bytes) == ((64, 256), 2**29)
    assert Settings().memory_bytes > 0
    edges = [Settings(reorder=x).make_problem(500, 0, "cpu").edge_index for x in (False, True)]
    bandwidth, reordered = (float(index.diff(dim=0).abs().double().mean()) for index in edges)
    assert reordered < bandwidth / 2


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"nodes": [-64]}, ValueError, "`nodes` must be at least 2, got -64"),
        ({"nodes": [64.0]}, TypeError, "`nodes` must be an integer"),
        ({"implementations": []}, ValueError, "`implementations` must be at least one"),
        ({"threads": 0}, ValueError, "`threads` must be at least 1, got 0"),
        ({"repeats": -1}, ValueError, "`repeats` must be at least 0, got -1"),
        ({"time_limit": -1.0}, ValueError, "`time_limit` must be positive and finite, got -1.0"),
        ({"memory_limit": float("nan")}, ValueError, "`memory_limit` must be positive and finite"),
        ({"device": "tpu"}, ValueError, "`device` must be 'cpu' or a CUDA device"),
        ({"device": "cuda:99"}, ValueError, "`device` must be one of the"),
    ],
)
def test_settings_are_checked(wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Settings(**wrong)
