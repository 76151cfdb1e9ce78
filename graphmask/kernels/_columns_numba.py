"""Lifted keys and their sums, compiled for CPUs: a block of 16 columns of all nodes at a time.

A block are 16 value channels from ``start`` on times a ``feature``, or for denominators, where the
feature is -1, 16 features from ``start`` on times a number per node.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

from ._compiled import compiled
from ._vectors import add, fill, load, multiply, store, sum_lanes, zeros


@compiled
def lift(x, stride, k, v, scale, m, d, feature, start):
    """The columns of k (x) v, or of k times the scale."""
    like = zeros(x, 16)
    for node in range(len(scale)):
        if feature < 0:
            row, weight = load(k, node * m + start, like), scale[node]
        else:
            row, weight = load(v, node * d + start, like), k[node * m + feature]
        store(x, node * stride, multiply(fill(weight, like), row))


@compiled
def contract(y, stride, q, sums, total, m, d, feature, start):
    """Adds columns times queries to the sums, or to the total."""
    like = zeros(y, 16)
    for node in range(len(total)):
        row = load(y, node * stride, like)
        if feature < 0:
            total[node] += sum_lanes(multiply(load(q, node * m + start, like), row))
        else:
            here = node * d + start
            weighed = multiply(fill(q[node * m + feature], like), row)
            store(sums, here, add(load(sums, here, like), weighed))


@compiled
def differentiate(
    y, z, stride, k, v, grad_sums, grad_total, grad_q, grad_k, grad_v, m, d, feature, start
):  # fmt: skip
    """Adds to the gradients, from the columns y of keys and z of the adjoint."""
    like = zeros(y, 16)
    for node in range(len(grad_total)):
        mixed, adjoint = load(y, node * stride, like), load(z, node * stride, like)
        if feature < 0:
            here, weight = node * m + start, fill(grad_total[node], like)
            store(grad_q, here, add(load(grad_q, here, like), multiply(weight, mixed)))
            store(grad_k, here, add(load(grad_k, here, like), adjoint))
        else:
            here, own = node * d + start, node * m + feature
            grad_q[own] += sum_lanes(multiply(load(grad_sums, here, like), mixed))
            grad_k[own] += sum_lanes(multiply(load(v, here, like), adjoint))
            weighed = multiply(fill(k[own], like), adjoint)
            store(grad_v, here, add(load(grad_v, here, like), weighed))
