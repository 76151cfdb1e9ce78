"""What was stopped at any point is whole or begun again: caches, saved models, training runs.

A child process does the work and is killed as it opens, renames or removes a file, or as a file
reaches a size; or the disk is full at that size. What is done afterwards must end as if nothing had
happened before.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

import graphmask as gm
from graphmask import datasets

from .campaign import Draw

CASES = 60
_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class _Walked(datasets.CachedDataset):
    """Some graphs with walks."""

    def build(self) -> Iterable[Data]:
        for n in range(2, 40):
            node = torch.arange(n)
            yield Data(edge_index=torch.stack([node, node.roll(1)]), num_nodes=n)


def case(seed: int) -> None:
    draw = Draw("kill", seed)
    kind = (_processing, _saving, _training)[seed % 3]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        kind(draw, Path(folder))


def _processing(draw: Draw, folder: Path) -> None:
    add = gm.transforms.AddWalks(gm.walks.ResampledWalks(50, 2))
    if draw.chance(0.3):
        _Walked(folder, pre_transform=add)
    reload = draw.chance(0.5)
    _stop(draw, lambda: _Walked(folder, pre_transform=add, force_reload=reload), 40_000)
    pairs = zip(_Walked(folder, pre_transform=add), _Walked(None, pre_transform=add), strict=True)
    for stored, built in pairs:
        if not torch.equal(stored.walk_table, built.walk_table):
            raise AssertionError("a cache that was stopped holds other graphs")
    _Walked(folder, pre_transform=add, force_reload=True)
    left = [str(path) for path in folder.rglob("*") if path.is_file()]
    if len(left) > 4 or any(Path(path).name[0] == "." for path in left):
        raise AssertionError(f"files are left after a repeated processing: {left}")


def _saving(draw: Draw, folder: Path) -> None:
    folder = folder / "model"
    old, new = (_model(seed) for seed in (0, 1))
    replaced = draw.chance(0.7)
    if replaced:
        old.save_pretrained(folder)
    _stop(draw, lambda: new.save_pretrained(folder), 20_000)
    try:
        read = _output(gm.nn.TopologicalTransformer.from_pretrained(folder))
    except (FileNotFoundError, ValueError) as error:
        if replaced:
            raise AssertionError(f"the older model is lost: {error}") from error
    else:
        if not any(torch.equal(read, _output(model)) for model in (old, new)):
            raise AssertionError("what was saved computes neither the old model nor the new one")
    new.save_pretrained(folder)
    if not torch.equal(_output(gm.nn.TopologicalTransformer.from_pretrained(folder)), _output(new)):
        raise AssertionError("a model that is saved again is not the one that is read")
    if extra := [
        path.name
        for path in folder.iterdir()
        if path.name not in ("config.json", "model.safetensors")
    ]:
        raise AssertionError(f"files are left beside a model: {extra}")


def _model(seed: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mask = gm.masks.PowerSeriesMask(2, 2, normalization=("sym", None)[seed])
        return gm.nn.TopologicalTransformer(3, 16, 2, num_layers=1, heads=2, mask=mask).eval()


def _output(model: Any) -> Tensor:
    return model(torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])).detach()


def _training(draw: Draw, folder: Path) -> None:
    expected = _whole_run()
    stopped = _stop(draw, lambda: _train(folder), 300_000)
    if _child(lambda: _train(folder)) != 0:
        raise AssertionError("a run that was stopped cannot be resumed")
    if _weights(folder) != expected:
        raise AssertionError(f"a run that was {stopped} ends with other weights")


@cache
def _whole_run() -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        if _child(lambda: _train(Path(folder))) != 0:
            raise AssertionError("the training example fails")
        return _weights(Path(folder))


def _weights(folder: Path) -> dict[str, list[float]]:
    (path,) = folder.rglob("last.ckpt")
    state = torch.load(path, weights_only=False)["state_dict"]
    return {name: value.flatten().tolist() for name, value in state.items()}


def _train(folder: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
    import comparison
    import motif_detection

    arguments = ["--smoke", "--variants", "masked", "--resume", "--accelerator", "cpu"]
    options = motif_detection.parse([*arguments, "--out", str(folder)])
    comparison.compare(motif_detection.problem(options), options)


def _stop(draw: Draw, work: Callable[[], object], size: int) -> str:
    """Stop the work in a child at a random point, and tell how."""
    way = draw.choice(["killed at an event", "killed at a size", "stopped by a full disk"])
    event, limit = draw.integer(0, draw.choice([2, 5, 12])), draw.integer(0, size)
    _child(
        work,
        event if way == "killed at an event" else None,
        None if way == "killed at an event" else limit,
        way == "killed at a size",
    )
    return way


def _child(
    work: Callable[[], object], event: int | None = None, size: int | None = None, kill: bool = True
) -> int:
    """Run the work in a forked process; return its status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    status = 1
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        if size is not None:
            # Python ignores the signal, and a write beyond the limit is an error then.
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL if kill else signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        if event is not None:
            _kill_at(event)
        work()
        status = 0
    finally:
        os._exit(status)
    raise AssertionError("a child goes on")


def _kill_at(event: int) -> None:
    """Kill this process at its n-th event that changes files."""
    seen = 0

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        opened = name == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
        if name in _EVENTS or opened:
            seen += 1
            if seen > event:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
