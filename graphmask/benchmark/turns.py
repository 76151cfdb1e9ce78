"""Times of calls taken in turn, so that whatever the machine does besides meets all of them alike."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

import torch

# A call shorter than this is timed as the mean of several that take as long together.
_SHORTEST = 0.05

_MOST_CALLS = 50

# Calls longer than this are not run an extra time before they are timed.
LONG = 1.0

# Rounds are as many as asked for, or as fit the time, but no fewer than these unless fewer are
# asked for.
FEWEST_ROUNDS = 3

Call = Callable[[], object]


def count_calls(seconds: float) -> int:
    """How many calls of this length to time together.

    Example:
        >>> count_calls(0.02), count_calls(3.0)
        (3, 1)
    """
    return min(math.ceil(_SHORTEST / max(seconds, 1e-6)), _MOST_CALLS)


def time_in_turn(
    calls: Sequence[Call], rounds: int, seconds: float, synchronize: Call = lambda: None
) -> list[tuple[float, ...]]:
    """Seconds per call: A, B, A, B, ..., after a warm-up of each.

    Args:
        calls: A, B, ...
        rounds: at most.
        seconds: after which no round begins, from the fourth on.
        synchronize: waits until a call has ended, where calls return before they have.

    Returns:
        For each call its seconds in every round: those of one round stand at equal places.

    Example:
        >>> a, b = time_in_turn([lambda: sum(range(10)), lambda: sum(range(100))], rounds=5, seconds=1.0)
        >>> len(a) == len(b) >= 3
        True
    """
    times: list[list[float]] = [[] for _ in calls]
    with _collector_at_rest():
        numbers = [count_calls(_warm_up(call, synchronize)) for call in calls]
        start = perf_counter()
        for number_of_round in range(rounds):
            if number_of_round >= FEWEST_ROUNDS and perf_counter() - start > seconds:
                break
            for call, number, found in zip(calls, numbers, times, strict=True):
                found.append(_time(call, number, synchronize))
    return [tuple(found) for found in times]


def synchronizer(device: str | torch.device) -> Call:
    """What waits for the calls of a device."""
    index = torch.device(device)
    return (lambda: torch.cuda.synchronize(index)) if index.type == "cuda" else (lambda: None)


def _warm_up(call: Call, synchronize: Call) -> float:
    """The first call compiles and builds what later ones find ready.

    It says how long those take only where it is long.
    """
    first = _time(call, 1, synchronize)
    return first if first > LONG else _time(call, 1, synchronize)


def _time(call: Call, number: int, synchronize: Call) -> float:
    synchronize()
    start = perf_counter()
    for _ in range(number):
        call()
    synchronize()
    return (perf_counter() - start) / number


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """What was made before is not looked through for garbage in between.

    That would take as long as a call.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
