"""Series of a sparse matrix, compiled for CPUs: some columns of all nodes, in a few buffers."""
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

from ._compiled import compiled, inlined
from ._vectors import add, fill, load, multiply, store, subtract, sum_lanes, zeros

# Columns that a row is multiplied with at once.
WIDTH = 64

# Nodes whose products are summed before they are added to those of all in double precision.
_SUMMED = 256


@inlined
def _sum_row(rowptr, col, value, x, node, total):
    """A row times columns, added to a total."""
    for entry in range(rowptr[node], rowptr[node + 1]):
        row = load(x, col[entry] * WIDTH, total)
        total = add(total, multiply(fill(value[entry], total), row))
    return total


@compiled
def scale(x, factor, out):
    """``factor x``."""
    like = zeros(x, WIDTH)
    for node in range(len(x) // WIDTH):
        store(out, node * WIDTH, multiply(fill(factor, like), load(x, node * WIDTH, like)))


@compiled
def recur(rowptr, col, value, x, factor, total, before, subtracts):
    """``before := W total + factor x``, less what was there before where it ``subtracts``."""
    like = zeros(x, WIDTH)
    for node in range(len(x) // WIDTH):
        here = node * WIDTH
        row = multiply(fill(factor, like), load(x, here, like))
        if subtracts:
            row = subtract(row, load(before, here, like))
        store(before, here, _sum_row(rowptr, col, value, total, node, row))


@compiled
def advance(rowptr, col, value, term, before, subtracts, factor, z, x):
    """The next term of columns in the place of the one before; adds it times a factor to z.

    Returns the sum of its products with x.
    """
    like, total = zeros(x, WIDTH), 0.0
    products = like
    for node in range(len(x) // WIDTH):
        here = node * WIDTH
        row = _sum_row(rowptr, col, value, term, node, like)
        if subtracts:
            row = subtract(row, load(before, here, like))
        store(before, here, row)
        store(z, here, add(load(z, here, like), multiply(fill(factor, like), row)))
        products = add(products, multiply(row, load(x, here, like)))
        if node % _SUMMED == _SUMMED - 1:
            total += sum_lanes(products)
            products = like
    return total + sum_lanes(products)


@compiled
def multiply_rows(rowptr, col, value, x, out):
    """``W x``."""
    like = zeros(x, WIDTH)
    for node in range(len(rowptr) - 1):
        store(out, node * WIDTH, _sum_row(rowptr, col, value, x, node, like))


@compiled
def add_products(rowptr, col, left, right, total):
    """Adds the inner products of rows at the entries of a matrix."""
    like = zeros(left, WIDTH)
    for node in range(len(rowptr) - 1):
        row = load(left, node * WIDTH, like)
        for entry in range(rowptr[node], rowptr[node + 1]):
            total[entry] += sum_lanes(multiply(row, load(right, col[entry] * WIDTH, like)))
