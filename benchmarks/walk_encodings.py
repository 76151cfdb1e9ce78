"""Walk encodings compared: time, peak memory and accuracy, each in a process of its own.

Each encoder runs once, after a warm-up on a small graph, on the nearest neighbours of random points
in the unit cube, and may take 85 % of the free memory; PyG's needs tens of GiB at the default size.
Reproduces the tables of docs/encodings.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

import psutil
import torch
from runner import Row, Study, choose, print_table, progress
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import AddRandomWalkPE, BaseTransform

from graphmask.benchmark.memory import HostMemory
from graphmask.benchmark.worker import process_context
from graphmask.transforms import AddWalkEncoding, KNNGraph
from graphmask.walks import IIDWalks, ResampledWalks, WalkSampler

NAME = "random_walk_pe"

# Share of the free memory that an encoder may take.
SHARE = 0.85

# Nodes beyond which PyG takes its sparse path, for the warm-up.
WARM_NODES = 2100


class Encoder(NamedTuple):
    """An encoder: ``make(steps, generator)``."""

    name: str
    about: str
    make: Callable[[int, torch.Generator], BaseTransform]


def _sampled(sampler: Callable[[int], WalkSampler]) -> Callable:
    return lambda steps, generator: AddWalkEncoding(
        steps, sampler=sampler(steps), generator=generator
    )


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
        _sampled(lambda steps: IIDWalks(64, 0.02, steps, "rw")),
    ),
    Encoder(
        "resampled",
        "the diagonals of ResampledWalks(budget=64)",
        _sampled(lambda steps: ResampledWalks(64, steps, "rw")),
    ),
    Encoder("pyg", "PyG's AddRandomWalkPE(K)", lambda steps, _: AddRandomWalkPE(steps)),
)


def make_graph(nodes: int, neighbours: int, seed: int) -> Data:
    """Join random points in the unit cube with their nearest neighbours."""
    pos = torch.rand(nodes, 3, generator=torch.Generator().manual_seed(seed))
    return KNNGraph(neighbours)(Data(pos=pos))


def compare(encoders: Sequence[Encoder], options: Any) -> Iterator[Row]:
    """Yield seconds, CPU seconds, MiB and errors of each encoder; None where memory ran out.

    ``error`` is the relative Frobenius error over all nodes and steps, ``last`` that of the last.
    """
    size = options.nodes, options.neighbours, options.steps, options.threads or 2, options.seed
    progress("exact")
    data = make_graph(options.nodes, options.neighbours, options.seed)
    # Rows as wide as the graph are exact.
    exact = AddWalkEncoding(options.steps, width=options.nodes)(data)[NAME].double()
    for encoder in encoders:
        progress(encoder.name)
        row: Row = dict.fromkeys(("seconds", "cpu_seconds", "peak_mib", "error", "last"))
        try:
            *costs, encoding = in_process(encode, encoder.name, *size)
            wrong = encoding - exact
            last = wrong[:, -1].norm() / exact[:, -1].norm().clamp(min=1e-30)
            errors = float(wrong.norm() / exact.norm()), float(last)
            row = dict(zip(row, (*costs, *errors), strict=True))
        except (BrokenProcessPool, MemoryError):
            pass
        yield {"encoder": encoder.name, "nodes": options.nodes, **row}


def in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process."""
    with ProcessPoolExecutor(1, process_context()) as pool:
        return pool.submit(function, *arguments).result()


def encode(
    name: str, nodes: int, neighbours: int, steps: int, threads: int, seed: int
) -> tuple[float, float, float, Tensor]:
    """Measure seconds, seconds of all threads, and MiB above what the process had before."""
    torch.set_num_threads(threads)
    (encoder,) = (encoder for encoder in ENCODERS if encoder.name == name)
    generator = torch.Generator().manual_seed(seed)
    # Compiles and loads what is used.
    encoder.make(2, generator)(make_graph(WARM_NODES, 4, seed))
    data, transform = make_graph(nodes, neighbours, seed), encoder.make(steps, generator)
    memory = HostMemory()
    memory.limit(int(SHARE * psutil.virtual_memory().available))
    memory.reset()
    start, start_cpu = time.perf_counter(), time.process_time()
    try:
        encoding = transform(data)[NAME]
    except RuntimeError as error:
        if "alloc" not in str(error):
            raise
        raise MemoryError(str(error)) from None
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    return seconds, cpu, memory.peak(), encoding.double()


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure and print."""
    study = Study(__doc__, {"nodes": 300, "steps": 4, "only": ENCODERS[:1], "threads": 1})
    study.add_argument("--nodes", type=int, default=30_000)
    study.add_argument("--neighbours", type=int, default=8)
    study.add_argument("--steps", type=int, default=16, help="K")
    study.add_argument("--only", type=choose(ENCODERS), default=ENCODERS)
    options = study.parse(arguments)
    rows = study.collect(compare(options.only, options), options)
    print_table(f"Walk encodings of {options.steps} steps, {options.nodes:,} points", rows)
    return rows


if __name__ == "__main__":
    main()
