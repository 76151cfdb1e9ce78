"""Sparse rows from dense ones and back, for the tests of samplers."""

from __future__ import annotations

from torch import Tensor

from graphmask.walks._rows import Rows, pointers


def rows_of(dense: Tensor) -> Rows:
    row, col = dense.nonzero(as_tuple=True)
    return Rows(pointers(row, len(dense)), col, dense[row, col])


def dense_of(rows: Rows, width: int) -> Tensor:
    return rows.weight.new_zeros(len(rows.ptr) - 1, width).index_put(
        (rows.row, rows.col), rows.weight, accumulate=True
    )
