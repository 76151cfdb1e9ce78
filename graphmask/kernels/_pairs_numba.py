"""Attention by pairs, compiled for CPUs.

Each row sums over its pairs in registers, and nothing is written per pair.

Arrays are one-dimensional and given with the distance of their rows, in which heads lie side by
side: ``x [N, H, C]``. Heads are taken in groups that fit the registers. Letters: H heads, m
features, d value channels.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ._compiled import compiled, flat, inlined
from ._vectors import (
    LINE,
    add,
    fill,
    load,
    multiply,
    prefetch,
    prefetch_like,
    spread,
    store,
    sum_heads,
    sum_lanes,
    with_sign_of,
    zeros,
)

# Bytes of the channels that a group of heads holds in registers, of each of queries, keys, values
# and gradients.
_GROUP = 256

# Multiply-adds that are worth a thread, and pieces of work for each thread: pieces of equal numbers
# of pairs take unequal time.
_WORTH_A_THREAD = 2**25
_PIECES = 4

# Pairs between asking for memory and reading it: channels that lie in order, values of the mask
# that lie anywhere.
_AHEAD = 6
_FAR = 20


class Bodies(NamedTuple):
    """The three loops, compiled for some numbers of heads and channels."""

    attend: Callable[..., None]
    rows: Callable[..., None]
    columns: Callable[..., None]


class Rows(NamedTuple):
    """``[H, N, C]`` as memory: numbers, and the distance from one node's to the next node's."""

    numbers: np.ndarray
    step: int


def attend(
    q: Tensor, k: Tensor, v: Tensor, value: Tensor,
    rowptr: Tensor, col: Tensor, visits: Tensor, signed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Numerator ``[H, N, d]`` and normaliser ``[H, N]``, laid out by nodes."""
    heads, nodes = q.shape[:2]
    out, size = v.new_empty(nodes, heads, v.shape[2]), v.new_empty(nodes, heads)
    bodies, work = _bodies_for(q, v, value), _work(q, v, col)
    inputs = *_rows(q), *_rows(k), *_rows(v), _by_pairs(value), signed, heads
    _run(
        bodies.attend,
        rowptr,
        visits,
        work,
        (flat(rowptr), flat(col), *inputs, flat(out), flat(size)),
    )
    return out.transpose(0, 1), size.mT


def differentiate_rows(
    above: Tensor, above_size: Tensor, q: Tensor, k: Tensor, v: Tensor, value: Tensor,
    rowptr: Tensor, col: Tensor, visits: Tensor, signed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradients of the queries ``[H, N, m]`` and of the values of the mask ``[H or 1, P]``."""
    heads, nodes, channels = q.shape
    grad_q, grad_value = (
        q.new_empty(nodes, heads, channels),
        value.new_empty(value.shape[1], value.shape[0]),
    )
    if len(value) < heads:
        # Groups of heads add to what they share.
        grad_value.zero_()
    bodies, work = _bodies_for(q, v, value), _work(q, v, col)
    inputs = (
        *_rows(q),
        *_rows(k),
        *_rows(v),
        _by_pairs(value),
        signed,
        heads,
        *_rows(above),
        *_rows(above_size.unsqueeze(2)),
    )
    _run(
        bodies.rows,
        rowptr,
        visits,
        work,
        (flat(rowptr), flat(col), *inputs, flat(grad_q), flat(grad_value)),
    )
    return grad_q.transpose(0, 1), grad_value.mT


def differentiate_columns(
    above: Tensor, above_size: Tensor, q: Tensor, k: Tensor, v: Tensor, value: Tensor,
    colptr: Tensor, row: Tensor, order: Tensor, visits: Tensor, signed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradients of the keys ``[H, N, m]`` and of the values ``[H, N, d]``."""
    heads, nodes, channels = k.shape
    grad_k, grad_v = k.new_empty(nodes, heads, channels), v.new_empty(nodes, heads, v.shape[2])
    bodies, work = _bodies_for(q, v, value), _work(q, v, row)
    inputs = (
        *_rows(q),
        *_rows(k),
        *_rows(v),
        _by_pairs(value),
        signed,
        heads,
        *_rows(above),
        *_rows(above_size.unsqueeze(2)),
    )
    structure = flat(colptr), flat(row), flat(order)
    _run(bodies.columns, colptr, visits, work, (*structure, *inputs, flat(grad_k), flat(grad_v)))
    return grad_k.transpose(0, 1), grad_v.transpose(0, 1)


@inlined
def ask_for_pairs(x, width, begin, end):  # type: ignore[no-untyped-def]
    """All that pairs of one row read: ``width`` numbers each, side by side."""
    for number in range(begin * width, end * width, LINE // x.itemsize):
        prefetch(x, number, 1)


@inlined
def ask_for_nodes(index, begin, end, x, x_step, like):  # type: ignore[no-untyped-def]
    """The first nodes that a row reads."""
    for pair in range(begin, min(begin + _AHEAD, end)):
        prefetch_like(x, index[pair] * x_step, like)


def _rows(x: Tensor) -> Rows:
    """The numbers of ``[H, N, C]`` where they lie, if each node's heads lie side by side there."""
    heads, nodes, channels = x.shape
    if (x.stride(2) != 1 and channels > 1) or (x.stride(0) != channels and heads > 1):
        x = x.transpose(0, 1).contiguous().transpose(0, 1)
    span = (nodes - 1) * x.stride(1) + heads * channels if x.numel() else 0
    return Rows(x.detach().as_strided((span,), (1,)).numpy(), x.stride(1))


def _by_pairs(value: Tensor) -> np.ndarray:
    """``[H, P]`` as ``[P, H]``: the heads of a pair are read together."""
    return flat(value.mT.contiguous())


def _work(q: Tensor, v: Tensor, col: Tensor) -> int:
    return col.numel() * q.shape[0] * (q.shape[2] + v.shape[2])


def _run(
    body: Callable[..., None], ptr: Tensor, visits: Tensor, work: int, args: tuple[Any, ...]
) -> None:
    """All rows, in the order of visits where there is one, on as many threads as torch uses.

    A row is summed by one thread in one order, so that results do not depend on the number of
    threads.
    """
    start = flat(ptr)
    order = flat(visits) if visits.numel() else start[:0]
    threads = min(torch.get_num_threads(), max(1, work // _WORTH_A_THREAD))
    if threads == 1:
        body(order, 0, len(start) - 1, *args)
        return
    counts = np.diff(start)
    done = np.cumsum(counts[order] if len(order) else counts, dtype=np.int64)
    pieces = threads * _PIECES
    ends = np.searchsorted(done, done[-1] * np.arange(1, pieces) // pieces)
    bounds = [0, *ends.tolist(), len(counts)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda first, last: body(order, first, last, *args), bounds[:-1], bounds[1:]))


def _bodies_for(q: Tensor, v: Tensor, value: Tensor) -> Bodies:
    heads, widest = q.shape[0], max(q.shape[2], v.shape[2])
    fitting = [
        size
        for size in range(1, heads + 1)
        if heads % size == 0 and size * widest * q.element_size() <= _GROUP
    ]
    return _bodies(max(fitting, default=1), q.shape[2], v.shape[2], value.shape[0] < heads)


@cache
def _bodies(group: int, m: int, d: int, shared: bool) -> Bodies:
    """The loops for ``group`` heads at a time, whose pairs have one value each or share one."""
    keys, values = group * m, group * d

    def attend(  # type: ignore[no-untyped-def]
        visits,
        first,
        last,
        ptr,
        col,
        q,
        q_step,
        k,
        k_step,
        v,
        v_step,
        value,
        signed,
        heads,
        out,
        size,
    ):
        width = 1 if shared else heads
        for place in range(first, last):
            i = visits[place] if len(visits) else place
            if len(visits):
                # The next rows lie anywhere: what they read is asked for while this one is summed.
                following = visits[min(place + 2, last - 1)]
                ask_for_pairs(col, 1, ptr[following], ptr[following + 1])
                ask_for_pairs(value, width, ptr[following], ptr[following + 1])
                following = visits[min(place + 1, last - 1)]
                prefetch(q, following * q_step, keys)
                ask_for_nodes(col, ptr[following], ptr[following + 1], k, k_step, zeros(k, keys))
                ask_for_nodes(col, ptr[following], ptr[following + 1], v, v_step, zeros(v, values))
            for head in range(0, heads, group):
                query = load(q, i * q_step + head * m, keys)
                total, total_size = zeros(q, values), zeros(q, group)
                for pair in range(ptr[i], ptr[i + 1]):
                    j = col[pair]
                    later = min(pair + _AHEAD, len(col) - 1)
                    prefetch(k, col[later] * k_step + head * m, keys)
                    prefetch(v, col[later] * v_step + head * d, values)
                    mask = (
                        fill(value[pair], group)
                        if shared
                        else load(value, pair * heads + head, group)
                    )
                    score = sum_heads(multiply(query, load(k, j * k_step + head * m, keys)), group)
                    total = add(
                        total,
                        multiply(
                            spread(multiply(mask, score), total),
                            load(v, j * v_step + head * d, values),
                        ),
                    )
                    total_size = add(
                        total_size, multiply(with_sign_of(mask, mask) if signed else mask, score)
                    )
                store(out, (i * heads + head) * d, total)
                store(size, i * heads + head, total_size)

    def rows(  # type: ignore[no-untyped-def]
        visits, first, last, ptr, col, q, q_step, k, k_step, v, v_step, value, signed, heads,
        above, above_step, above_size, size_step, grad_q, grad_value,
    ):  # fmt: skip
        width = 1 if shared else heads
        for place in range(first, last):
            i = visits[place] if len(visits) else place
            if len(visits):
                following = visits[min(place + 2, last - 1)]
                ask_for_pairs(col, 1, ptr[following], ptr[following + 1])
                ask_for_pairs(value, width, ptr[following], ptr[following + 1])
                ask_for_pairs(grad_value, width, ptr[following], ptr[following + 1])
                following = visits[min(place + 1, last - 1)]
                prefetch(q, following * q_step, keys)
                prefetch(above, following * above_step, values)
                ask_for_nodes(col, ptr[following], ptr[following + 1], k, k_step, zeros(k, keys))
                ask_for_nodes(col, ptr[following], ptr[following + 1], v, v_step, zeros(v, values))
            for head in range(0, heads, group):
                query = load(q, i * q_step + head * m, keys)
                slope = load(above, i * above_step + head * d, values)
                size = load(above_size, i * size_step + head, group)
                total = zeros(q, keys)
                for pair in range(ptr[i], ptr[i + 1]):
                    j = col[pair]
                    later = min(pair + _AHEAD, len(col) - 1)
                    prefetch(k, col[later] * k_step + head * m, keys)
                    prefetch(v, col[later] * v_step + head * d, values)
                    key = load(k, j * k_step + head * m, keys)
                    mask = (
                        fill(value[pair], group)
                        if shared
                        else load(value, pair * heads + head, group)
                    )
                    weight = sum_heads(
                        multiply(slope, load(v, j * v_step + head * d, values)), group
                    )
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
        width = 1 if shared else heads
        for place in range(first, last):
            j = visits[place] if len(visits) else place
            if len(visits):
                following = visits[min(place + 2, last - 1)]
                ask_for_pairs(row, 1, ptr[following], ptr[following + 1])
                ask_for_pairs(order, 1, ptr[following], ptr[following + 1])
                following = visits[min(place + 1, last - 1)]
                for entry in range(ptr[following], min(ptr[following] + _FAR, ptr[following + 1])):
                    prefetch(value, order[entry] * width, 1)
                prefetch(k, following * k_step, keys)
                prefetch(v, following * v_step, values)
                ask_for_nodes(row, ptr[following], ptr[following + 1], q, q_step, zeros(q, keys))
                ask_for_nodes(
                    row, ptr[following], ptr[following + 1], above, above_step, zeros(above, values)
                )
            for head in range(0, heads, group):
                key, value_j = (
                    load(k, j * k_step + head * m, keys),
                    load(v, j * v_step + head * d, values),
                )
                total_k, total_v = zeros(k, keys), zeros(k, values)
                for entry in range(ptr[j], ptr[j + 1]):
                    i, pair = row[entry], np.int64(order[entry])
                    later = min(entry + _AHEAD, len(row) - 1)
                    prefetch(q, row[later] * q_step + head * m, keys)
                    prefetch(above, row[later] * above_step + head * d, values)
                    prefetch(above_size, row[later] * size_step, 1)
                    prefetch(value, order[min(entry + _FAR, len(row) - 1)] * width, 1)
                    query = load(q, i * q_step + head * m, keys)
                    slope = load(above, i * above_step + head * d, values)
                    size = load(above_size, i * size_step + head, group)
                    mask = (
                        fill(value[pair], group)
                        if shared
                        else load(value, pair * heads + head, group)
                    )
                    score = multiply(mask, sum_heads(multiply(query, key), group))
                    total_v = add(total_v, multiply(spread(score, total_v), slope))
                    weight = add(
                        sum_heads(multiply(slope, value_j), group),
                        with_sign_of(size, mask) if signed else size,
                    )
                    total_k = add(total_k, multiply(spread(multiply(mask, weight), total_k), query))
                store(grad_k, (j * heads + head) * m, total_k)
                store(grad_v, (j * heads + head) * d, total_v)

    return Bodies(compiled(attend), compiled(rows), compiled(columns))
