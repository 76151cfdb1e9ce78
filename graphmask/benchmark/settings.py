"""Settings and limits of a scaling run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from graphmask._checks import check_integer, value_error
from graphmask._deprecation import deprecated_arguments
from graphmask._machine import GIB, check_device, total_memory

from .graphs import Problem, ordered_sphere_graph
from .implementations import IMPLEMENTATIONS, Implementation


@deprecated_arguments(contenders="implementations")
@dataclass(frozen=True)
class Settings:
    """Settings and limits of a scaling run.

    Args:
        nodes: sizes, in any order. (default: powers of two from 1,024 to 131,072)
        implementations: see :data:`IMPLEMENTATIONS`. (default: all)
        device: ``"cpu"`` or a CUDA device.
        threads: of torch. (default: :obj:`None`, torch's own choice)
        repeats: rounds; an implementation whose calls have taken ``time_limit`` together stops
            after three. 0 measures memory alone.
        time_limit: seconds that a forward and backward call may take.
        memory_limit: GiB above the baseline. (default: :obj:`None`, half of the memory of the
            machine or device)
        seed: of points, features and parameters.
        make_problem: builds the graph and its features from N, the seed and the device. (default:
            :class:`Problem`, nearest neighbours on a sphere)
        reorder: whether nodes of the default graph are numbered along a Hilbert curve. (default:
            :obj:`False`)
        keep_memory: whether timed processes on CPU keep all memory that they free, as with
            ``MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1``. (default: :obj:`False`)
        cpu_time: whether times are CPU times, summed over threads, instead of wall times: for a
            busy machine, with one thread. Limits are of wall time. (default: :obj:`False`)

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
