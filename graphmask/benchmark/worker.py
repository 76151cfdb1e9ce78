"""A process per contender and size, seen from outside: asked, waited for, and ended if need be."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

from .measure import Bench, Case, CutOffError, Prepared, serve
from .results import Status

T = TypeVar("T")

# Seconds that importing and the trial run may take: generous, since a process that hangs there is a
# fault.
_START_SECONDS = 300.0


class Worker:
    """A fresh process that measures one case.

    Whatever happens there, out of memory, endless calls, a crash, ends that process and raises
    :class:`CutOffError`.

    Args:
        case: what to measure.
    """

    def __init__(self, case: Case) -> None:
        context = _context()
        self._pipe, inside = context.Pipe()
        self._process = context.Process(target=serve, args=(inside, case), daemon=True)  # type: ignore[attr-defined]
        self._process.start()
        inside.close()

    def prepared(self, seconds: float) -> Prepared:
        """What the process says when it is ready.

        Raises:
            CutOffError: where it takes longer than it may take to start, plus ``seconds``.
        """
        return self._receive(_START_SECONDS + seconds)

    def ask(self, request: Callable[[Bench], T], seconds: float) -> T:
        """The answer of the process to a picklable function of its ``Bench``.

        Raises:
            CutOffError: where no answer comes within ``seconds``, or the process ends.
        """
        # A process that has died in the meantime cannot be asked: the answer will say so.
        with suppress(ConnectionError):
            self._pipe.send(request)
        return self._receive(seconds)

    def close(self) -> None:
        """End the process, whatever it does."""
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
            raise _death(self._process.exitcode) from None
        if isinstance(answer, CutOffError):
            raise answer
        return answer


def _death(code: int | None) -> CutOffError:
    # Nobody but the kernel kills these processes: it does so when memory runs out.
    if code == -getattr(signal, "SIGKILL", 9):
        return CutOffError(Status.MEMORY, "killed by the system")
    return CutOffError(Status.FAILED, f"its process ended with code {code}")


@cache
def _context() -> BaseContext:
    """Processes forked from one that has imported everything and run nothing.

    New interpreters where not on Linux.
    """
    context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    context.set_forkserver_preload([serve.__module__])
    return context
