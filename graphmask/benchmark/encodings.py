"""Walk encodings compared: time, peak memory and accuracy, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import AddRandomWalkPE, BaseTransform

from graphmask._checks import check_integer
from graphmask.transforms import AddWalkEncoding, KNNGraph
from graphmask.walks import IIDWalks, ResampledWalks

from .memory import memory_of

_NAME = "random_walk_pe"

# Of the memory that is free, what an encoder may take: the rest of the machine lives on.
_SHARE = 0.85


@dataclass(frozen=True)
class Encoder:
    """A way to have the encoding.

    Its name, what it is, and how to make it for K steps and a seed.
    """

    name: str
    about: str
    make: Callable[[int, torch.Generator], BaseTransform]


ENCODERS = (
    Encoder(
        "walk-encoding",
        "AddWalkEncoding(K)",
        lambda steps, generator: AddWalkEncoding(steps, generator=generator),
    ),
    Encoder(
        "narrow",
        "AddWalkEncoding(K, width=512), resampled",
        lambda steps, generator: AddWalkEncoding(steps, width=512, generator=generator),
    ),
    Encoder(
        "iid",
        "the diagonals of IIDWalks(num_walks=64, p_halt=0.02)",
        lambda steps, generator: AddWalkEncoding(
            steps, sampler=IIDWalks(64, 0.02, steps, "rw"), generator=generator
        ),
    ),
    Encoder(
        "resampled",
        "the diagonals of ResampledWalks(budget=64)",
        lambda steps, generator: AddWalkEncoding(
            steps, sampler=ResampledWalks(64, steps, "rw"), generator=generator
        ),
    ),
    Encoder(
        "pyg",
        "PyG's AddRandomWalkPE(K), which forms the powers",
        lambda steps, _: AddRandomWalkPE(steps),
    ),
)


@dataclass(frozen=True)
class Encoding:
    """What an encoder took and how far it is off.

    :obj:`None` where memory ran out, or its process was killed.

    ``error`` is the relative Frobenius error over all nodes and steps, ``last`` that of the last
    step; ``cpu`` counts seconds of all threads, which other processes on the machine lengthen less.
    """

    name: str
    nodes: int
    seconds: float | None
    cpu: float | None
    peak_mib: float | None
    error: float | None
    last: float | None

    def row(self) -> dict[str, Any]:
        """Cells by column."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Study:
    """What is encoded: the graph of the ``neighbours`` nearest of ``nodes`` points in the unit cube, for ``steps`` steps.

    Raises:
        ValueError: for sizes below 1.
    """

    nodes: int = 30_000
    neighbours: int = 8
    steps: int = 16
    threads: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("nodes", "neighbours", "steps", "threads"):
            check_integer(name, getattr(self, name), 1)

    def data(self) -> Data:
        """The graph."""
        pos = torch.rand(self.nodes, 3, generator=torch.Generator().manual_seed(self.seed))
        return KNNGraph(self.neighbours)(Data(pos=pos))


def run(
    study: Study, encoders: Sequence[Encoder], progress: Callable[[str], object]
) -> Iterator[Encoding]:
    """Encode with each in turn, every one in a process of its own, and compare with what is exact."""
    progress("exact")
    exact = _apart(_exact, study)
    for encoder in encoders:
        progress(encoder.name)
        try:
            seconds, cpu, peak, found = _apart(_measure, study, encoder.name)
        except (BrokenProcessPool, MemoryError):
            yield Encoding(encoder.name, study.nodes, None, None, None, None, None)
            continue
        error = (found - exact).norm() / exact.norm()
        last = (found - exact)[:, -1].norm() / exact[:, -1].norm().clamp(min=1e-30)
        yield Encoding(encoder.name, study.nodes, seconds, cpu, peak, float(error), float(last))


def _apart(function: Callable[..., Any], *arguments: Any) -> Any:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _exact(study: Study) -> Tensor:
    torch.set_num_threads(study.threads)
    return AddWalkEncoding(study.steps, width=study.nodes)(study.data())[_NAME].double()


def _measure(study: Study, name: str) -> tuple[float, float, float, Tensor]:
    """Seconds, seconds of all threads, MiB above what the process had before, and the encoding."""
    torch.set_num_threads(study.threads)
    (encoder,) = (each for each in ENCODERS if each.name == name)
    generator = torch.Generator().manual_seed(study.seed)
    warm = KNNGraph(4)(Data(pos=torch.rand(2100, 3, generator=generator)))
    encoder.make(2, generator)(
        warm
    )  # compiles and loads what is used; beyond 2000 nodes PyG takes its sparse path
    data, transform = study.data(), encoder.make(study.steps, generator)
    memory = memory_of("cpu")
    memory.limit(int(_SHARE * psutil.virtual_memory().available))
    memory.reset()
    start, before = time.perf_counter(), time.process_time()
    try:
        found = transform(data)[_NAME]
    except RuntimeError as error:
        if "alloc" not in str(error):
            raise
        raise MemoryError(str(error)) from None
    seconds, cpu = time.perf_counter() - start, time.process_time() - before
    return seconds, cpu, memory.peak(), found.double()
