"""Processes that run a part of a study together."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from runner import Row

# Seconds after which processes that wait for each other raise an error.
PATIENCE = 300


def together(
    function: Callable[..., list[Row]], size: int, options: Any, backend: str = "gloo"
) -> list[Row]:
    """What ``function(options, folder)`` returns on the first of some processes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if size == 1:
            return function(options, folder)
        arguments = size, function, options, folder, backend
        torch.multiprocessing.spawn(_work, arguments, nprocs=size)
        return torch.load(folder / "rows", weights_only=False)


def _work(
    rank: int,
    size: int,
    function: Callable[..., list[Row]],
    options: Any,
    folder: Path,
    backend: str,
) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(options.threads or 1)
    store, wait = dist.FileStore(str(folder / "store"), size), timedelta(seconds=PATIENCE)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=wait)
    rows = function(options, folder)
    if rank == 0:
        torch.save(rows, folder / "rows")
    dist.destroy_process_group()


def first_does(work: Callable[[], Any]) -> None:
    """Let the first process do what all need, while the others wait."""
    if not dist.is_initialized() or dist.get_rank() == 0:
        work()
    if dist.is_initialized():
        dist.barrier()


def count() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def largest(number: float) -> float:
    """The largest number of all processes."""
    numbers = torch.tensor(number, dtype=torch.float64)
    if dist.is_initialized():
        dist.all_reduce(numbers, dist.ReduceOp.MAX)
    return float(numbers)


def summed(values: torch.Tensor) -> torch.Tensor:
    """The sum over all processes."""
    values = values.detach().clone()
    if dist.is_initialized():
        dist.all_reduce(values)
    return values
