from __future__ import annotations

import gc

import pytest

from graphmask.benchmark import turns
from graphmask.benchmark.statistics import Spread
from graphmask.benchmark.turns import count_calls, time_in_turn


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.log = 0.0, ""
        monkeypatch.setattr(turns, "perf_counter", lambda: self.now)

    def spend(self, name: str, *seconds: float):
        """A call that takes these times, the last of them from then on."""
        left = list(seconds)

        def call() -> None:
            self.log += name
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_long_calls_are_warmed_up_once_and_then_taken_in_turn(clock: Clock) -> None:
    a, b = time_in_turn(
        [clock.spend("a", 9.0, 2.0, 3.0, 4.0), clock.spend("b", 5.0)], rounds=3, seconds=100
    )
    assert clock.log == "ab" + "ab" * 3
    assert a == (2, 3, 4)
    assert b == (5, 5, 5)


def test_short_calls_are_timed_together(clock: Clock) -> None:
    (a,) = time_in_turn([clock.spend("a", 0.5, 0.02)], rounds=2, seconds=100)
    assert clock.log == "aa" + "aaa" * 2
    assert a == pytest.approx((0.02, 0.02))


def test_rounds_end_with_the_time_but_are_three(clock: Clock) -> None:
    for limit, rounds in ((1, 3), (11, 6)):
        (found,) = time_in_turn([clock.spend("a", 2.0)], rounds=10, seconds=limit)
        assert len(found) == rounds


def test_garbage_of_before_is_watched_again_afterwards() -> None:
    with pytest.raises(ZeroDivisionError):
        time_in_turn([lambda: 1 / 0], rounds=1, seconds=1)
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize(
    ("seconds", "calls"), [(0.0, 50), (0.01, 5), (0.03, 2), (0.05, 1), (7.0, 1)]
)
def test_calls_to_time_together(seconds: float, calls: int) -> None:
    assert count_calls(seconds) == calls


def test_spread_of_one_value_is_that_value() -> None:
    assert Spread.of([2.0]) == (2, 2, 2)
    assert Spread.of([1.0, 2.0]) == (1.5, 1.25, 1.75)
