"""The scaling run: all implementations, size by size, in interleaved rounds, until a limit."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from .implementations import Implementation
from .memory import MIB
from .results import QUANTITIES, Measurement, Status, extrapolate
from .worker import Bench, CutOffError, Settings, Worker

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
    history: dict[str, list[Measurement]] = defaultdict(list)
    for nodes in settings.nodes:
        attempts = []
        for implementation in settings.implementations:
            limit = predict_cut(history[implementation.name], nodes, settings)
            attempts.append(_Attempt(implementation, nodes, settings, limit))
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
        progress(f"{attempt.nodes:,} nodes: memory of {attempt.implementation.name}")
        attempt.try_step(attempt.start)
        if not repeats:
            # Memory of the next process is limited by what this one holds.
            attempt.close()
    for index in range(repeats):
        for attempt in attempts:
            if attempt.wants_round:
                name = attempt.implementation.name
                progress(f"{attempt.nodes:,} nodes: round {index + 1}/{repeats}, {name}")
                attempt.try_step(attempt.run_round)
    return [attempt.measurement() for attempt in attempts]


@dataclass
class _Attempt:
    """One implementation at one size, through its rounds."""

    implementation: Implementation
    nodes: int
    settings: Settings
    cut: CutOffError | None
    worker: Worker | None = None
    costs: dict[str, Any] = field(default_factory=dict)
    forward: list[float] = field(default_factory=list)
    both: list[float] = field(default_factory=list)

    def try_step(self, step: Callable[[], None]) -> None:
        """Run a step unless the implementation is cut off; a limit that it exceeds cuts it off."""
        if self.cut is not None:
            return
        try:
            step()
        except CutOffError as cut:
            self.cut = CutOffError(cut.status, f"{cut.note} at {self.nodes:,} nodes")
            self.close()

    def start(self) -> None:
        """Start the process, prepare, and make the first call."""
        limit = self.settings.time_limit
        self.worker = Worker(self.implementation, self.nodes, self.settings)
        self.costs |= self.worker.prepare(_PREPARE_SHARE * limit)
        self.costs |= self.worker.ask(Bench.first_call, _FIRST_SHARE * limit)

    @property
    def wants_round(self) -> bool:
        """True unless it was cut off, or three rounds took the time limit."""
        spent = sum(self.forward) + sum(self.both)
        few = len(self.both) < _FEWEST_ROUNDS
        return self.cut is None and (few or spent < self.settings.time_limit)

    def run_round(self) -> None:
        """Time a forward call, then a forward and backward one; several of each if short."""
        assert self.worker is not None
        expected = min(self.both, default=self.costs["first"])
        count, warm = count_calls(expected), expected < _LONG
        for backward, samples in ((False, self.forward), (True, self.both)):
            request = partial(Bench.mean_seconds, backward=backward, count=count, warm=warm)
            samples.append(self.worker.ask(request, self.settings.time_limit * (count + warm)))

    def measurement(self) -> Measurement:
        """Collect the results; rounds that a cut left incomplete do not count."""
        name, library = self.implementation.name, self.implementation.library
        measurement = Measurement(name, library, self.nodes, **self.costs)
        if self.cut is not None:
            return replace(measurement, status=self.cut.status, note=self.cut.note)
        return replace(measurement, forward=tuple(self.forward), both=tuple(self.both))

    def close(self) -> None:
        """End the process."""
        if self.worker is not None:
            self.worker.close()
            self.worker = None


def count_calls(seconds: float) -> int:
    """Count the calls of this length to time together."""
    return min(math.ceil(_SHORTEST / max(seconds, 1e-6)), _MOST_CALLS)


def predict_cut(
    history: Sequence[Measurement], nodes: int, settings: Settings
) -> CutOffError | None:
    """Return the limit that a smaller size, or the power law through the last two, exceeds."""
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
