"""Coefficients of rows, compiled for CPUs: the heads of a pair are one vector in registers.

Arrays are one-dimensional.
Letters: H heads, N rows, P pairs, K hops.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from torch import Tensor

from ._compiled import compiled, flat, run_rows
from ._vectors import add, fill, load, multiply, store, sum_lanes, zeros_of


def values(coefficients: Tensor, table: Tensor, rowptr: Tensor, row: Tensor) -> Tensor:
    """``[H, P]``, the heads of a pair side by side."""
    _, heads, hops = coefficients.shape
    out = table.new_empty(len(table), heads)
    args = flat(coefficients.transpose(1, 2)), flat(table), flat(out), hops
    run_rows(_compile_values(heads), rowptr, out.numel() * hops, args)
    return out.mT


def coefficients(grad: Tensor, table: Tensor, rowptr: Tensor, row: Tensor) -> Tensor:
    """``[N, H, K + 1]``."""
    heads, hops = len(grad), table.shape[1]
    out = table.new_empty(len(rowptr) - 1, hops, heads)
    args = flat(grad.mT), flat(table), flat(out), hops
    run_rows(_compile_coefficients(heads), rowptr, grad.numel() * hops, args)
    return out.transpose(1, 2).contiguous()


def table(grad: Tensor, coefficients: Tensor, rowptr: Tensor, row: Tensor) -> Tensor:
    """``[P, K + 1]``."""
    _, heads, hops = coefficients.shape
    out = grad.new_empty(grad.shape[1], hops)
    args = flat(grad.mT), flat(coefficients.transpose(1, 2)), flat(out), hops
    run_rows(_compile_table(heads), rowptr, grad.numel() * hops, args)
    return out


@cache
def _compile_values(heads: int) -> Callable[..., None]:
    def combine(order, first, last, ptr, coefficients, table, out, hops):
        none = zeros_of(out, 1, heads)
        for i in range(first, last):
            for pair in range(ptr[i], ptr[i + 1]):
                total = none
                for hop in range(hops):
                    factor = load(coefficients, (i * hops + hop) * heads, none)
                    total = add(total, multiply(fill(table[pair * hops + hop], none), factor))
                store(out, pair * heads, total)

    return compiled(combine)


@cache
def _compile_coefficients(heads: int) -> Callable[..., None]:
    def sum_rows(order, first, last, ptr, grad, table, out, hops):
        none = zeros_of(out, 1, heads)
        for i in range(first, last):
            for hop in range(hops):
                total = none
                for pair in range(ptr[i], ptr[i + 1]):
                    change = load(grad, pair * heads, none)
                    total = add(total, multiply(fill(table[pair * hops + hop], none), change))
                store(out, (i * hops + hop) * heads, total)

    return compiled(sum_rows)


@cache
def _compile_table(heads: int) -> Callable[..., None]:
    def sum_heads(order, first, last, ptr, grad, coefficients, out, hops):
        none = zeros_of(out, 1, heads)
        for i in range(first, last):
            for pair in range(ptr[i], ptr[i + 1]):
                change = load(grad, pair * heads, none)
                for hop in range(hops):
                    factor = load(coefficients, (i * hops + hop) * heads, none)
                    out[pair * hops + hop] = sum_lanes(multiply(change, factor))

    return compiled(sum_heads)
