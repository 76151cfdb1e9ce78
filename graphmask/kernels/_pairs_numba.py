"""Attention by pairs, compiled for CPUs: each row sums over its pairs in registers, and nothing is written per pair.

Arrays are one-dimensional and given with the distance of their rows, in which heads lie side by side: ``x [N, H, C]``. Heads
are taken in groups that fit the registers. Letters: H heads, m features, d value channels.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from ._vectors import add, fill, load, multiply, spread, store, sum_heads, sum_lanes, with_sign_of, zeros

# Bytes of the channels that a group of heads holds in registers, of each of queries, keys, values and gradients.
_GROUP = 256

# Multiply-adds that are worth a thread, and pieces of work for each thread: pieces of equal numbers of pairs take unequal time.
_WORTH_A_THREAD = 2**20
_PIECES = 4


class Bodies(NamedTuple):
    """The three loops, compiled for some numbers of heads and channels."""

    forward: Callable[..., None]
    rows: Callable[..., None]
    columns: Callable[..., None]


class Rows(NamedTuple):
    """``[H, N, C]`` as memory: numbers, and the distance from one node's to the next node's."""

    numbers: np.ndarray
    step: int


def forward(
    q: Tensor, k: Tensor, v: Tensor, value: Tensor, rowptr: Tensor, col: Tensor, schedule: Tensor, signed: bool
) -> tuple[Tensor, Tensor]:
    """Numerator ``[H, N, d]`` and normaliser ``[H, N]``, laid out by nodes."""
    heads, nodes = q.shape[:2]
    numerator, normaliser = v.new_empty(nodes, heads, v.shape[2]), v.new_empty(nodes, heads)
    inputs = (*_rows(q), *_rows(k), *_rows(v), _by_pairs(value), signed, heads)
    outputs = _flat(numerator), _flat(normaliser)
    body = _bodies_for(q, v, value).forward
    _run(body, rowptr, schedule, _work(q, v, col), (_flat(rowptr), _flat(col), *inputs, *outputs))
    return numerator.transpose(0, 1), normaliser.mT


def backward_rows(
    above: Tensor,
    above_size: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor,
    rowptr: Tensor,
    col: Tensor,
    schedule: Tensor,
    signed: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of the queries ``[H, N, m]`` and of the values of the mask ``[H or 1, P]``."""
    heads, nodes, channels = q.shape
    grad_q, grad_value = q.new_empty(nodes, heads, channels), value.new_empty(value.shape[1], value.shape[0])
    inputs = (*_rows(q), *_rows(k), *_rows(v), _by_pairs(value), signed, heads, *_rows(above), *_rows(above_size.unsqueeze(2)))
    # Groups of heads that share the values add to their gradient.
    shared = value.shape[0] < heads
    if shared:
        grad_value.zero_()
    body = _bodies_for(q, v, value).rows
    outputs = _flat(grad_q), _flat(grad_value)
    _run(body, rowptr, schedule, _work(q, v, col), (_flat(rowptr), _flat(col), *inputs, *outputs))
    return grad_q.transpose(0, 1), grad_value.mT


def backward_columns(
    above: Tensor,
    above_size: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor,
    colptr: Tensor,
    row: Tensor,
    order: Tensor,
    schedule: Tensor,
    signed: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of the keys ``[H, N, m]`` and of the values ``[H, N, d]``."""
    heads, nodes, channels = k.shape
    grad_k, grad_v = k.new_empty(nodes, heads, channels), v.new_empty(nodes, heads, v.shape[2])
    inputs = (*_rows(q), *_rows(k), *_rows(v), _by_pairs(value), signed, heads, *_rows(above), *_rows(above_size.unsqueeze(2)))
    body = _bodies_for(q, v, value).columns
    outputs = _flat(grad_k), _flat(grad_v)
    _run(body, colptr, schedule, _work(q, v, row), (_flat(colptr), _flat(row), _flat(order), *inputs, *outputs))
    return grad_k.transpose(0, 1), grad_v.transpose(0, 1)


def _rows(x: Tensor) -> Rows:
    """The numbers of ``[H, N, C]`` where they lie, if each node's heads lie side by side there."""
    heads, nodes, channels = x.shape
    if (x.stride(2) != 1 and channels > 1) or (x.stride(0) != channels and heads > 1):
        x = x.transpose(0, 1).contiguous().transpose(0, 1)
    span = (nodes - 1) * x.stride(1) + heads * channels
    return Rows(x.detach().as_strided((span,), (1,)).numpy(), x.stride(1))


def _by_pairs(value: Tensor) -> np.ndarray:
    """``[H, P]`` as ``[P, H]``: the heads of a pair are read together."""
    return _flat(value.mT.contiguous())


def _flat(x: Tensor) -> np.ndarray:
    return x.detach().contiguous().view(-1).numpy()


def _work(q: Tensor, v: Tensor, col: Tensor) -> int:
    return col.numel() * q.shape[0] * (q.shape[2] + v.shape[2])


def _run(body: Callable[..., None], ptr: Tensor, schedule: Tensor, work: int, args: tuple[Any, ...]) -> None:
    """All rows, in the order of the schedule where there is one, on as many threads as torch uses.

    A row is summed by one thread in one order, so that results do not depend on the number of threads.
    """
    start = _flat(ptr)
    visits = _flat(schedule) if schedule.numel() else np.empty(0, start.dtype)
    threads = min(torch.get_num_threads(), max(1, work // _WORTH_A_THREAD))
    if threads == 1:
        body(visits, 0, len(start) - 1, *args)
        return
    counts = np.diff(start)
    done = np.cumsum(counts[visits] if len(visits) else counts, dtype=np.int64)
    pieces = threads * _PIECES
    ends = np.searchsorted(done, done[-1] * np.arange(1, pieces, dtype=np.int64) // pieces)
    bounds = [0, *ends.tolist(), len(counts)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda first, last: body(visits, first, last, *args), bounds[:-1], bounds[1:]))


def _bodies_for(q: Tensor, v: Tensor, value: Tensor) -> Bodies:
    heads, widest = q.shape[0], max(q.shape[2], v.shape[2])
    fitting = [size for size in range(1, heads + 1) if heads % size == 0 and size * widest * q.element_size() <= _GROUP]
    return _bodies(max(fitting, default=1), q.shape[2], v.shape[2], value.shape[0] < heads)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled without the interpreter's lock; kept on disk where a place for it can be written."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)


@cache
def _bodies(group: int, m: int, d: int, shared: bool) -> Bodies:
    """The loops for ``group`` heads at a time, whose pairs have one value each or share one."""
    keys, values = group * m, group * d

    def forward(  # type: ignore[no-untyped-def]
        visits, first, last, ptr, col, q, q_step, k, k_step, v, v_step, value, signed, heads, out, size
    ):
        for place in range(first, last):
            i = visits[place] if len(visits) else place
            for head in range(0, heads, group):
                query = load(q, i * q_step + head * m, keys)
                total, total_size = zeros(q, values), zeros(q, group)
                for pair in range(ptr[i], ptr[i + 1]):
                    j = col[pair]
                    mask = fill(value[pair], group) if shared else load(value, pair * heads + head, group)
                    score = sum_heads(multiply(query, load(k, j * k_step + head * m, keys)), group)
                    total = add(total, multiply(spread(multiply(mask, score), total), load(v, j * v_step + head * d, values)))
                    total_size = add(total_size, multiply(with_sign_of(mask, mask) if signed else mask, score))
                store(out, (i * heads + head) * d, total)
                store(size, i * heads + head, total_size)

    def rows(  # type: ignore[no-untyped-def]
        visits, first, last, ptr, col, q, q_step, k, k_step, v, v_step, value, signed, heads,
        above, above_step, above_size, size_step, grad_q, grad_value,
    ):  # fmt: skip
        for place in range(first, last):
            i = visits[place] if len(visits) else place
            for head in range(0, heads, group):
                query = load(q, i * q_step + head * m, keys)
                slope = load(above, i * above_step + head * d, values)
                size = load(above_size, i * size_step + head, group)
                total = zeros(q, keys)
                for pair in range(ptr[i], ptr[i + 1]):
                    j = col[pair]
                    key = load(k, j * k_step + head * m, keys)
                    mask = fill(value[pair], group) if shared else load(value, pair * heads + head, group)
                    weight = sum_heads(multiply(slope, load(v, j * v_step + head * d, values)), group)
                    weight = add(weight, with_sign_of(size, mask) if signed else size)
                    change = multiply(sum_heads(multiply(query, key), group), weight)
                    if shared:
                        grad_value[pair] += sum_lanes(change)
                    else:
                        store(grad_value, pair * heads + head, change)
                    total = add(total, multiply(spread(multiply(mask, weight), total), key))
                store(grad_q, (i * heads + head) * m, total)

    def columns(  # type: ignore[no-untyped-def]
        visits, first, last, ptr, row, order, q, q_step, k, k_step, v, v_step, value, signed, heads,
        above, above_step, above_size, size_step, grad_k, grad_v,
    ):  # fmt: skip
        for place in range(first, last):
            j = visits[place] if len(visits) else place
            for head in range(0, heads, group):
                key, end = load(k, j * k_step + head * m, keys), load(v, j * v_step + head * d, values)
                total_k, total_v = zeros(k, keys), zeros(k, values)
                for entry in range(ptr[j], ptr[j + 1]):
                    i, pair = row[entry], np.int64(order[entry])
                    query = load(q, i * q_step + head * m, keys)
                    slope = load(above, i * above_step + head * d, values)
                    size = load(above_size, i * size_step + head, group)
                    mask = fill(value[pair], group) if shared else load(value, pair * heads + head, group)
                    score = multiply(mask, sum_heads(multiply(query, key), group))
                    total_v = add(total_v, multiply(spread(score, total_v), slope))
                    weight = add(sum_heads(multiply(slope, end), group), with_sign_of(size, mask) if signed else size)
                    total_k = add(total_k, multiply(spread(multiply(mask, weight), total_k), query))
                store(grad_k, (j * heads + head) * m, total_k)
                store(grad_v, (j * heads + head) * d, total_v)

    return Bodies(*map(_compiled, (forward, rows, columns)))
