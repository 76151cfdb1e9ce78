"""The parts of a graph one after the other, in one process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from graphmask._checks import check_integer, value_error

from ._ranks import Ranks, taking_turns
from .shards import Shard, open_part
from .stored import GraphShards

T = TypeVar("T")


def in_turn(
    folder: str | Path,
    function: Callable[[Shard], T],
    hops: int = 1,
    parts: int | None = None,
    recompute: bool = True,
    verify: bool = True,
) -> list[T]:
    r"""Run a function on the parts of a graph, one after the other, with what they ask each other.

    A function that runs on several processes, each with its own shard, runs here on one, with the
    same results: at each exchange it stops, and the next part goes on from where that stopped. One
    part computes at a time, and no more than the inputs of blocks is kept of the others. So a graph
    is trained whose activations exceed memory, with the gradients of the whole.

    Where the function returns a number with a gradient, alone and not in a tuple, the average over
    parts is differentiated, as ``DistributedDataParallel`` averages over processes: gradients add
    up in the parameters.

    Args:
        folder: that of :func:`shard`; ``~`` expands.
        function: of a shard. Parts call it in threads of their own, in the order of parts, with
            the ``no_grad`` and ``autocast`` of the caller; it must not call ``backward``. All parts
            call the same layers, also those without nodes.
        hops: as in :func:`open_shard`. (default: :obj:`1`)
        parts: P, how many there are; several parts on disk become one. (default: :obj:`None`, as
            many as are on disk)
        recompute: as in :func:`open_shard`. (default: :obj:`True`)
        verify: as in :func:`open_shard`. (default: :obj:`True`)

    Returns:
        What the function returned for each part, tensors without their gradient.

    Raises:
        ValueError, FileNotFoundError: as :func:`open_shard`.
        ValueError: where it returns several numbers with gradients.
        RuntimeError: where parts ask each other for different things.
        Exception: what the function raised for the first part that failed.

    Cost: that of the function for all parts, and of blocks twice where they are computed again.

    Example:
        >>> import tempfile, torch, graphmask as gm
        >>> from torch_geometric.data import Data
        >>> path = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> folder = tempfile.TemporaryDirectory()
        >>> _ = gm.distributed.shard(path, folder.name, parts=2)
        >>> model = gm.nn.TopologicalTransformer(4, 8, 1, 2, 2, gm.masks.GlobalMask())
        >>> model = gm.distributed.sync_batch_norm(model)
        >>> def loss_of(shard):
        ...     out = model(shard.x, shard.topology)
        ...     return gm.distributed.mean(out.square().sum(), len(out), shard.topology)
        >>> first, second = gm.distributed.in_turn(folder.name, loss_of)
        >>> bool(first == second), model.head.weight.grad.shape
        (True, torch.Size([1, 8]))
        >>> folder.cleanup()
    """
    count = GraphShards(folder).num_parts if parts is None else check_integer("parts", parts, 1)
    table = _Table(count)
    results: list[Any] = [None] * count
    context = _Context()

    def run(rank: int) -> None:
        turn = Turn(rank, table)
        with _Taken(turn), taking_turns(turn):
            with context.entered():
                out: Any = function(open_part(folder, hops, turn, recompute, verify))
            if isinstance(out, Tensor) and out.requires_grad:
                if out.numel() != 1:
                    raise value_error("function", "one of a number, or without gradients", out)
                (out / count).sum().backward()
                out = out.detach()
            results[rank] = out

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if table.error is not None:
        raise table.error
    return results


class _Context:
    """Settings of a thread: gradients and autocast."""

    def __init__(self) -> None:
        self.is_grad = torch.is_grad_enabled()
        devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
        self.casts = [
            (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
            for device in devices
        ]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Set the same in another thread."""
        with ExitStack() as stack:
            stack.enter_context(torch.set_grad_enabled(self.is_grad))
            for device, dtype, enabled in self.casts:
                stack.enter_context(torch.autocast(device, dtype, enabled))
            yield


class _Table:
    """Values that parts leave for each other, and the part whose turn it is."""

    def __init__(self, size: int) -> None:
        self.size, self.turn = size, 0
        self.condition = threading.Condition()
        # Two rounds: the first part lays down values while others take those of before.
        self.rounds: list[list[Any]] = [[None] * size, [None] * size]
        self.exchanges = [0] * size
        self.error: BaseException | None = None
        self.ended: int | None = None  # exchanges of the parts that have ended

    def wait(self, rank: int) -> None:
        """Wait until it is the turn of a part."""
        with self.condition:
            self.condition.wait_for(lambda: self.turn == rank or self.error is not None)
            if self.error is not None:
                raise _StoppedError

    def pass_on(self) -> None:
        """Give the turn to the next part."""
        with self.condition:
            self.turn = (self.turn + 1) % self.size
            self.condition.notify_all()

    def check_open(self, rank: int, exchanges: int) -> None:
        """Check that no part has ended without this exchange."""
        if self.ended is not None and exchanges > self.ended:
            raise _unequal(rank, "asks the others for more than they take part in")

    def end(self, rank: int) -> None:
        """End a part, after as many exchanges as all others."""
        self.ended = self.exchanges[rank]
        if self.ended < max(self.exchanges):
            raise _unequal(rank, "has ended while others ask it for more")
        self.pass_on()

    def stop(self, error: BaseException) -> None:
        """End all parts."""
        with self.condition:
            self.error = self.error or error
            self.condition.notify_all()


def _unequal(rank: int, what: str) -> RuntimeError:
    return RuntimeError(
        f"part {rank} {what}: the function must call layers and `mean` alike for all parts"
    )


class _StoppedError(RuntimeError):
    """Another part has failed."""


class Turn(Ranks):
    """One part among those that take turns in a process."""

    def __init__(self, rank: int, table: _Table) -> None:
        self.rank, self.size, self.table = rank, table.size, table

    @property
    def writes(self) -> bool:
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        return self._gather(value, "values")

    def _gather(self, value: T, kind: str) -> list[T]:
        table = self.table
        table.exchanges[self.rank] += 1
        table.check_open(self.rank, table.exchanges[self.rank])
        values = table.rounds[table.exchanges[self.rank] % 2]
        values[self.rank] = kind, value
        state = torch.get_rng_state()
        table.pass_on()
        table.wait(self.rank)
        torch.set_rng_state(state)
        for other, _ in values:
            if other != kind:
                raise _unequal(self.rank, f"asks for {kind} where another asks for {other}")
        return [each for _, each in values]

    def gather_numbers(self, numbers: Tensor) -> Tensor:
        return torch.stack(self.gather(numbers))

    def _exchange(self, x: Tensor, send: list[int], receive: list[int]) -> Tensor:
        pieces = self._gather(x.detach().split(send), "features of nodes")
        return torch.cat([piece[self.rank] for piece in pieces])

    def _sum(self, x: Tensor) -> Tensor:
        kind = f"a sum of shape {list(x.shape)}"
        return torch.stack(self._gather(x.detach().clone(), kind)).sum(0)

    def _max(self, x: Tensor) -> Tensor:
        kind = f"a maximum of shape {list(x.shape)}"
        return torch.stack(self._gather(x.detach().clone(), kind)).amax(0)


class _Taken:
    """A context in which a part has its turn, but for its exchanges."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn

    def __enter__(self) -> None:
        self.turn.table.wait(self.turn.rank)

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if error is None:
            try:
                self.turn.table.end(self.turn.rank)
            except RuntimeError as unequal:
                self.turn.table.stop(unequal)
        elif not isinstance(error, _StoppedError):
            self.turn.table.stop(error)
        return True
