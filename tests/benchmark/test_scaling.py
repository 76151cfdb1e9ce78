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


def _run(
    implementations: list[Implementation], **settings: Any
) -> dict[tuple[str, int], Measurement]:
    chosen = Settings(
        SIZES,
        implementations,
        threads=1,
        **{"repeats": 1, "time_limit": 20.0, "memory_limit": 1.0} | settings,
    )
    return {(each.implementation, each.nodes): each for found in run(chosen) for each in found}


def test_a_slow_implementation_is_cut_and_the_run_goes_on(fakes: ModuleType) -> None:
    slow, good = fakes.Fake("slow", fakes.sleep_from_256), fakes.Fake("good", fakes.rest)
    found = _run([slow, good], time_limit=1.0)
    assert found["slow", 128].status is Status.MEASURED
    assert found["slow", 256].note == "no answer within 2 s at 256 nodes"
    assert [found["slow", size].status for size in SIZES[1:]] == [Status.TIME, Status.TIME]
    assert [found["good", size].status for size in SIZES] == [Status.MEASURED] * 3


def test_a_memory_hog_is_cut_and_the_run_goes_on(fakes: ModuleType) -> None:
    hog, good = fakes.Fake("hog", fakes.hoard_from_256), fakes.Fake("good", fakes.rest)
    found = _run([hog, good])
    assert [found["hog", size].status for size in SIZES] == [
        Status.MEASURED,
        Status.MEMORY,
        Status.MEMORY,
    ]
    assert "at 256 nodes" in found["hog", 512].note
    assert found["good", 512].status is Status.MEASURED


def test_a_hog_that_prepares_is_cut_too(fakes: ModuleType) -> None:
    found = _run([fakes.FakePrepared("hog", fakes.hoard_from_256)])
    assert [found["hog", size].status for size in SIZES] == [
        Status.MEASURED,
        Status.MEMORY,
        Status.MEMORY,
    ]
    assert found["hog", 128].prepare is not None
    assert found["hog", 128].entries_per_node == 3


@pytest.mark.parametrize(
    ("act", "note"),
    [
        ("fail_from_256", "RuntimeError: the fake failed at 256 nodes"),
        ("die_from_256", "ended with code 3 at 256 nodes"),
    ],
)
def test_a_failure_is_told_and_the_run_goes_on(fakes: ModuleType, act: str, note: str) -> None:
    found = _run([fakes.Fake("bad", getattr(fakes, act)), fakes.Fake("good", fakes.rest)])
    assert [found["bad", size].status for size in SIZES] == [
        Status.MEASURED,
        Status.FAILED,
        Status.FAILED,
    ]
    assert found["bad", 512].note.endswith(note)
    assert found["good", 512].status is Status.MEASURED


def test_a_process_that_died_in_silence_is_noticed(fakes: ModuleType) -> None:
    worker = Worker(fakes.Fake("good", fakes.rest), 64, Settings(threads=1, memory_limit=1))
    worker.prepare(20)
    worker._process.kill()
    worker._process.join()
    with pytest.raises(CutOffError, match="killed by the system") as caught:
        worker.ask(Bench.first_call, 20)
    worker.close()
    assert caught.value.status is Status.MEMORY


def test_what_is_foreseen_to_be_slow_is_not_tried(fakes: ModuleType) -> None:
    found = _run([fakes.Fake("quadratic", fakes.sleep_quadratically)], time_limit=0.5)
    assert found["quadratic", 256].status is Status.MEASURED
    assert found["quadratic", 512].status is Status.TIME
    assert found["quadratic", 512].note.startswith("not tried")
    assert found["quadratic", 512].first is None


def test_time_of_processors_leaves_out_waiting(fakes: ModuleType) -> None:
    found = _run([fakes.Fake("sleeper", fakes.sleep_quadratically)], cpu_time=True)["sleeper", 512]
    assert found.both_seconds is not None
    assert found.both_seconds < 0.4 < 3e-6 * 512**2


def test_peak_memory_is_that_of_the_call(fakes: ModuleType) -> None:
    found = _run([fakes.Fake("hog", fakes.hoard_64_mib), fakes.Fake("good", fakes.rest)])
    assert found["hog", 128].peak == pytest.approx(64, rel=0.1)
    assert found["good", 128].peak == pytest.approx(0, abs=4)


def test_without_rounds_only_one_process_is_alive_at_a_time(
    fakes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, most = 0, 0

    class Counted(Worker):
        def __init__(self, *task: Any) -> None:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            super().__init__(*task)

        def close(self) -> None:
            nonlocal alive
            alive -= 1
            super().close()

    monkeypatch.setattr("graphmask.benchmark.scaling.Worker", Counted)
    found = _run([fakes.Fake("one", fakes.rest), fakes.Fake("two", fakes.hoard_64_mib)], repeats=0)
    assert (alive, most) == (0, 1)
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
    fake = [fakes.Fake("a", fakes.rest), fakes.Fake("b", fakes.rest)]
    (measured,) = run(Settings([64], fake, repeats=2, threads=1))
    assert log == [(name, backward) for name in "abab" for backward in (False, True)]
    assert [each.both for each in measured] == [(2, 6), (4, 8)]
    # Three rounds at least, whatever they take; then the limit of time ends them.
    (measured,) = run(Settings([64], fake[:1], repeats=9, time_limit=1.0, threads=1))
    assert len(measured[0].both) == 3


def test_walks_are_the_same_for_the_same_seed() -> None:
    def entries(seed: int) -> list[int | None]:
        chosen = Settings([128], find_implementations(["walk"]), threads=1, repeats=1, seed=seed)
        return [each.entries for found in run(chosen) for each in found]

    assert entries(1) == entries(1) != entries(2)


def test_settings_sort_sizes_and_count_memory() -> None:
    settings = Settings([256, 64, 256], memory_limit=0.5)
    assert settings.nodes == (64, 256)
    assert settings.memory_bytes == 2**29
    assert Settings().memory_bytes > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nodes": [-64]}, "`nodes` must be at least 2, got -64"),
        ({"nodes": []}, "`nodes` must be at least one"),
        ({"implementations": []}, "`implementations` must be at least one"),
        ({"threads": 0}, "`threads` must be at least 1, got 0"),
        ({"repeats": -1}, "`repeats` must be at least 0, got -1"),
        ({"time_limit": -1.0}, "`time_limit` must be positive and finite, got -1.0"),
        ({"memory_limit": float("nan")}, "`memory_limit` must be positive and finite, got nan"),
        (
            {"device": "tpu"},
            "`device` must be 'cpu' or a CUDA device such as 'cuda' or 'cuda:1', got tpu",
        ),
        ({"device": "cuda:99"}, "`device` must be one of the"),
    ],
)
def test_settings_refuse(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**wrong)


@pytest.mark.parametrize("wrong", [{"nodes": [64.0]}, {"device": 3}])
def test_settings_refuse_types(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="must be a"):
        Settings(**wrong)
