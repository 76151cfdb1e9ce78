"""The support of a sparse matrix, seen by rows for `A @ x` and by columns for `A.mT @ x`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphmask._structure import structure

_INT32_MAX = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Pattern:
    """Positions of the stored entries of an ``R x C`` matrix, in CSR order (by row, then column).

    Args:
        rowptr: ``[R + 1]``, entries of row ``i`` are ``rowptr[i]:rowptr[i + 1]``.
        col: ``[nnz]``, column of each entry.
        num_cols: ``C``.

    Indices are int32 wherever they fit: torch's CPU sparse products are about 15 times slower on int64.
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

    @property
    def shape(self) -> tuple[int, int]:
        """``(R, C)``."""
        return self.rowptr.numel() - 1, self.num_cols

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return self.col.numel()

    @structure
    def row(self) -> Tensor:
        """``[nnz]``, row of each entry."""
        rows = torch.arange(self.shape[0], dtype=self.col.dtype, device=self.col.device)
        return rows.repeat_interleave(self.rowptr.diff(), output_size=self.nnz)

    @structure
    def order(self) -> Tensor:
        """``[nnz]``, the entries in column order: ``values[order]`` are the values of :attr:`mT`."""
        return torch.argsort(self.col, stable=True).to(self.col.dtype)

    @structure
    def mT(self) -> Pattern:  # noqa: N802 - torch's spelling of a matrix transpose
        """The transposed pattern."""
        order = self.order
        flipped = Pattern.from_coo(self.col[order], self.row[order], self.shape[::-1])
        back = torch.empty_like(order)
        back[order] = torch.arange(self.nnz, dtype=order.dtype, device=order.device)
        # No link back to self: a cycle would keep large tensors alive until the garbage collector runs.
        flipped.__dict__.update(order=back, row=self.col[order])
        return flipped

    def to_dense(self, value: Tensor) -> Tensor:
        """``[..., nnz]`` values as dense matrices ``[..., R, C]``; coinciding entries add."""
        dense = value.new_zeros(*value.shape[:-1], self.shape[0] * self.shape[1])
        position = self.row.long() * self.num_cols + self.col.long()
        return dense.index_add(-1, position, value).unflatten(-1, self.shape)


def index_dtype(largest: int) -> torch.dtype:
    """int32 where the numbers fit, int64 otherwise."""
    return torch.int32 if largest <= _INT32_MAX else torch.int64
