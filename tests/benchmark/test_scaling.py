from __future__ import annotations

from types import ModuleType
from typing import Any

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
    "hoard_from_256": (Status.MEMORY, "at 256 nodes"),
    "fail_from_256": (Status.FAILED, "RuntimeError: the fake failed at 256 nodes"),
    "die_from_256": (Status.FAILED, "ended with code 3 at 256 nodes"),
    "sleep_from_256": (Status.TIME, "no answer within 4 s at 256 nodes"),
}


def measure(*implementations: Implementation, **settings: Any) -> dict[Any, Measurement]:
    defaults = {"repeats": 1, "time_limit": 2.0, "memory_limit": 1.0, "threads": 1}
    chosen = Settings(SIZES, implementations, **defaults | settings)
    return {(each.implementation, each.nodes): each for found in run(chosen) for each in found}


def test_what_exceeds_a_limit_is_cut_off_and_the_run_goes_on(fakes: ModuleType) -> None:
    bad = [fakes.Fake(act, "", getattr(fakes, act)) for act in CUT_BY]
    found = measure(*bad, fakes.Fake("good", "", fakes.rest))
    for name, (status, note) in CUT_BY.items():
        statuses = [found[name, size].status for size in SIZES]
        assert statuses == [Status.MEASURED, status, status], name
        assert found[name, 512].note.endswith(note)
    assert [found["good", size].status for size in SIZES] == [Status.MEASURED] * 3


def test_limits_hold_while_preparing(fakes: ModuleType) -> None:
    found = measure(fakes.FakePrepared("hog", "", fakes.hoard_from_256))
    statuses = [found["hog", size].status for size in SIZES]
    assert statuses == [Status.MEASURED, Status.MEMORY, Status.MEMORY]
    assert found["hog", 128].prepare is not None
    assert found["hog", 128].entries_per_node == 3


def test_a_process_that_was_killed_is_noticed(fakes: ModuleType) -> None:
    worker = Worker(fakes.Fake("good", "", fakes.rest), 64, Settings(threads=1, memory_limit=1))
    worker.prepare(20)
    worker._process.kill()
    worker._process.join()
    with pytest.raises(CutOffError, match="killed by the system") as caught:
        worker.ask(Bench.first_call, 20)
    worker.close()
    assert caught.value.status is Status.MEMORY


def test_a_size_that_is_predicted_to_be_slow_is_not_tried(fakes: ModuleType) -> None:
    found = measure(fakes.Fake("quadratic", "", fakes.sleep_quadratically), time_limit=0.5)
    assert found["quadratic", 256].status is Status.MEASURED
    assert found["quadratic", 512].status is Status.TIME
    assert found["quadratic", 512].note.startswith("not tried")
    assert found["quadratic", 512].first is None


def test_cpu_time_leaves_out_waiting(fakes: ModuleType) -> None:
    sleeper = fakes.Fake("sleeper", "", fakes.sleep_20_ms)
    for cpu_time in (False, True):
        (measured,) = run(Settings([128], [sleeper], threads=1, repeats=1, cpu_time=cpu_time))
        assert (measured[0].both_seconds < 0.01) == cpu_time


def test_peak_memory_is_that_of_the_call(fakes: ModuleType) -> None:
    found = measure(fakes.Fake("hog", "", fakes.hoard_64_mib), fakes.Fake("good", "", fakes.rest))
    assert found["hog", 128].peak == pytest.approx(64, rel=0.1)
    assert found["good", 128].peak == pytest.approx(0, abs=4)


def test_without_rounds_one_process_is_alive_at_a_time(
    fakes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[int] = [0]

    class Counted(Worker):
        def __init__(self, *task: Any) -> None:
            alive.append(alive[-1] + 1)
            super().__init__(*task)

        def close(self) -> None:
            alive.append(alive[-1] - 1)
            super().close()

    monkeypatch.setattr(scaling, "Worker", Counted)
    found = measure(
        fakes.Fake("one", "", fakes.rest), fakes.Fake("two", "", fakes.hoard_64_mib), repeats=0
    )
    assert (alive[-1], max(alive)) == (0, 1)
    assert found["two", 512].peak == pytest.approx(64, rel=0.1)
    assert (found["two", 512].both, found["two", 512].status) == ((), Status.MEASURED)


def test_rounds_are_interleaved(fakes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[tuple[str, bool]] = []

    class Logging:
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

    monkeypatch.setattr(scaling, "Worker", Logging)
    pair = [fakes.Fake("a", "", fakes.rest), fakes.Fake("b", "", fakes.rest)]
    (measured,) = run(Settings([64], pair, repeats=2, threads=1))
    assert log == [(name, backward) for name in "abab" for backward in (False, True)]
    assert [each.both for each in measured] == [(2, 6), (4, 8)]
    # The time limit ends the rounds, but not before the third.
    (measured,) = run(Settings([64], pair[:1], repeats=9, time_limit=1.0, threads=1))
    assert len(measured[0].both) == 3


def test_walks_are_the_same_for_the_same_seed() -> None:
    def entries(seed: int) -> list[int | None]:
        chosen = Settings([128], find_implementations(["walk"]), threads=1, repeats=0, seed=seed)
        return [each.entries for found in run(chosen) for each in found]

    assert entries(1) == entries(1) != entries(2)


def test_settings_sort_sizes_and_count_memory() -> None:
    settings = Settings([256, 64, 256], memory_limit=0.5)
    assert (settings.nodes, settings.memory_bytes) == ((64, 256), 2**29)
    assert Settings().memory_bytes > 0
    edges = [Settings(reorder=x).make_problem(500, 0, "cpu").edge_index for x in (False, True)]
    apart = [float((index[0] - index[1]).abs().double().mean()) for index in edges]
    assert apart[1] < apart[0] / 2


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"nodes": [-64]}, ValueError, "`nodes` must be at least 2, got -64"),
        ({"nodes": []}, ValueError, "`nodes` must be at least one"),
        ({"nodes": [64.0]}, TypeError, "`nodes` must be an integer"),
        ({"implementations": []}, ValueError, "`implementations` must be at least one"),
        ({"threads": 0}, ValueError, "`threads` must be at least 1, got 0"),
        ({"repeats": -1}, ValueError, "`repeats` must be at least 0, got -1"),
        ({"time_limit": -1.0}, ValueError, "`time_limit` must be positive and finite, got -1.0"),
        ({"memory_limit": float("nan")}, ValueError, "`memory_limit` must be positive and finite"),
        ({"device": "tpu"}, ValueError, "`device` must be 'cpu' or a CUDA device"),
        ({"device": "cuda:99"}, ValueError, "`device` must be one of the"),
        ({"device": 3}, TypeError, "`device` must be a string"),
    ],
)
def test_settings_are_checked(wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Settings(**wrong)
