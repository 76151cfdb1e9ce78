"""The run: all contenders at one size after the other, in interleaved rounds, each until it exceeds a limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from graphmask._checks import check_integer, value_error
from graphmask._machine import GIB, check_device, total_memory

from .contenders import CONTENDERS, Contender
from .measure import Bench, Case, CutOffError, FirstCall, Prepared
from .memory import MIB
from .results import QUANTITIES, Measurement, Status, extrapolate
from .turns import FEWEST_ROUNDS, LONG, count_calls
from .worker import Worker

# What is made once per graph may take this many times the limit of a call.
_PREPARE_SHARE = 10

# The first call builds what later calls find ready, and gives freed memory back at once.
_FIRST_SHARE = 2

Progress = Callable[[str], object]


@dataclass(frozen=True)
class Settings:
    """What to measure, and until when.

    Args:
        nodes: sizes, any order. (default: powers of two from 1,024 to 131,072)
        contenders: see :data:`CONTENDERS`. (default: all)
        device: ``"cpu"`` or a CUDA device.
        threads: of torch. (default: :obj:`None`, torch's own choice)
        repeats: rounds; a contender whose calls have taken ``time_limit`` together stops after
            three. None: nothing but memory is measured.
        time_limit: seconds that a forward and backward call may take.
        memory_limit: GiB above the baseline. (default: :obj:`None`, half of the memory of the
            machine or device)
        seed: of points, features and parameters.
        reorder: whether nodes come in the order that :class:`~graphmask.transforms.ReorderNodes`
            gives. (default: :obj:`False`)
        keep_memory: whether timed processes on CPU keep all memory that they free, as with the
            environment variables ``MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1``. (default:
            :obj:`False`, blocks up to 32 MiB, as glibc does)
        cpu_time: whether times are those that processors worked, all threads together, instead of
            those that passed: on a machine that does other things, with one thread. Limits are of
            the time that passes. (default: :obj:`False`)

    Raises:
        TypeError: for arguments of a wrong type.
        ValueError: for sizes below 2, none of them, no contenders, limits that are not positive, an
            absent device.

    Example:
        >>> from graphmask.benchmark import Settings
        >>> Settings(nodes=(4096, 1024), memory_limit=2).nodes
        (1024, 4096)
    """

    nodes: Sequence[int] = tuple(2**power for power in range(10, 18))
    contenders: Sequence[Contender] = CONTENDERS
    device: str = "cpu"
    threads: int | None = None
    repeats: int = 5
    time_limit: float = 30.0
    memory_limit: float | None = None
    seed: int = 0
    reorder: bool = False
    keep_memory: bool = False
    cpu_time: bool = False

    def __post_init__(self) -> None:
        sizes = sorted({check_integer("nodes", size, 2) for size in self.nodes})
        for name, found in (("nodes", sizes), ("contenders", self.contenders)):
            if not found:
                raise value_error(name, "at least one", found)
        check_integer("repeats", self.repeats, 0)
        check_integer("seed", self.seed, 0)
        if self.threads is not None:
            check_integer("threads", self.threads, 1)
        check_device(self.device)
        for name in ("time_limit", "memory_limit"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise value_error(name, "positive and finite", value)
        self.__dict__["nodes"] = tuple(sizes)

    @property
    def memory_bytes(self) -> int:
        """The limit of memory."""
        return (
            total_memory(self.device) // 2
            if self.memory_limit is None
            else int(self.memory_limit * GIB)
        )


def run(settings: Settings, progress: Progress = lambda _: None) -> Iterator[list[Measurement]]:
    """Measure, size by size.

    Every contender has a process of its own at every size. Its first forward and backward call
    there gives the peak of memory; then rounds over all contenders of the size, in turn, give the
    times, so that a drift of the machine meets all alike. A contender that exceeds a limit at one
    size, or would by the power law through its last two sizes, is skipped from there on.

    Scripts must call this under ``if __name__ == "__main__":``, as :mod:`multiprocessing` asks.

    Args:
        settings: what to measure.
        progress: is told what is going on, in short texts.

    Yields:
        The measurements of one size, smallest first.

    Example:
        >>> from graphmask.benchmark import Settings, find_contenders, run
        >>> settings = Settings(nodes=[1024, 2048], contenders=find_contenders(["walk", "performer"]))
        >>> for measurements in run(settings):  # doctest: +SKIP
        ...     print([f"{each.contender}: {each.both_seconds:.4f} s" for each in measurements])
    """
    history: dict[str, list[Measurement]] = {
        contender.name: [] for contender in settings.contenders
    }
    for nodes in settings.nodes:
        entrants = [
            _Entrant(contender, nodes, settings, history[contender.name])
            for contender in settings.contenders
        ]
        try:
            found = _measure(entrants, settings.repeats, progress)
        finally:
            for entrant in entrants:
                entrant.close()
        for each in found:
            history[each.contender].append(each)
        yield found


def _measure(entrants: list[_Entrant], repeats: int, progress: Progress) -> list[Measurement]:
    for entrant in entrants:
        progress(f"{entrant.nodes:,} nodes: memory of {entrant.name}")
        entrant.attempt(entrant.start)
        if not repeats:
            # What it holds is in the way of the next one.
            entrant.close()
    for number in range(repeats):
        for entrant in entrants:
            if entrant.wants_round:
                progress(
                    f"{entrant.nodes:,} nodes: round {number + 1} of {repeats}, {entrant.name}"
                )
                entrant.attempt(entrant.round)
    return [entrant.measurement() for entrant in entrants]


class _Entrant:
    """A contender at one size, on its way through the rounds."""

    def __init__(
        self, contender: Contender, nodes: int, settings: Settings, history: list[Measurement]
    ) -> None:
        self.name, self.nodes = contender.name, nodes
        self._contender, self._settings = contender, settings
        self._cut = foresee(history, nodes, settings)
        self._worker: Worker | None = None
        self._prepared: Prepared | None = None
        self._first: FirstCall | None = None
        self._forward: list[float] = []
        self._both: list[float] = []

    def attempt(self, step: Callable[[], None]) -> None:
        """A step, unless this contender is out; a limit that it exceeds puts it out."""
        if self._cut is not None:
            return
        try:
            step()
        except CutOffError as cut:
            self._cut = CutOffError(cut.status, f"{cut.note} at {self.nodes:,} nodes")
            self.close()

    def start(self) -> None:
        """A process, what is made once, and the first call."""
        limit = self._settings.time_limit
        self._worker = Worker(self._case())
        self._prepared = self._worker.prepared(_PREPARE_SHARE * limit)
        self._first = self._worker.ask(Bench.first_call, _FIRST_SHARE * limit)

    @property
    def wants_round(self) -> bool:
        """Whether to measure again.

        Not when cut off, and not when calls are so long that three rounds must do.
        """
        spent = sum(self._forward) + sum(self._both)
        return self._cut is None and (
            len(self._both) < FEWEST_ROUNDS or spent < self._settings.time_limit
        )

    def round(self) -> None:
        """A forward call, then a forward and backward one, several of each where they are short."""
        assert self._worker is not None
        assert self._first is not None
        expected = min(self._both, default=self._first.seconds)
        number, warm = count_calls(expected), expected < LONG
        for backward, found in ((False, self._forward), (True, self._both)):
            request = partial(Bench.mean_seconds, backward=backward, number=number, warm=warm)
            found.append(self._worker.ask(request, self._settings.time_limit * (number + warm)))

    def measurement(self) -> Measurement:
        """All that was found; rounds that a cut left incomplete do not count."""
        prepared, first = self._prepared, self._first
        return Measurement(
            self.name,
            self._contender.library,
            self.nodes,
            edges=prepared and prepared.edges,
            status=self._cut.status if self._cut else Status.MEASURED,
            note=self._cut.note if self._cut else "",
            forward=() if self._cut else tuple(self._forward),
            both=() if self._cut else tuple(self._both),
            peak=first and first.peak,
            entries=prepared and prepared.entries,
            prepare=prepared and prepared.seconds,
            prepare_peak=prepared and prepared.peak,
            first=first and first.seconds,
            multiply_adds=prepared and prepared.multiply_adds,
        )

    def close(self) -> None:
        """End the process."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _case(self) -> Case:
        chosen = self._settings
        limits = chosen.threads, chosen.memory_bytes
        habits = chosen.reorder, chosen.keep_memory, chosen.cpu_time
        return Case(self._contender, self.nodes, chosen.seed, chosen.device, *limits, *habits)


def foresee(history: Sequence[Measurement], nodes: int, settings: Settings) -> CutOffError | None:
    """Why a larger size is not tried.

    A smaller one exceeded a limit, or the power law through the last two says so.
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
            return CutOffError(
                status, f"not tried: {expected:,.0f} {quantity.unit} expected at {nodes:,} nodes"
            )
    return None
