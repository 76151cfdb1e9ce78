"""Settings of a run, and the process that measures one implementation at one size under them."""

from __future__ import annotations

import gc
import math
import multiprocessing
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

import torch

from graphmask._allocator import LARGE, set_allocator
from graphmask._checks import check_integer, value_error
from graphmask._deprecation import deprecated_arguments
from graphmask._machine import GIB, check_device, total_memory

from .graphs import Problem, ordered_sphere_graph
from .implementations import IMPLEMENTATIONS, Implementation, differentiate
from .memory import MIB, memory_of
from .results import Status

T = TypeVar("T")

# Nodes of the trial run that loads code and starts threads before the baseline is taken.
_TRIAL_NODES = 64

# Seconds that importing and the trial run may take.
_START_SECONDS = 300.0

_OUT_OF_MEMORY = re.compile("bad_alloc|out of memory|(can't|cannot|unable to) allocate", re.I)


@deprecated_arguments(contenders="implementations")
@dataclass(frozen=True)
class Settings:
    """Settings and limits of a scaling run.

    Args:
        nodes: sizes, in any order.
        implementations: see :data:`IMPLEMENTATIONS`.
        device: ``"cpu"`` or a CUDA device.
        threads: of torch. (default: :obj:`None`, torch's own choice)
        repeats: rounds; an implementation whose calls have taken ``time_limit`` together stops
            after three. 0 measures memory alone.
        time_limit: seconds that a forward and backward call may take.
        memory_limit: GiB above the baseline. (default: :obj:`None`, half of the memory)
        seed: of points, features and parameters.
        make_problem: builds the graph and its features from N, the seed and the device.
        reorder: whether nodes of the default graph are numbered along a Hilbert curve.
        keep_memory: whether timed processes on CPU keep all memory that they free, as with
            ``MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1``; on graphs of 2**14 nodes and more
            they do in any case.
        cpu_time: whether times are CPU times, summed over threads, instead of wall times: for a
            busy machine, with one thread. Limits are of wall time.

    Raises:
        ValueError: for sizes below 2, no sizes or implementations, limits that are not positive, an
            absent device.

    Example:
        >>> from graphmask.benchmark import Settings
        >>> Settings(nodes=(4096, 1024), memory_limit=2).nodes
        (1024, 4096)
    """

    nodes: Sequence[int] = tuple(2**power for power in range(10, 18))
    implementations: Sequence[Implementation] = IMPLEMENTATIONS
    device: str = "cpu"
    threads: int | None = None
    repeats: int = 5
    time_limit: float = 30.0
    memory_limit: float | None = None
    seed: int = 0
    make_problem: Callable[[int, int, str], Problem] = Problem
    reorder: bool = False
    keep_memory: bool = False
    cpu_time: bool = False

    def __post_init__(self) -> None:
        sizes = tuple(sorted({check_integer("nodes", size, 2) for size in self.nodes}))
        object.__setattr__(self, "nodes", sizes)
        if self.reorder and self.make_problem is Problem:
            ordered = partial(Problem, graph=ordered_sphere_graph)
            object.__setattr__(self, "make_problem", ordered)
        for name in ("nodes", "implementations"):
            if not getattr(self, name):
                raise value_error(name, "at least one", getattr(self, name))
        check_integer("repeats", self.repeats, 0)
        check_integer("seed", self.seed, 0)
        if self.threads is not None:
            check_integer("threads", self.threads, 1)
        check_device(self.device)
        for name in ("time_limit", "memory_limit"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise value_error(name, "positive and finite", value)

    @property
    def memory_bytes(self) -> int:
        """The limit of memory."""
        if self.memory_limit is None:
            return total_memory(self.device) // 2
        return int(self.memory_limit * GIB)


class CutOffError(Exception):
    """The end of a measurement: a status for machines and a note for people."""

    def __init__(self, status: Status, note: str) -> None:
        super().__init__(status, note)
        self.status, self.note = status, note


class Bench:
    """An implementation ready to be measured, inside the worker process.

    ``costs`` are fields of a :class:`~graphmask.benchmark.Measurement` known before the first call.
    """

    def __init__(self, implementation: Implementation, nodes: int, settings: Settings) -> None:
        # Without this, every collection of garbage searches all objects of torch.
        gc.freeze()
        torch.set_default_dtype(torch.float32)
        torch.manual_seed(settings.seed)
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        options = settings.seed, settings.device, settings.make_problem
        trial = implementation.make_problem(min(_TRIAL_NODES, nodes), *options)
        differentiate(implementation.build(trial, implementation.prepare(trial)))
        problem = implementation.make_problem(nodes, *options)
        # Large graphs let the process keep its memory, also where rivals attend to them.
        self._keep = settings.keep_memory or (nodes >= LARGE and set_allocator())
        self._limit = settings.memory_bytes
        self._clock = time.process_time if settings.cpu_time else time.perf_counter
        # The baseline: the graph and the features exist and nothing else.
        self._memory = memory_of(settings.device)
        self._memory.limit(self._limit)
        start = self._clock()
        prepared = implementation.prepare(problem)
        self._memory.synchronize()
        seconds, peak = self._clock() - start, self._memory.peak()
        self._work = implementation.build(problem, prepared)
        self.costs = {
            "edges": problem.num_edges,
            "entries": self._work.entries,
            "multiply_adds": self._work.multiply_adds,
            "prepare": None if prepared is None else seconds,
            "prepare_peak": None if prepared is None else peak,
        }
        self._check_limit(peak)

    def first_call(self) -> dict[str, float]:
        """Run forward and backward once, and read the peak of memory."""
        self._memory.reset()
        costs = {"first": self._time(self._both), "peak": self._memory.peak()}
        self._memory.relax(self._keep)
        self._check_limit(costs["peak"])
        return costs

    def mean_seconds(self, backward: bool, count: int, warm: bool) -> float:
        """Average over ``count`` calls, after one that is not timed where ``warm``."""
        call = self._both if backward else self._forward
        if warm:
            call()
        seconds = self._time(lambda: [call() for _ in range(count)]) / count
        self._memory.release()
        return seconds

    def _forward(self) -> None:
        with torch.no_grad():
            self._work.call()

    def _both(self) -> None:
        differentiate(self._work)

    def _time(self, call: Callable[[], Any]) -> float:
        self._memory.synchronize()
        start = self._clock()
        call()
        self._memory.synchronize()
        return self._clock() - start

    def _check_limit(self, peak: float) -> None:
        # Where the system lets every allocation pass, the peak is checked afterwards.
        if peak * MIB > self._limit:
            raise CutOffError(Status.MEMORY, f"took {peak:,.0f} MiB")


def _serve(pipe: Connection, *task: Any) -> None:
    """Send the costs of preparing, then answer requests until None or the first error."""
    # An interrupt at the keyboard reaches the whole group; the parent handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        bench = Bench(*task)
        pipe.send(bench.costs)
        for request in iter(pipe.recv, None):
            pipe.send(request(bench))
    except EOFError:
        return
    except CutOffError as cut:
        pipe.send(cut)
    except Exception as error:
        text = " ".join(str(error).split())
        if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(text):
            pipe.send(CutOffError(Status.MEMORY, f"ran out of memory: {text[:100]}"))
        else:
            pipe.send(CutOffError(Status.FAILED, f"{type(error).__name__}: {text[:300]}"))


class Worker:
    """A fresh process that measures one implementation at one size.

    Running out of memory, an endless call or a crash ends that process alone, and raises
    :class:`CutOffError` here.
    """

    def __init__(self, implementation: Implementation, nodes: int, settings: Settings) -> None:
        context = process_context()
        self._pipe, inside = context.Pipe()
        # The task needs one implementation, and pickles faster without the others.
        task = inside, implementation, nodes, replace(settings, implementations=[implementation])
        self._process = context.Process(target=_serve, args=task, daemon=True)  # type: ignore[attr-defined]
        self._process.start()
        inside.close()

    def prepare(self, seconds: float) -> dict[str, Any]:
        """Wait until the process is ready, and return the costs of preparing."""
        return self._receive(_START_SECONDS + seconds)

    def ask(self, request: Callable[[Bench], T], seconds: float) -> T:
        """Call a picklable function of the ``Bench`` in the process."""
        # If the process has died, _receive says so.
        with suppress(ConnectionError):
            self._pipe.send(request)
        return self._receive(seconds)

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.kill()
        self._process.join()

    def _receive(self, seconds: float) -> Any:
        if not self._pipe.poll(seconds):
            raise CutOffError(Status.TIME, f"no answer within {seconds:g} s")
        try:
            answer = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            # Only the kernel kills these processes, when memory runs out.
            code = self._process.exitcode
            if code == -getattr(signal, "SIGKILL", 9):
                raise CutOffError(Status.MEMORY, "killed by the system") from None
            note = f"its process ended with code {code}"
            raise CutOffError(Status.FAILED, note) from None
        if isinstance(answer, CutOffError):
            raise answer
        return answer


@cache
def process_context() -> BaseContext:
    """Return the way to start processes that have imported everything and run nothing."""
    # Forked from a server on Linux, else new interpreters.
    context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    context.set_forkserver_preload([_serve.__module__])
    return context
