"""Attention under a compiled map of columns, ``out_i = q_i . [ M (k (x) [v, 1]) ]_i``.

The lifted keys of a head are ``m (d + 1)`` columns. They are formed, multiplied and summed a line
of the cache at a time, 16 columns of all nodes, in buffers that are used again: nothing of the size
of all lifted keys is ever stored. The backward pass multiplies both k (x) [v, 1] and its adjoint
q (x) g again, and takes all gradients from the two.

Letters: H heads, N nodes, m features, d value channels.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_channels

from graphmask._checks import check_no_function_transforms

from ._autograd import Grads, differentiate
from ._extra import HAS_NUMBA, load_bodies

# Columns of a block: numbers of single precision in a line of the cache.
LANES = 16

# Numbers of all lifted keys from which on compiled bodies run.
_MIN_COMPILED_WORK = 2**18


class Head(ABC):
    """M of one head in compiled code, with buffers ``x`` and ``g`` for some blocks of columns each.

    A node's columns start every ``stride`` numbers, and those of results ``blocks * LANES``.
    """

    x: Any
    g: Any
    stride: int = LANES
    blocks: int = 1

    def clear(self, blocks: int) -> None:
        """Zeros in the place of blocks that are not there."""
        if blocks < self.blocks:
            self.x.fill(0)
            self.g.fill(0)

    @abstractmethod
    def multiply(self) -> Any:
        """``M x``; x may be overwritten."""

    @abstractmethod
    def differentiate(self) -> tuple[Any, Any]:
        """``M x`` and ``M^T g``, after adding up the gradients of parameters; both may be lost."""

    @abstractmethod
    def gradients(self) -> list[Tensor]:
        """The gradients of this head's parameters."""


class Columns(ABC):
    """A linear map of columns per head, differentiable in its parameters."""

    @abstractmethod
    def head(self, *parameters: Tensor) -> Head:
        """M of one head, whose parameters these are."""

    @abstractmethod
    def matmul(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """``M x`` for ``x [H, N, C]``, made of differentiable operators: for second derivatives."""


def runs_columns(x: Tensor, work: int) -> bool:
    """Return whether attention under columns runs compiled, for so many numbers of lifted keys."""
    floating = x.dtype in (torch.float32, torch.float64)
    fast = HAS_NUMBA and x.device.type == "cpu" and floating and work >= _MIN_COMPILED_WORK
    return fast and not torch.compiler.is_compiling()


def attend_columns(
    columns: Columns, q: Tensor, k: Tensor, v: Tensor, normalized: bool, *parameters: Tensor
) -> tuple[Tensor, Tensor | None]:
    r"""``[H, N, d]`` and ``[H, N]``, :math:`q_i \cdot [M (k \otimes v)]_i` and the same of v = 1.

    Args:
        columns: M.
        q: ``[H, N, m]`` features of queries.
        k: ``[H, N, m]`` features of keys.
        v: ``[H, N, d]`` values, of the same type as all others.
        normalized: whether the second sum is wanted.
        parameters: of M, ``[H, ...]`` each.

    Cost: ``m (d + 1)`` columns per head, and the same twice more in the backward pass; O(N (m + d))
    memory per head.
    """
    check_no_function_transforms()
    filled = [pad_channels(x, (0, -x.shape[-1] % LANES)).contiguous() for x in (q, k, v)]
    parameters = tuple(x.contiguous() for x in parameters)
    sums, total = _Attend.apply(columns, (q.shape[-1], normalized), *filled, *parameters)
    return sums[..., : v.shape[-1]], total if normalized else None


# A feature and the first of 16 channels; for denominators -1 and the first of 16 features.
Block = tuple[int, int]


class _Shape(NamedTuple):
    """The layout of q, k and v: the number of features, and both strides."""

    features: int
    normalized: bool
    m: int
    d: int

    def groups(self, size: int) -> Iterator[list[Block]]:
        """Ranges of blocks that are computed at a time."""
        blocks = list(itertools.product(range(self.features), range(0, self.d, LANES)))
        if self.normalized:
            blocks += [(-1, start) for start in range(0, self.m, LANES)]
        return (blocks[first : first + size] for first in range(0, len(blocks), size))


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        columns: Columns,
        options: tuple[int, bool],
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.columns, ctx.shape = columns, _Shape(*options, q.shape[-1], v.shape[-1])
        ctx.save_for_backward(q, k, v, *parameters)
        sums, total = torch.zeros_like(v), v.new_zeros(v.shape[:2])
        tensors = q, k, v, sums, total, *parameters
        _by_heads(lambda *head: _sum_head(columns, ctx.shape, *head), tensors)
        return sums, total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Grads:
        inputs = ctx.saved_tensors
        if torch.is_grad_enabled():

            def compose(*inputs: Tensor) -> tuple[Tensor, Tensor]:
                return _compose(ctx.columns, ctx.shape, *inputs)

            return None, None, *differentiate(compose, inputs, ctx.needs_input_grad[2:], grads)
        q, k, v, *parameters = inputs
        out = [torch.zeros_like(x) for x in (q, k, v)]
        tensors = q, k, v, *(x.contiguous() for x in grads), *out, *parameters
        found = _by_heads(lambda *head: _differentiate_head(ctx.columns, ctx.shape, *head), tensors)
        return None, None, *out, *(torch.stack(x) for x in zip(*found, strict=True))


def _by_heads(function: Callable[..., Any], tensors: Sequence[Tensor]) -> list[Any]:
    """``function`` of each head, on as many threads as torch."""
    heads = list(zip(*(x.detach() for x in tensors), strict=True))
    threads = min(torch.get_num_threads(), len(heads))
    if threads <= 1:
        return [function(*head) for head in heads]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda head: function(*head), heads))


def _sum_head(
    columns: Columns,
    shape: _Shape,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sums: Tensor,
    total: Tensor,
    *parameters: Tensor,
) -> None:
    bodies, head = load_bodies("_columns_numba"), columns.head(*parameters)
    queries, keys, values, *out = [x.view(-1).numpy() for x in (q, k, v, sums, total)]
    ones, sizes = torch.ones_like(total).numpy(), (shape.m, shape.d)
    for blocks in shape.groups(head.blocks):
        head.clear(len(blocks))
        for x, block in _each(blocks, head.x):
            bodies.lift(x, head.stride, keys, values, ones, *sizes, *block)
        for y, block in _each(blocks, head.multiply()):
            bodies.contract(y, head.blocks * LANES, queries, *out, *sizes, *block)


def _differentiate_head(
    columns: Columns,
    shape: _Shape,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    grad_sums: Tensor,
    grad_total: Tensor,
    grad_q: Tensor,
    grad_k: Tensor,
    grad_v: Tensor,
    *parameters: Tensor,
) -> list[Tensor]:
    bodies, head = load_bodies("_columns_numba"), columns.head(*parameters)
    ones = torch.ones_like(grad_total).numpy()
    tensors = q, k, v, grad_sums, grad_total, grad_q, grad_k, grad_v
    rows, sizes = [x.view(-1).numpy() for x in tensors], (shape.m, shape.d)
    queries, keys, values, g, totals = rows[:5]
    for blocks in shape.groups(head.blocks):
        head.clear(len(blocks))
        for x, block in _each(blocks, head.x):
            bodies.lift(x, head.stride, keys, values, ones, *sizes, *block)
        for x, block in _each(blocks, head.g):
            bodies.lift(x, head.stride, queries, g, totals, *sizes, *block)
        for y, z, block in _each(blocks, *head.differentiate()):
            bodies.differentiate(y, z, head.blocks * LANES, *rows[1:], *sizes, *block)
    return head.gradients()


def _each(blocks: Sequence[Block], *buffers: Any) -> Iterator[Any]:
    """The part of each buffer from a block on, and the block."""
    for index, block in enumerate(blocks):
        yield *(x[index * LANES :] for x in buffers), block


def _compose(
    columns: Columns, shape: _Shape, q: Tensor, k: Tensor, v: Tensor, *parameters: Tensor
) -> tuple[Tensor, Tensor]:
    """The same sums, made of differentiable operators."""
    q, k = q[..., : shape.features], k[..., : shape.features]
    values = torch.cat([v, v.new_ones(*v.shape[:2], 1)], -1)
    lifted = (k.unsqueeze(-1) * values.unsqueeze(-2)).flatten(-2)
    mixed = columns.matmul(lifted, *parameters).unflatten(-1, (k.shape[-1], -1))
    total = torch.einsum("hnm,hnmd->hnd", q, mixed)
    return total[..., :-1], total[..., -1]
