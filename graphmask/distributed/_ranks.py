"""The processes that share a graph, and what they send each other, with gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from graphmask._checks import value_error

T = TypeVar("T")


@dataclass
class Traffic:
    """Bytes that this process has sent to others, backward passes included.

    Attributes:
        exchanged: of features of nodes, to the processes that hold copies.
        reduced: of sums over all processes; a reduction may send them more than once.
    """

    exchanged: int = 0
    reduced: int = 0


_counting: list[Traffic] = []

# Whether a block is computed once more, for its gradient.
_recomputing: ContextVar[bool] = ContextVar("recomputing", default=False)


@contextmanager
def _holding(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Set a variable of this thread for a while."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


@contextmanager
def count_traffic() -> Iterator[Traffic]:
    """Count the bytes that this process sends within a ``with`` block.

    Example:
        >>> import graphmask as gm
        >>> with gm.distributed.count_traffic() as traffic:
        ...     pass
        >>> traffic
        Traffic(exchanged=0, reduced=0)
    """
    traffic = Traffic()
    _counting.append(traffic)
    try:
        yield traffic
    finally:
        _counting.remove(traffic)


class Ranks(ABC):
    """The processes, or turns, that share a graph, as one of them sees them.

    Attributes:
        rank: the number of this one, from 0.
        size: their number.
    """

    rank: int
    size: int

    @property
    def writes(self) -> bool:
        """True if this rank writes shared state, such as running statistics.

        Each process has its own.
        """
        return True

    @abstractmethod
    def gather(self, value: T) -> list[T]:
        """Return the values that all ranks pass, in the order of ranks."""

    @abstractmethod
    def gather_numbers(self, numbers: Tensor) -> Tensor:
        """``[P, n]``, integers ``[n]`` of all ranks."""

    @abstractmethod
    def _exchange(self, x: Tensor, send: list[int], receive: list[int]) -> Tensor:
        """:meth:`exchange` without a gradient."""

    @abstractmethod
    def _sum(self, x: Tensor) -> Tensor:
        """:meth:`sum` without a gradient, a new tensor."""

    @abstractmethod
    def _max(self, x: Tensor) -> Tensor:
        """:meth:`max`, a new tensor."""

    @torch.compiler.disable
    def exchange(self, x: Tensor, send: Sequence[int], receive: Sequence[int]) -> Tensor:
        """Rows from all ranks in their order, where ``x`` holds rows for each of them."""
        if self.size == 1:
            return x
        return _Exchange.apply(x, list(send), list(receive), self)

    @torch.compiler.disable
    def sum(self, x: Tensor) -> Tensor:
        """The sum over all ranks, that of halves in float32."""
        if self.size == 1:
            return x
        return _Sum.apply(x.float() if x.itemsize == 2 else x, self).to(x.dtype)

    @torch.compiler.disable
    def max(self, x: Tensor) -> Tensor:
        """The maximum over all ranks, without a gradient."""
        if self.size == 1:
            return x.detach()
        _count("reduced", x.numel() * x.itemsize)
        return self._max(x.detach())

    def together(self, work: Callable[[], T]) -> T:
        """The result of ``work``; where it fails on one rank, all raise an error."""
        result, error = None, None
        try:
            result = work()
        except Exception as raised:
            error = raised
        failed = self.gather(None if error is None else f"{type(error).__name__}: {error}")
        if error is not None:
            raise error
        for rank, message in enumerate(failed):
            if message is not None:
                raise RuntimeError(f"rank {rank} failed with {message}")
        return result  # type: ignore[return-value]

    def agree(self, name: str, value: Any) -> None:
        """Check that a value is the same on all ranks."""
        values = self.gather(value)
        if any(other != values[0] for other in values):
            raise value_error(name, "the same on all ranks", values)


class Processes(Ranks):
    """The processes of a group, or this one alone.

    Args:
        group: of ``torch.distributed``; :obj:`None` is that of all processes, if there is one.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        ready = dist.is_available() and dist.is_initialized()
        if group is not None and not ready:
            raise value_error("group", "None before torch.distributed.init_process_group", "one")
        self.group = group
        self.rank = dist.get_rank(group) if ready else 0
        if self.rank < 0:
            raise value_error("group", "one that this process belongs to", "another")
        self.size = dist.get_world_size(group) if ready else 1
        # NCCL sends tensors on GPUs alone.
        self._needs_gpu = ready and dist.get_backend(group) == "nccl"

    @property
    def members(self) -> list[int]:
        """The numbers of these processes among all."""
        ready = dist.is_available() and dist.is_initialized()
        return dist.get_process_group_ranks(self.group or dist.group.WORLD) if ready else [0]

    def gather(self, value: T) -> list[T]:
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self.group)
        return values

    def gather_numbers(self, numbers: Tensor) -> Tensor:
        if self.size == 1:
            return numbers.unsqueeze(0)
        sent = self._carried(numbers)
        out = [torch.empty_like(sent) for _ in range(self.size)]
        dist.all_gather(out, sent, group=self.group)
        return torch.stack(out).to(numbers.device)

    def _exchange(self, x: Tensor, send: list[int], receive: list[int]) -> Tensor:
        sent = self._carried(x)
        out = sent.new_empty(sum(receive), *x.shape[1:])
        dist.all_to_all_single(out, sent, receive, send, group=self.group)
        return out.to(x.device)

    def _sum(self, x: Tensor) -> Tensor:
        return self._reduced(x, dist.ReduceOp.SUM)

    def _max(self, x: Tensor) -> Tensor:
        return self._reduced(x, dist.ReduceOp.MAX)

    def _reduced(self, x: Tensor, operation: Any) -> Tensor:
        out = self._carried(x).clone(memory_format=torch.contiguous_format)
        dist.all_reduce(out, operation, group=self.group)
        return out.to(x.device)

    def _carried(self, x: Tensor) -> Tensor:
        """The tensor in one piece, where the backend can read it."""
        is_hidden = self._needs_gpu and x.device.type == "cpu"
        return (x.cuda() if is_hidden else x).contiguous()


class _Exchange(torch.autograd.Function):
    """``all_to_all`` of rows; its derivative sends them back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, send: list[int], receive: list[int], ranks: Ranks) -> Tensor:
        ctx.arguments = receive, send, ranks
        rows = sum(send) - send[ranks.rank]
        _count("exchanged", rows * x.shape[1:].numel() * x.itemsize)
        return ranks._exchange(x, send, receive)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return _Exchange.apply(grad, *ctx.arguments), None, None, None


class _Sum(torch.autograd.Function):
    """``all_reduce``, whose derivative is the same of the gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        _count("reduced", x.numel() * x.itemsize)
        return ranks._sum(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return _Sum.apply(grad, ctx.ranks), None


def _count(kind: str, size: int) -> None:
    for traffic in _counting:
        setattr(traffic, kind, getattr(traffic, kind) + size)


def recompute(block: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """The output of a block that keeps its arguments alone, and is run again for its gradient."""
    options: dict[str, Any] = {"use_reentrant": False, "context_fn": _contexts}
    return checkpoint(block, *arguments, **options)


@dataclass(frozen=True)
class Rows:
    """The nodes whose rows a convolution reads, some of them copies.

    Attributes:
        first: the first own node.
        count: own nodes.
        num_nodes: own nodes and copies.
        num_edges: between these.
    """

    first: int
    count: int
    num_nodes: int
    num_edges: int

    def own(self, x: Tensor) -> Tensor:
        """Rows of own nodes, of which no other rank has one.

        Raises:
            ValueError: for rows that are, or may be, those of edges.
        """
        if len(x) != self.num_nodes or self.num_nodes == self.num_edges:
            expected = f"of nodes in a convolution of a graph over ranks, N = {self.num_nodes}"
            raise value_error("batch normalisation", expected, x)
        return x.narrow(0, self.first, self.count)


_rows: ContextVar[Rows | None] = ContextVar("rows", default=None)


def rows_of_convolution() -> Rows | None:
    """The rows of the convolution that is computed, where it reads copies."""
    return _rows.get()


def convolving(rows: Rows) -> AbstractContextManager[None]:
    """Compute a convolution that reads copies."""
    return _holding(_rows, rows)


# The part whose turn it is in this thread.
_turn: ContextVar[Ranks | None] = ContextVar("turn", default=None)


def current_turn() -> Ranks | None:
    """The part of this thread, where parts take turns in one process."""
    return _turn.get()


def taking_turns(ranks: Ranks) -> AbstractContextManager[None]:
    """Run one part in this thread."""
    return _holding(_turn, ranks)


def is_recomputing() -> bool:
    """Return True while a block is recomputed in the backward pass."""
    return _recomputing.get()


def _contexts() -> tuple[Any, Any]:
    return nullcontext(), _holding(_recomputing, True)
