"""Sums over rows of very unequal length on GPUs, cut into pieces of bounded length.

Experimental: no GPU runs these kernels in this project's CI.

The entries of a pattern are cut at every multiple of :data:`LENGTH`. A row that a cut passes
through has one piece up to its first cut and one after each cut. So there are at most as many
pieces of both kinds as cuts, whatever the lengths of rows: the number of entries alone gives the
memory for them, and the row after a cut is found by its first entry. Pieces are added in fixed
order.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

# Entries between two cuts: a few rows in a hundred are cut where rows have 64 entries, and a row of
# any length is balanced.
LENGTH = 1024

_COLUMNS = 256


class Cuts(NamedTuple):
    """The number of cuts, and the structure that they divide.

    ``tensors``: where rows begin, the column of each entry, and of the transposed pattern the same
    and the permutation from its entries, by which the row of an entry is found.
    """

    number: int
    tensors: tuple[Tensor, Tensor, Tensor, Tensor]

    @classmethod
    def of_rows(cls, structure: Sequence[Tensor]) -> Cuts:
        """Cuts of the rows of a pattern, given by its :attr:`~Pattern.tensors`."""
        rowptr, col, _, row, _, csr_perm = structure
        return cls._of(rowptr, col, row, csr_perm)

    @classmethod
    def of_columns(cls, structure: Sequence[Tensor]) -> Cuts:
        """Cuts of its columns."""
        _, col, colptr, row, csc_perm, _ = structure
        return cls._of(colptr, row, col, csc_perm)

    @classmethod
    def _of(cls, ptr: Tensor, index: Tensor, other: Tensor, perm: Tensor) -> Cuts:
        count = max(0, triton.cdiv(index.numel(), LENGTH) - 1) if ptr.numel() > 1 else 0
        return cls(count, (ptr, index, other, perm))

    def pieces(self, out: Tensor, dtype: torch.dtype) -> Tensor:
        """Memory for pieces of the rows of a result."""
        return out.new_empty(2 * self.number, *out.shape[1:], dtype=dtype)

    def join(self, pieces: Tensor, out: Tensor) -> None:
        """Adds the pieces of each row that was cut, and writes it."""
        columns = out[0].numel() if self.number else 0
        if columns:
            ptr, _, other, perm = self.tensors
            _join[(self.number, triton.cdiv(columns, _COLUMNS))](
                ptr, other, perm, pieces, out, columns, self.number,
                LENGTH=LENGTH, BLOCK=_COLUMNS, num_warps=1,
            )  # fmt: skip


@triton.jit
def find_piece(number, rowptr, row, back, cuts, LENGTH: tl.constexpr):
    """The row, first and last entry of a piece, its index among stored pieces, whether it is whole.

    Pieces are numbered first after each cut, then by rows up to their first cut. The index of a
    whole or empty row is -1.
    """
    behind = number < cuts
    cut = (number + 1) * LENGTH
    # Masked loads read row and entry 0.
    node = tl.where(
        behind,
        tl.load(row + tl.load(back + cut, mask=behind, other=0), mask=behind, other=0),
        number - cuts,
    )
    start, end = tl.load(rowptr + node), tl.load(rowptr + node + 1)
    first = tl.where(behind, cut, start)
    last = tl.minimum(end, (first // LENGTH + 1) * LENGTH)
    # A row that begins at the cut was not cut valid.
    last = tl.where(behind & (start == cut), first, last)
    piece = tl.where(behind, number, cuts + first // LENGTH)
    piece = tl.where((behind & (last > first)) | ((behind == 0) & (end > last)), piece, -1)
    return node, first, last, piece, (behind == 0) & (end == last)


@triton.jit
def _join(rowptr, row, back, pieces, out, columns, cuts, LENGTH: tl.constexpr, BLOCK: tl.constexpr):
    number = tl.program_id(0)
    cut = (number + 1) * LENGTH
    node = tl.load(row + tl.load(back + cut))
    start, end = tl.load(rowptr + node), tl.load(rowptr + node + 1)
    # Only at the first cut of a row.
    if (start < cut) & (start >= cut - LENGTH):
        column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        valid = column < columns
        total = tl.load(pieces + (cuts + number).to(tl.int64) * columns + column, mask=valid)
        pieces += number.to(tl.int64) * columns
        for _ in range(number, (end + LENGTH - 1) // LENGTH - 1):
            total += tl.load(pieces + column, mask=valid)
            pieces += columns
        tl.store(
            out + node.to(tl.int64) * columns + column, total.to(out.dtype.element_ty), mask=valid
        )
