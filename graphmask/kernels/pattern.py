"""The support of a sparse matrix, seen by rows for `A @ x` and by columns for `A.mT @ x`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee
from torch import Tensor

from graphmask._cached import cached

_INT32_MAX = 2**31 - 1

# Entries from which on a pattern is visited in an order of its own, and entries of a row that this
# order is found from.
_LARGE = 2**18
_NEIGHBOURS = 8

# Windows of so many rows that follow each other, and the share of their entries that may lie in
# other columns each for the order to be good as it is: then most of what a window reads is read
# again while it is in the cache.
_WINDOWS = 16
_WINDOW = 256
_NEAR = 0.3


@dataclass(frozen=True, eq=False)
class Pattern:
    """Positions of the stored entries of an ``R x C`` matrix, in CSR order (by row, then column).

    Args:
        rowptr: ``[R + 1]``, entries of row ``i`` are ``rowptr[i]:rowptr[i + 1]``.
        col: ``[nnz]``, column of each entry.
        num_cols: ``C``.

    Indices are int32 wherever they fit: torch's CPU sparse products are about 15 times slower on
    int64.
    """

    rowptr: Tensor
    col: Tensor
    num_cols: int

    @classmethod
    def from_coo(cls, row: Tensor, col: Tensor, shape: tuple[int, int]) -> Pattern:
        """The pattern of entries that are already sorted by row."""
        return cls.from_counts(torch.bincount(row, minlength=shape[0]), col, shape[1])

    @classmethod
    def from_counts(cls, counts: Tensor, col: Tensor, num_cols: int) -> Pattern:
        """The pattern of rows with ``counts [R]`` entries each, one row after the other."""
        index_type = index_dtype(max(len(counts), num_cols, col.numel()))
        rowptr = torch.zeros(len(counts) + 1, dtype=index_type, device=col.device)
        rowptr[1:] = counts.cumsum(0)
        return cls(rowptr, col.to(index_type).contiguous(), num_cols)

    @classmethod
    def of_sides(
        cls, rowptr: Tensor, col: Tensor, colptr: Tensor, row: Tensor, order: Tensor, back: Tensor
    ) -> Pattern:
        """A square pattern and its transpose, put together again from the tensors that a custom operator was given."""
        made = cls(rowptr, col, rowptr.numel() - 1)
        made.__dict__.update(order=order, _transposed=(colptr, row, back))
        return made

    @property
    def shape(self) -> tuple[int, int]:
        """``(R, C)``."""
        return self.rowptr.numel() - 1, self.num_cols

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return self.col.numel()

    @cached
    def row(self) -> Tensor:
        """``[nnz]``, row of each entry."""
        rows = torch.arange(self.shape[0], dtype=self.col.dtype, device=self.col.device)
        return rows.repeat_interleave(self.rowptr.diff(), output_size=self.nnz)

    @cached
    def identity(self) -> Pattern:
        """The diagonal of a square pattern, kept so that what is derived from both is found again."""
        nodes = torch.arange(self.shape[0], dtype=self.col.dtype, device=self.col.device)
        return Pattern(
            torch.arange(self.shape[0] + 1, dtype=self.col.dtype, device=self.col.device),
            nodes,
            self.num_cols,
        )

    @cached
    def order(self) -> Tensor:
        """``[nnz]``, the entries in column order.

        ``values[order]`` are the values of :attr:`mT`.
        """
        return self._columns[2]

    @cached
    def mT(self) -> Pattern:  # noqa: N802
        """The transposed pattern."""
        rowptr, col, back = self._transposed
        flipped = Pattern(rowptr, col, self.shape[0])
        # Tensors, not self: a cycle would keep them alive until the garbage collector runs.
        flipped.__dict__.update(order=back, _transposed=(self.rowptr, self.col, self.order))
        return flipped

    @cached
    def _transposed(self) -> tuple[Tensor, Tensor, Tensor]:
        """``rowptr``, ``col`` and ``order`` of the transposed pattern."""
        order, (colptr, row, _) = self.order, self._columns
        back = torch.empty_like(order)
        back[order] = torch.arange(self.nnz, dtype=order.dtype, device=order.device)
        return colptr, row, back

    @cached
    def _columns(self) -> tuple[Tensor, Tensor, Tensor]:
        """Where columns begin, and the row and number of each entry in column order.

        Counted on CPU, sorted elsewhere.
        """
        if self.col.device.type == "cpu" and self.nnz and not torch.compiler.is_compiling():
            return self._count_columns()
        return self._sort_columns()

    def _sort_columns(self) -> tuple[Tensor, Tensor, Tensor]:
        order = torch.argsort(self.col, stable=True).to(self.col.dtype)
        flipped = Pattern.from_coo(self.col[order], self.row[order], self.shape[::-1])
        return flipped.rowptr, flipped.col, order

    def _count_columns(self) -> tuple[Tensor, Tensor, Tensor]:
        number = np.arange(self.nnz, dtype=self.col.numpy().dtype)
        found = csr_matrix(
            (number, self.col.numpy(), self.rowptr.numpy()), shape=self.shape
        ).tocsc()
        colptr, row, order = (
            torch.from_numpy(x).to(self.col.dtype)
            for x in (found.indptr, found.indices, found.data)
        )
        return colptr, row, order

    @cached
    def schedule(self) -> Tensor:
        """``[R]``, the rows of a large square pattern in an order in which neighbours follow each other; else empty.

        Rows that share columns then find them in the cache. The order is reverse Cuthill-McKee of a
        part of the entries.
        """
        square, here = self.shape[0] == self.num_cols, self.col.device.type == "cpu"
        if not (square and here) or self.nnz < _LARGE or self._is_local():
            return self.col.new_empty(0)
        return self.thinned().cuthill_mckee()

    def cuthill_mckee(self) -> Tensor:
        """``[N]``, the rows of a square pattern on CPU in reverse Cuthill-McKee order."""
        ones = np.ones(self.nnz, dtype=np.int8)
        matrix = csr_matrix((ones, self.col.numpy(), self.rowptr.numpy()), shape=self.shape)
        return torch.from_numpy(reverse_cuthill_mckee(matrix).copy()).to(self.col.dtype)

    def thinned(self) -> Pattern:
        """About :data:`_NEIGHBOURS` entries of each row, evenly spaced."""
        counts = self.rowptr.diff()
        step = torch.div(counts, _NEIGHBOURS, rounding_mode="floor").clamp(min=1)
        first, step = (
            x.repeat_interleave(counts, output_size=self.nnz) for x in (self.rowptr[:-1], step)
        )
        kept = (torch.arange(self.nnz, dtype=self.col.dtype) - first) % step == 0
        return Pattern.from_coo(self.row[kept], self.col[kept], self.shape)

    def _is_local(self) -> bool:
        """Whether rows that follow each other share most of their columns already."""
        rows = self.shape[0]
        starts = torch.linspace(0, max(rows - _WINDOW, 0), _WINDOWS).long().tolist()
        windows = [
            self.col[self.rowptr[start] : self.rowptr[min(start + _WINDOW, rows)]]
            for start in starts
        ]
        # Each window has its own rows' columns to read once, however good the order is.
        fresh = sum(max(len(window.unique()) - _WINDOW, 0) for window in windows)
        return fresh < _NEAR * sum(map(len, windows))

    def to_dense(self, value: Tensor) -> Tensor:
        """``[..., nnz]`` values as dense matrices ``[..., R, C]``; coinciding entries add."""
        dense = value.new_zeros(*value.shape[:-1], self.shape[0] * self.shape[1])
        position = self.row.long() * self.num_cols + self.col.long()
        return dense.index_add(-1, position, value).unflatten(-1, self.shape)


def index_dtype(largest: int) -> torch.dtype:
    """int32 where the numbers fit, int64 otherwise."""
    return torch.int32 if largest <= _INT32_MAX else torch.int64
