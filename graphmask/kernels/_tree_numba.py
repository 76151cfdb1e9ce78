"""Moments of distances in rooted trees, compiled for CPUs: 16 columns per node and order.

Nodes are numbered parents before children. An edge of length w and factor r moves the moments of
orders 0 to K by ``shift[k, j] = r binom(k, j) w^(k - j)``. Up, every node adds its own to those of
its parent, and keeps what the parent had before: the sums over the parent and later siblings. Down,
the parent gathers what lies outside of it and its earlier siblings. Nothing is subtracted.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

from ._compiled import compiled, inlined
from ._vectors import add, fill, load, multiply, store, sum_lanes, zeros


@inlined
def _shift(moments, start, shift, first, order, like):
    """The moment of an order as seen from the other end of an edge."""
    total = like
    for j in range(order + 1):
        moved = multiply(fill(shift[first + j], like), load(moments, start + 16 * j, like))
        total = add(total, moved)
    return total


@compiled
def ascend(inside, outside, shift, parent, orders):
    """Moments of subtrees, from columns in the place of order 0."""
    like, width, terms = zeros(inside, 16), 16 * orders, orders * (orders + 1) // 2
    for node in range(len(parent)):
        for order in range(1, orders):
            store(inside, node * width + 16 * order, like)
    for node in range(len(parent) - 1, -1, -1):
        above = parent[node]
        if above != node:
            for order in range(orders):
                first = node * terms + order * (order + 1) // 2
                moved = _shift(inside, node * width, shift, first, order, like)
                here = above * width + 16 * order
                before = load(inside, here, like)
                store(outside, node * width + 16 * order, before)
                store(inside, here, add(before, moved))


@inlined
def _enter(inside, outside, node, above, width, orders, like):
    """Moments outside of a subtree, as seen from the parent; 0 at roots."""
    for order in range(orders):
        here = node * width + 16 * order
        if above == node:
            store(outside, here, like)
        else:
            at_parent = load(outside, above * width + 16 * order, like)
            store(outside, here, add(load(outside, here, like), at_parent))


@inlined
def _leave(inside, outside, shift, node, above, width, terms, orders, like):
    """Moves the moments outside along the edge, and hands those inside to later siblings."""
    if above != node:
        for order in range(orders - 1, -1, -1):
            first = node * terms + order * (order + 1) // 2
            moved = _shift(outside, node * width, shift, first, order, like)
            store(outside, node * width + 16 * order, moved)
            own = _shift(inside, node * width, shift, first, order, like)
            here = above * width + 16 * order
            store(outside, here, add(load(outside, here, like), own))


@inlined
def _combine(inside, outside, y, coefficients, node, width, orders, like):
    total = like
    for order in range(orders):
        here = node * width + 16 * order
        both = add(load(inside, here, like), load(outside, here, like))
        total = add(total, multiply(fill(coefficients[order], like), both))
    store(y, node * 16, total)


@compiled
def descend(inside, outside, y, shift, coefficients, parent, orders):
    """``y = sum_k c_k moment_k`` of all nodes of a tree."""
    like, width, terms = zeros(inside, 16), 16 * orders, orders * (orders + 1) // 2
    for node in range(len(parent)):
        above = parent[node]
        _enter(inside, outside, node, above, width, orders, like)
        _leave(inside, outside, shift, node, above, width, terms, orders, like)
        _combine(inside, outside, y, coefficients, node, width, orders, like)


@compiled
def descend_both(
    x_in, x_out, g_in, g_out, y, z, g, shift, coefficients, parent, orders, edges, moments
):  # fmt: skip
    """Both sums, of columns and of their adjoints g, and what derivatives of M need.

    ``edges [N, terms]`` sums inner products of moments a inside and b outside over all pairs that
    pass an edge, ``moments [K + 1]`` those of g and each moment.
    """
    like, width, terms = zeros(x_in, 16), 16 * orders, orders * (orders + 1) // 2
    for node in range(len(parent)):
        above = parent[node]
        _enter(x_in, x_out, node, above, width, orders, like)
        _enter(g_in, g_out, node, above, width, orders, like)
        if above != node:
            term = node * terms
            for a in range(orders):
                own = node * width + 16 * a
                x_own, g_own = load(x_in, own, like), load(g_in, own, like)
                for b in range(orders - a):
                    far = node * width + 16 * b
                    forth = multiply(g_own, load(x_out, far, like))
                    back = multiply(x_own, load(g_out, far, like))
                    edges[term] += sum_lanes(add(forth, back))
                    term += 1
        _leave(x_in, x_out, shift, node, above, width, terms, orders, like)
        _leave(g_in, g_out, shift, node, above, width, terms, orders, like)
        row = load(g, node * 16, like)
        for order in range(orders):
            here = node * width + 16 * order
            both = add(load(x_in, here, like), load(x_out, here, like))
            moments[order] += sum_lanes(multiply(row, both))
        _combine(x_in, x_out, y, coefficients, node, width, orders, like)
        _combine(g_in, g_out, z, coefficients, node, width, orders, like)
