"""A graph that exceeds a limit of memory, cut, sampled and trained part by part within it.

The limit is ``RLIMIT_DATA`` of the kernel, which fails any allocation beyond it and counts files
that are mapped for reading as well. At a size that fits, the same losses come from the whole graph
without a limit; at the full size, the whole graph fails within the limit. Reproduces the table of
docs/distributed.md.
"""

from __future__ import annotations

import resource
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from runner import Row, Study, print_table, progress
from torch import Tensor
from torch.nn.functional import mse_loss
from torch_geometric.data import Data

import graphmask as gm

GIB = 2**30
HOPS, HEADS = 4, 4
# Rows of the grid that are written at a time.
ROWS = 64


class Memory:
    """The peak of the data of this process, and of what of it lies in memory and in no file."""

    def __init__(self) -> None:
        self.data = self.resident = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.data = max(self.data, status_bytes("VmData"))
            self.resident = max(self.resident, status_bytes("RssAnon"))
            if self._stop.wait(0.01):
                return


def status_bytes(name: str) -> int:
    """What the kernel says of this process; it compares ``VmData`` with ``RLIMIT_DATA``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


@contextmanager
def limited(size: int | None) -> Iterator[None]:
    """Allow this process so many bytes of data."""
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (before if size is None else size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def write_torus(folder: Path, nodes: int, channels: int, seed: int) -> Data:
    """A grid on a torus whose attributes are files, written in runs of rows and mapped."""
    side = max(3, round(nodes**0.5))
    shapes: dict[str, tuple[tuple[int, ...], Any]] = {
        "x": ((side * side, channels), np.float32),
        "y": ((side * side, 1), np.float32),
        "pos": ((side * side, 3), np.float32),
        "edge_index": ((2, 4 * side * side), np.int64),
    }
    files = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
        for name, (shape, dtype) in shapes.items()
    }
    generator, step = np.random.default_rng(seed), 2 * np.pi / side
    for first in range(0, side, ROWS):
        row, column = np.mgrid[first : min(first + ROWS, side), :side].reshape(2, -1)
        node, ring = row * side + column, 2 + np.cos(column * step)
        angle = row * step
        files["pos"][node] = np.stack(
            [ring * np.cos(angle), ring * np.sin(angle), np.sin(column * step)], 1
        )
        files["x"][node] = generator.standard_normal((len(node), channels), np.float32)
        files["y"][node] = np.sin(3 * angle + column * step)[:, None]
        around = [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
        for place, (r, c) in enumerate(around):
            at = 4 * node + place
            files["edge_index"][0, at] = r % side * side + c % side
            files["edge_index"][1, at] = node
    del files
    return Data(**{name: read(folder / f"{name}.npy") for name in shapes})


def read(path: Path) -> Tensor:
    """A tensor that a file holds, mapped into memory."""
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def make_model(options: Any) -> gm.nn.TopologicalTransformer:
    """The same weights in every call."""
    torch.manual_seed(options.seed)
    mask = gm.masks.WalkMask(HOPS, HEADS, alpha=gm.masks.NonNegative)
    sizes = options.channels, options.channels, 1, options.layers, HEADS
    return gm.nn.TopologicalTransformer(*sizes, mask=mask, norm=None)


def train(options: Any, step: Callable[[Any], float]) -> list[float]:
    """The losses of some steps."""
    model = make_model(options)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for number in range(options.steps):
        progress(f"step {number} of {options.steps}")
        optimizer.zero_grad()
        losses.append(step(model))
        optimizer.step()
    return losses


def in_turn(folder: Path) -> Callable[[Any], float]:
    """A step over the parts of a graph."""

    def step(model: Any) -> float:
        return float(gm.distributed.in_turn(folder, lambda part: loss_of(model, part), hops=0)[0])

    return step


def at_once(folder: Path) -> Callable[[Any], float]:
    """A step over the whole graph."""
    shard = gm.distributed.open_shard(folder, hops=0)

    def step(model: Any) -> float:
        loss = loss_of(model, shard)
        loss.backward()
        return float(loss.detach())

    return step


def loss_of(model: Any, shard: gm.distributed.Shard) -> Tensor:
    """The mean squared error over all nodes."""
    errors = mse_loss(model(shard.x, shard.topology), shard.y, reduction="sum")
    return gm.distributed.mean(errors, len(shard.y), shard.topology)


def prepare(options: Any, folder: Path, nodes: int) -> None:
    """Write, cut and sample a graph."""
    data = write_torus(folder, nodes, options.channels, options.seed)
    sampler = gm.walks.ResampledWalks(options.budget, HOPS)
    gm.distributed.shard(data, folder / "parts", parts=options.parts, walks=sampler)


def measure(options: Any) -> Iterator[Row]:
    """Rows of a size that fits, and of the full one."""
    limit = int(options.limit * GIB)
    for nodes, whole_limit in ((options.fitting, None), (options.nodes, limit)):
        with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
            folder = Path(temporary)
            runs: dict[str, tuple[int | None, Callable[[], Any]]] = {
                "cut and sampled": (limit, partial(prepare, options, folder, nodes)),
                "part by part": (limit, partial(train, options, in_turn(folder / "parts"))),
                "whole": (whole_limit, partial(train_whole, options, folder / "parts")),
            }
            for name, (bound, work) in runs.items():
                progress(f"{nodes:,} nodes, {name}")
                row = run(bound, work)
                yield {"nodes": nodes, "run": name, "files, GiB": file_bytes(folder) / GIB} | row


def train_whole(options: Any, folder: Path) -> list[float]:
    """The losses of steps on the whole graph."""
    return train(options, at_once(folder))


def file_bytes(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run(limit: int | None, work: Callable[[], Any]) -> Row:
    """What a run took, and its losses, or that it ran out of memory."""
    start, cpu = perf_counter(), process_time()
    with limited(limit), Memory() as memory:
        try:
            losses = work() or []
            outcome = " ".join(f"{loss:.6f}" for loss in losses) or "done"
        except (RuntimeError, MemoryError) as error:
            if "memory" not in str(error).lower() and not isinstance(error, MemoryError):
                raise
            outcome = "out of memory"
    return {
        "limit, GiB": None if limit is None else limit / GIB,
        "data, GiB": memory.data / GIB,
        "resident, GiB": memory.resident / GIB,
        "s": perf_counter() - start,
        "CPU s": process_time() - cpu,
        "losses": outcome,
    }


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure and print."""
    smoke = {"fitting": 100, "nodes": 225, "parts": 3, "channels": 8, "layers": 1, "budget": 8}
    study = Study(__doc__, {**smoke, "limit": 64.0})
    study.add_argument("--nodes", type=int, default=600_000)
    study.add_argument("--fitting", type=int, default=40_000, help="nodes that fit at once")
    study.add_argument("--limit", type=float, default=4, help="GiB of data of the process")
    study.add_argument("--parts", type=int, default=32)
    study.add_argument("--channels", type=int, default=64)
    study.add_argument("--layers", type=int, default=4)
    study.add_argument("--budget", type=int, default=64, help="pairs per node")
    study.add_argument("--steps", type=int, default=2)
    study.add_argument("--folder", type=Path, help="where to write (the system's)")
    options = study.parse(arguments)
    with torch.random.fork_rng(devices=[]):
        rows = study.collect(measure(options), options)
    print_table("A graph beyond a limit of memory", rows)
    return rows


if __name__ == "__main__":
    main()
