"""The scaling run: all implementations, size by size, in interleaved rounds, until a limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from .implementations import Implementation
from .memory import MIB
from .results import QUANTITIES, Measurement, Status, extrapolate
from .settings import Settings
from .worker import Bench, CutOffError, Worker

# What is built once per graph may take this many times the limit of a call.
_PREPARE_SHARE = 10

# The first call may compile, and returns freed memory at once.
_FIRST_SHARE = 2

# Time limits end the rounds of a size from here on.
_FEWEST_ROUNDS = 3

# A shorter call is timed as the mean of several that take this many seconds together; one of more
# than _LONG seconds is not repeated as a warm-up.
_SHORTEST, _MOST_CALLS, _LONG = 0.05, 50, 1.0

Progress = Callable[[str], object]


def run(settings: Settings, progress: Progress = lambda _: None) -> Iterator[list[Measurement]]:
    """Measure, size by size.

    Every implementation has a process of its own at every size. Its first forward and backward call
    there gives the peak of memory; then interleaved rounds over all implementations of the size
    give the times, so that a drift of the machine meets all of them. An implementation that exceeds
    a limit at one size, or would by the power law through its last two sizes, is skipped from there
    on.

    Scripts must call this under ``if __name__ == "__main__":``, as :mod:`multiprocessing` requires.

    Args:
        settings: of the run.
        progress: called with short texts about the present step.

    Yields:
        The measurements of one size, smallest first.

    Example:
        >>> from graphmask.benchmark import Settings, find_implementations, run
        >>> settings = Settings([1024, 2048], find_implementations(["walk", "performer"]))
        >>> for measurements in run(settings):  # doctest: +SKIP
        ...     print([(each.implementation, each.both_seconds) for each in measurements])
    """
    history: dict[str, list[Measurement]] = {
        implementation.name: [] for implementation in settings.implementations
    }
    for nodes in settings.nodes:
        attempts = [
            _Attempt(implementation, nodes, settings, history[implementation.name])
            for implementation in settings.implementations
        ]
        try:
            measurements = _measure(attempts, settings.repeats, progress)
        finally:
            for attempt in attempts:
                attempt.close()
        for measurement in measurements:
            history[measurement.implementation].append(measurement)
        yield measurements


def _measure(attempts: list[_Attempt], repeats: int, progress: Progress) -> list[Measurement]:
    for attempt in attempts:
        progress(f"{attempt.nodes:,} nodes: memory of {attempt.name}")
        attempt.try_step(attempt.start)
        if not repeats:
            # Memory of the next process is limited by what this one holds.
            attempt.close()
    for index in range(repeats):
        for attempt in attempts:
            if attempt.wants_round:
                progress(f"{attempt.nodes:,} nodes: round {index + 1}/{repeats}, {attempt.name}")
                attempt.try_step(attempt.run_round)
    return [attempt.measurement() for attempt in attempts]


class _Attempt:
    """One implementation at one size, through its rounds."""

    def __init__(
        self,
        implementation: Implementation,
        nodes: int,
        settings: Settings,
        history: list[Measurement],
    ) -> None:
        self.name, self.nodes = implementation.name, nodes
        self._implementation, self._settings = implementation, settings
        self._cut = predict_cut(history, nodes, settings)
        self._worker: Worker | None = None
        self._costs: dict[str, Any] = {}
        self._forward: list[float] = []
        self._both: list[float] = []

    def try_step(self, step: Callable[[], None]) -> None:
        """Run a step unless the implementation is cut off; a limit that it exceeds cuts it off."""
        if self._cut is not None:
            return
        try:
            step()
        except CutOffError as cut:
            self._cut = CutOffError(cut.status, f"{cut.note} at {self.nodes:,} nodes")
            self.close()

    def start(self) -> None:
        """Start the process, prepare, and make the first call."""
        limit = self._settings.time_limit
        self._worker = Worker(self._implementation, self.nodes, self._settings)
        self._costs |= self._worker.prepare(_PREPARE_SHARE * limit)
        self._costs |= self._worker.ask(Bench.first_call, _FIRST_SHARE * limit)

    @property
    def wants_round(self) -> bool:
        """Whether to measure again: not if cut off, nor if three rounds took the time limit."""
        spent = sum(self._forward) + sum(self._both)
        few = len(self._both) < _FEWEST_ROUNDS
        return self._cut is None and (few or spent < self._settings.time_limit)

    def run_round(self) -> None:
        """Time a forward call, then a forward and backward one; several of each if short."""
        assert self._worker is not None
        expected = min(self._both, default=self._costs["first"])
        count, warm = count_calls(expected), expected < _LONG
        for backward, samples in ((False, self._forward), (True, self._both)):
            request = partial(Bench.mean_seconds, backward=backward, count=count, warm=warm)
            samples.append(self._worker.ask(request, self._settings.time_limit * (count + warm)))

    def measurement(self) -> Measurement:
        """Collect the results; rounds that a cut left incomplete do not count."""
        library, cut = self._implementation.library, self._cut
        measurement = Measurement(self.name, library, self.nodes, **self._costs)
        if cut is not None:
            return replace(measurement, status=cut.status, note=cut.note)
        return replace(measurement, forward=tuple(self._forward), both=tuple(self._both))

    def close(self) -> None:
        """End the process."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


def count_calls(seconds: float) -> int:
    """Count the calls of this length to time together."""
    return min(math.ceil(_SHORTEST / max(seconds, 1e-6)), _MOST_CALLS)


def predict_cut(
    history: Sequence[Measurement], nodes: int, settings: Settings
) -> CutOffError | None:
    """Return the reason not to try a larger size, or None.

    A smaller size exceeded a limit, or the power law through the last two does.
    """
    if history and history[-1].status is not Status.MEASURED:
        return CutOffError(history[-1].status, history[-1].note)
    for name, limit, status in (
        ("both" if settings.repeats else "first", settings.time_limit * 1e3, Status.TIME),
        ("peak", settings.memory_bytes / MIB, Status.MEMORY),
    ):
        quantity = QUANTITIES[name]
        expected = extrapolate(quantity.values(history), nodes)
        if expected is not None and expected > limit:
            note = f"not tried: {expected:,.0f} {quantity.unit} expected at {nodes:,} nodes"
            return CutOffError(status, note)
    return None
