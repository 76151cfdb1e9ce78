"""Processes that run functions together, forked from one that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

# Seconds after which a test fails instead of hanging.
PATIENCE = 600


def run(
    folder: Path, size: int, function: Callable[..., Any], *arguments: Any
) -> list[dict[str, Any]]:
    """What ``function(folder, *arguments)`` returns, or raises as text, in each process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rank_cases", "torch.nn.parallel"])
    folder.mkdir(parents=True, exist_ok=True)
    ends, processes = [], []
    for rank in range(size):
        ours, theirs = context.Pipe(duplex=False)
        target = context.Process(
            target=_work, args=(theirs, rank, size, folder, function, arguments), daemon=True
        )
        target.start()
        theirs.close()
        ends.append(ours)
        processes.append(target)
    outcomes = [_receive(end) for end in ends]
    for process in processes:
        process.join(PATIENCE)
        assert not process.is_alive()
    return outcomes


def _receive(end: Connection) -> dict[str, Any]:
    if not end.poll(PATIENCE):
        return {"error": "hangs"}
    try:
        return end.recv()
    except EOFError:
        return {"error": "killed"}


def _work(
    end: Connection,
    rank: int,
    size: int,
    folder: Path,
    function: Callable[..., Any],
    arguments: Sequence[Any],
) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    store = dist.FileStore(str(folder / "store"), size)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=size, timeout=timedelta(seconds=PATIENCE // 2)
    )
    try:
        outcome = {"result": function(folder, *arguments)}
    except BaseException:
        outcome = {"error": traceback.format_exc()}
    end.send(outcome)
    end.close()
    dist.destroy_process_group()
