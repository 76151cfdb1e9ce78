"""Pair attention, compiled for CPUs: rows sum over their pairs in registers.

Nothing is written per pair but the gradient of the mask. Exponentials of scores are divided by the
largest of the row so far, and sums are scaled anew where a larger one comes. Arrays are
one-dimensional, and heads lie side by side: ``x [N, H, C]``. Heads are handled in groups that fit
the registers.
Letters: H heads, m features, d value channels, P pairs.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ._compiled import Rows, compiled, flat, inlined, rows_of, run_rows
from ._options import Options
from ._vectors import (
    LINE,
    add,
    any_larger,
    exponential,
    fill,
    larger,
    least,
    load,
    multiply,
    one,
    power_of_2,
    prefetch,
    spread,
    store,
    subtract,
    sum_heads,
    sum_lanes,
    where_nonzero,
    with_sign_of,
    zeros,
    zeros_of,
)

# Bytes of the channels that a group of heads holds in registers, of each of queries, keys, values
# and gradients.
_GROUP = 256

# Pairs between prefetching memory and reading it: channels that lie in order, values of the mask
# that lie anywhere.
_AHEAD = 6
_FAR = 20


class Inputs(NamedTuple):
    """The operands; ``value [P, H or 1]`` by pairs, since the heads of a pair are read together."""

    q: Rows
    k: Rows
    v: Rows
    value: np.ndarray
    signed: bool
    heads: int


class Grads(NamedTuple):
    """Gradients of the numerator and of the denominator, and the shift of :func:`attend`."""

    numerator: Rows
    denominator: Rows
    shift: Rows


class Kind(NamedTuple):
    """The constants that a loop body is compiled for.

    Args:
        group: heads that are handled at once.
        m: features.
        d: value channels.
        shared: whether all heads share the values of the mask.
        normalized: whether there is a denominator.
        exponentials: whether scores are exponentials of inner products.
        plus_one: whether scores are inner products plus one.
    """

    group: int
    m: int
    d: int
    shared: bool
    normalized: bool
    exponentials: bool
    plus_one: bool


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor,
    structure: Sequence[Tensor],
    row_order: Tensor,
    options: Options,
) -> tuple[Tensor, Tensor, Tensor]:
    """Numerator ``[H, N, d]``, denominator and shift ``[H, N]``, laid out by nodes.

    Of the last two those that the options do not ask for are empty.
    """
    rowptr, col, *_ = structure
    out, sizes = _by_nodes(v), (options.normalized, options.exponentials)
    size, shift = (v.new_empty(v.shape[1::-1] if wanted else (0, 0)) for wanted in sizes)
    args = flat(col), _inputs(q, k, v, value, options), flat(out), flat(size), flat(shift)
    body = _compile_attend(_kind(q, v, value, options))
    run_rows(body, rowptr, _work(q, v, col), args, row_order)
    # Rows without entries.
    shift.masked_fill_(shift == torch.finfo(shift.dtype).min, 0)
    return out.transpose(0, 1), size.mT, shift.mT


def differentiate_rows(
    grad: Tensor, grad_denominator: Tensor, shift: Tensor, *inputs: Any
) -> tuple[Tensor, Tensor]:
    """Gradients of the queries ``[H, N, m]`` and of the values of the mask ``[H or 1, P]``.

    ``inputs`` are those of :func:`attend`.
    """
    q, k, v, value, (rowptr, col, *_), row_order, options = inputs
    grad_q, grad_value = _by_nodes(q), value.new_empty(value.shape[::-1])
    if len(value) < len(q):
        # Groups of heads add to what they share.
        grad_value.zero_()
    grads = _grads(grad, grad_denominator, shift)
    args = flat(col), _inputs(q, k, v, value, options), grads, flat(grad_q), flat(grad_value)
    body = _compile_rows(_kind(q, v, value, options))
    run_rows(body, rowptr, _work(q, v, col), args, row_order)
    return grad_q.transpose(0, 1), grad_value.mT


def differentiate_columns(
    grad: Tensor, grad_denominator: Tensor, shift: Tensor, *inputs: Any
) -> tuple[Tensor, Tensor]:
    """Gradients of the keys ``[H, N, m]`` and of the values ``[H, N, d]``."""
    q, k, v, value, (_, _, colptr, row, csc_perm, _), row_order, options = inputs
    grad_k, grad_v, grads = _by_nodes(k), _by_nodes(v), _grads(grad, grad_denominator, shift)
    outputs = flat(grad_k), flat(grad_v)
    args = flat(row), flat(csc_perm), _inputs(q, k, v, value, options), grads, *outputs
    body = _compile_columns(_kind(q, v, value, options))
    run_rows(body, colptr, _work(q, v, row), args, row_order)
    return grad_k.transpose(0, 1), grad_v.transpose(0, 1)


def _by_nodes(x: Tensor) -> Tensor:
    """Memory for ``[N, H, C]``."""
    return x.new_empty(x.shape[1], x.shape[0], x.shape[2])


def _inputs(q: Tensor, k: Tensor, v: Tensor, value: Tensor, options: Options) -> Inputs:
    values = flat(value.mT.contiguous())
    return Inputs(rows_of(q), rows_of(k), rows_of(v), values, options.signed, len(q))


def _grads(*tensors: Tensor) -> Grads:
    grad, *numbers = tensors
    return Grads(rows_of(grad), *(rows_of(x.unsqueeze(2)) for x in numbers))


def _work(q: Tensor, v: Tensor, col: Tensor) -> int:
    return col.numel() * q.shape[0] * (q.shape[2] + v.shape[2])


def _kind(q: Tensor, v: Tensor, value: Tensor, options: Options) -> Kind:
    heads, m, d = q.shape[0], q.shape[2], v.shape[2]
    head_size = power_of_2(max(m, d)) * q.element_size()
    groups = [2**i for i in range(9) if heads % 2**i == 0 and 2**i * head_size <= _GROUP]
    shared = len(value) < heads
    return Kind(max(groups, default=1), m, d, shared, *options[1:])


@inlined
def prefetch_pairs(x, width, begin, end):
    """Prefetch what the pairs of a row read: ``width`` consecutive numbers per pair."""
    for index in range(begin * width, end * width, LINE // x.itemsize):
        prefetch(x, index, zeros(x, 1))


@inlined
def prefetch_nodes(index, begin, end, x, like):
    """Prefetch the first nodes that a row reads."""
    for pair in range(begin, min(begin + _AHEAD, end)):
        prefetch(x.data, index[pair] * x.stride, like)


@inlined
def prefetch_rows(order, position, last, ptr, col, inputs, width, key, value):
    """Prefetch the next rows of an order, which may lie anywhere, during the current one."""
    row = order[min(position + 2, last - 1)]
    prefetch_pairs(col, 1, ptr[row], ptr[row + 1])
    prefetch_pairs(inputs.value, width, ptr[row], ptr[row + 1])
    row = order[min(position + 1, last - 1)]
    prefetch(inputs.q.data, row * inputs.q.stride, key)
    prefetch_nodes(col, ptr[row], ptr[row + 1], inputs.k, key)
    prefetch_nodes(col, ptr[row], ptr[row + 1], inputs.v, value)


@inlined
def load_heads(x, node, head, channels, like):
    """Load the channels of a group of heads of a node."""
    return load(x.data, node * x.stride + head * channels, like)


@inlined
def load_ahead(x, index, pair, head, channels, like):
    """Load the channels of the node of a pair, and prefetch those of a later pair."""
    later = index[min(pair + _AHEAD, len(index) - 1)]
    prefetch(x.data, later * x.stride + head * channels, like)
    return load_heads(x, index[pair], head, channels, like)


@inlined
def load_mask(value, pair, heads, head, shared, like):
    """The values of the mask at a pair."""
    if shared:
        return fill(value[pair], like)
    return load(value, pair * heads + head, like)


@inlined
def score_of(query, key, plus_one, like):
    """Inner products of the channels of each head, or these plus one."""
    score = sum_heads(multiply(query, key), like)
    if plus_one:
        return add(score, one(like))
    return score


@inlined
def exponential_of(score, mask, top):
    """Exponentials of scores where the mask is not 0, divided by that of the largest."""
    return exponential(subtract(where_nonzero(score, mask), top))


@cache
def _compile_attend(kind: Kind) -> Callable[..., None]:
    group, m, d, shared, normalized, exponentials, plus_one = kind

    def attend(order, first, last, ptr, col, inputs, out, size, shift):
        q, k, v, value, signed, heads = inputs
        width = 1 if shared else heads
        per_key, per_value = zeros_of(q.data, group, m), zeros_of(q.data, group, d)
        per_head = zeros(q.data, group)
        for position in range(first, last):
            i = position
            if len(order):
                i = order[position]
                prefetch_rows(order, position, last, ptr, col, inputs, width, per_key, per_value)
            for head in range(0, heads, group):
                query = load_heads(q, i, head, m, per_key)
                total, total_size, top = per_value, per_head, least(per_head)
                for pair in range(ptr[i], ptr[i + 1]):
                    key = load_ahead(k, col, pair, head, m, per_key)
                    value_j = load_ahead(v, col, pair, head, d, per_value)
                    mask = load_mask(value, pair, heads, head, shared, per_head)
                    score = score_of(query, key, plus_one, per_head)
                    if exponentials:
                        score = where_nonzero(score, mask)
                        if any_larger(score, top):
                            higher = larger(score, top)
                            factor = exponential(subtract(top, higher))
                            total = multiply(spread(factor, per_value), total)
                            total_size = multiply(factor, total_size)
                            top = higher
                        score = exponential(subtract(score, top))
                    weight = spread(multiply(mask, score), per_value)
                    total = add(total, multiply(weight, value_j))
                    if normalized:
                        magnitude = with_sign_of(mask, mask) if signed else mask
                        total_size = add(total_size, multiply(magnitude, score))
                store(out, (i * heads + head) * d, total)
                if normalized:
                    store(size, i * heads + head, total_size)
                if exponentials:
                    store(shift, i * heads + head, top)

    return compiled(attend)


@cache
def _compile_rows(kind: Kind) -> Callable[..., None]:
    group, m, d, shared, normalized, exponentials, plus_one = kind

    def rows(order, first, last, ptr, col, inputs, grads, grad_q, grad_value):
        q, k, v, value, signed, heads = inputs
        width = 1 if shared else heads
        per_key, per_value = zeros_of(q.data, group, m), zeros_of(q.data, group, d)
        per_head = zeros(q.data, group)
        for position in range(first, last):
            i = position
            if len(order):
                i = order[position]
                prefetch_rows(order, position, last, ptr, col, inputs, width, per_key, per_value)
                row = order[min(position + 2, last - 1)]
                prefetch_pairs(grad_value, width, ptr[row], ptr[row + 1])
                row = order[min(position + 1, last - 1)]
                prefetch(grads.numerator.data, row * grads.numerator.stride, per_value)
            for head in range(0, heads, group):
                query = load_heads(q, i, head, m, per_key)
                grad = load_heads(grads.numerator, i, head, d, per_value)
                grad_size, top, total = per_head, per_head, per_key
                if normalized:
                    grad_size = load_heads(grads.denominator, i, head, 1, per_head)
                if exponentials:
                    top = load_heads(grads.shift, i, head, 1, per_head)
                for pair in range(ptr[i], ptr[i + 1]):
                    key = load_ahead(k, col, pair, head, m, per_key)
                    value_j = load_ahead(v, col, pair, head, d, per_value)
                    mask = load_mask(value, pair, heads, head, shared, per_head)
                    slope = sum_heads(multiply(grad, value_j), per_head)
                    if normalized:
                        slope = add(slope, with_sign_of(grad_size, mask) if signed else grad_size)
                    score = score_of(query, key, plus_one, per_head)
                    if exponentials:
                        score = exponential_of(score, mask, top)
                    change = multiply(score, slope)
                    if shared:
                        grad_value[pair] += sum_lanes(change)
                    else:
                        store(grad_value, pair * heads + head, change)
                    slope = multiply(mask, change if exponentials else slope)
                    total = add(total, multiply(spread(slope, per_key), key))
                store(grad_q, (i * heads + head) * m, total)

    return compiled(rows)


@cache
def _compile_columns(kind: Kind) -> Callable[..., None]:
    group, m, d, shared, normalized, exponentials, plus_one = kind

    def columns(order, first, last, ptr, row, perm, inputs, grads, grad_k, grad_v):
        q, k, v, value, signed, heads = inputs
        width = 1 if shared else heads
        per_key, per_value = zeros_of(q.data, group, m), zeros_of(q.data, group, d)
        per_head, single = zeros(q.data, group), zeros(q.data, 1)
        for position in range(first, last):
            j = position
            if len(order):
                j = order[position]
                column = order[min(position + 2, last - 1)]
                prefetch_pairs(row, 1, ptr[column], ptr[column + 1])
                prefetch_pairs(perm, 1, ptr[column], ptr[column + 1])
                column = order[min(position + 1, last - 1)]
                begin, end = ptr[column], ptr[column + 1]
                for entry in range(begin, min(begin + _FAR, end)):
                    prefetch(value, perm[entry] * width, single)
                prefetch(k.data, column * k.stride, per_key)
                prefetch(v.data, column * v.stride, per_value)
                prefetch_nodes(row, begin, end, q, per_key)
                prefetch_nodes(row, begin, end, grads.numerator, per_value)
            for head in range(0, heads, group):
                key = load_heads(k, j, head, m, per_key)
                value_j = load_heads(v, j, head, d, per_value)
                total_k, total_v = per_key, per_value
                for entry in range(ptr[j], ptr[j + 1]):
                    query = load_ahead(q, row, entry, head, m, per_key)
                    grad = load_ahead(grads.numerator, row, entry, head, d, per_value)
                    pair = np.int64(perm[entry])
                    prefetch(value, perm[min(entry + _FAR, len(row) - 1)] * width, single)
                    mask = load_mask(value, pair, heads, head, shared, per_head)
                    slope = sum_heads(multiply(grad, value_j), per_head)
                    if normalized:
                        grad_size = load_ahead(grads.denominator, row, entry, head, 1, per_head)
                        slope = add(slope, with_sign_of(grad_size, mask) if signed else grad_size)
                    score = score_of(query, key, plus_one, per_head)
                    if exponentials:
                        top = load_ahead(grads.shift, row, entry, head, 1, per_head)
                        score = exponential_of(score, mask, top)
                        slope = multiply(score, slope)
                    weight = spread(multiply(mask, score), per_value)
                    total_v = add(total_v, multiply(weight, grad))
                    slope = spread(multiply(mask, slope), per_key)
                    total_k = add(total_k, multiply(slope, query))
                store(grad_k, (j * heads + head) * m, total_k)
                store(grad_v, (j * heads + head) * d, total_v)

    return compiled(columns)
