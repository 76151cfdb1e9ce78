"""What happens inside the process of one contender at one size.

Its memory, then its times, on request.
"""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .contenders import Contender, Workload
from .memory import MIB, memory_of
from .problem import Problem
from .results import Status

# Nodes of the trial run that loads code and starts threads before the baseline is taken.
_TRIAL_NODES = 64

_NO_MEMORY = (
    "can't allocate memory",
    "out of memory",
    "bad_alloc",
    "unable to allocate",
    "cannot allocate memory",
)


class CutOffError(Exception):
    """The end of a contender before it was measured: why, for machines and for people."""

    def __init__(self, status: Status, note: str) -> None:
        super().__init__(status, note)
        self.status, self.note = status, note


@dataclass(frozen=True)
class Case:
    """What a process is to measure; ``memory_limit`` in bytes above the baseline."""

    contender: Contender
    nodes: int
    seed: int
    device: str
    threads: int | None
    memory_limit: int
    reorder: bool = False
    keep_memory: bool = False
    cpu_time: bool = False

    def problem(self) -> Problem:
        """The graph and its features."""
        return self.contender.pose(self.nodes, self.seed, self.device, self.reorder)


class Prepared(NamedTuple):
    """What is known before the first call.

    Seconds and MiB of what is made once, if anything is, and three counts.
    """

    seconds: float | None
    peak: float | None
    edges: int
    entries: int | None
    multiply_adds: float | None = None


class FirstCall(NamedTuple):
    """A forward and a backward call in a fresh process: seconds, and MiB above the baseline."""

    seconds: float
    peak: float


class Bench:
    """A contender made ready.

    Its memory counts from when the graph and the features are there and nothing else is.
    """

    def __init__(self, case: Case) -> None:
        # What was imported stays: without this, collecting garbage walks through all of torch.
        gc.freeze()
        torch.set_default_dtype(torch.float32)
        torch.manual_seed(case.seed)
        if case.threads is not None:
            torch.set_num_threads(case.threads)
        _trial(case)
        problem = case.problem()
        self._keep = case.keep_memory
        self._clock = time.process_time if case.cpu_time else time.perf_counter
        self._memory, self._limit = memory_of(case.device), case.memory_limit
        self._memory.limit(case.memory_limit)
        start = self._clock()
        prepared = case.contender.prepare(problem)
        self._memory.synchronize()
        seconds, peak = self._clock() - start, self._memory.peak()
        self._work = case.contender.build(problem, prepared)
        made = prepared is not None
        counts = problem.num_edges, self._work.entries, self._work.multiply_adds
        self.prepared = Prepared(seconds if made else None, peak if made else None, *counts)
        self._check_limit(peak)

    def first_call(self) -> FirstCall:
        """Forward and backward once, with the peak of memory."""
        self._memory.reset()
        seconds = self._time(self._both)
        found = FirstCall(seconds, self._memory.peak())
        self._memory.relax(self._keep)
        self._check_limit(found.peak)
        return found

    def mean_seconds(self, backward: bool, number: int, warm: bool) -> float:
        """Seconds per call over ``number`` calls; ``warm``: after one that is not timed."""
        call = self._both if backward else self._forward
        if warm:
            call()
        seconds = self._time(lambda: [call() for _ in range(number)]) / number
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
        """Where the system refuses no allocation, what was taken is looked at afterwards."""
        if peak * MIB > self._limit:
            raise CutOffError(Status.MEMORY, f"took {peak:,.0f} MiB")


def differentiate(work: Workload) -> tuple[Tensor | None, ...]:
    """Forward and backward, with ones for the gradient of the output."""
    out = work.call()
    # Leaves that a layer creates and never uses have no gradient.
    return torch.autograd.grad(out, work.leaves, torch.ones_like(out), allow_unused=True)


def serve(pipe: Connection, case: Case) -> None:
    """Send ``Prepared``, then answer requests, functions of a ``Bench``, until one is :obj:`None`.

    The process ends with the first error, which it sends as a ``CutOffError``.
    """
    # An interrupt at the keyboard reaches the whole group; the parent is the one to answer it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        bench = Bench(case)
        pipe.send(bench.prepared)
        for request in iter(pipe.recv, None):
            pipe.send(request(bench))
    except EOFError:
        return
    except Exception as error:
        pipe.send(explain(error))


def explain(error: Exception) -> CutOffError:
    """Why a contender ended: out of memory, or the error itself."""
    if isinstance(error, CutOffError):
        return error
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or any(sign in text.lower() for sign in _NO_MEMORY):
        return CutOffError(Status.MEMORY, f"ran out of memory: {text[:100]}")
    return CutOffError(Status.FAILED, f"{type(error).__name__}: {text[:300]}")


def _trial(case: Case) -> None:
    problem = replace(case, nodes=min(_TRIAL_NODES, case.nodes)).problem()
    differentiate(case.contender.build(problem, case.contender.prepare(problem)))
