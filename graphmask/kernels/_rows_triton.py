"""Sums over rows of very unequal length on GPUs.

Rows are cut into pieces of bounded length, added in fixed order.

The entries of a pattern are cut at every multiple of :data:`LENGTH`. A row that a cut passes
through has one piece up to its first cut and one behind each. So there are as many pieces of both
kinds as cuts, at most, whatever the lengths of rows: memory for them has a size that is known from
the number of entries alone, and the row behind a cut is looked up by its first entry.
"""

from __future__ import annotations

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
    """The number of cuts."""

    number: int

    @classmethod
    def of(cls, rowptr: Tensor, col: Tensor) -> Cuts:
        """Of a pattern."""
        return cls(max(0, triton.cdiv(col.numel(), LENGTH) - 1) if rowptr.numel() > 1 else 0)

    def pieces(self, out: Tensor, kind: torch.dtype) -> Tensor:
        """Memory for pieces of the rows of a result."""
        return out.new_empty(2 * self.number, *out.shape[1:], dtype=kind)


def join(
    cuts: Cuts, rowptr: Tensor, row: Tensor, back: Tensor, pieces: Tensor, out: Tensor
) -> None:
    """Adds the pieces of each row that was cut, and writes it."""
    columns = out[0].numel() if cuts.number else 0
    if columns:
        _join[(cuts.number, triton.cdiv(columns, _COLUMNS))](
            rowptr,
            row,
            back,
            pieces,
            out,
            columns,
            cuts.number,
            LENGTH=LENGTH,
            BLOCK=_COLUMNS,
            num_warps=1,
        )


@triton.jit
def find_piece(number, rowptr, row, back, cuts, LENGTH: tl.constexpr):  # type: ignore[no-untyped-def]
    """The row, first and last entry of a number.

    First of what lies behind each cut, then of each row up to its first cut.

    Also where it goes: its place among the pieces or -1, and whether it is the whole row.
    """
    behind = number < cuts
    cut = (number + 1) * LENGTH
    # Row and entry 0 are read in place of what is not there.
    node = tl.where(
        behind,
        tl.load(row + tl.load(back + cut, mask=behind, other=0), mask=behind, other=0),
        number - cuts,
    )
    start, end = tl.load(rowptr + node), tl.load(rowptr + node + 1)
    first = tl.where(behind, cut, start)
    last = tl.minimum(end, (first // LENGTH + 1) * LENGTH)
    # A row that begins at the cut was not cut there.
    last = tl.where(behind & (start == cut), first, last)
    piece = tl.where(behind, number, cuts + first // LENGTH)
    piece = tl.where((behind & (last > first)) | ((behind == 0) & (end > last)), piece, -1)
    return node, first, last, piece, (behind == 0) & (end == last)


@triton.jit
def _join(rowptr, row, back, pieces, out, columns, cuts, LENGTH: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    number = tl.program_id(0)
    cut = (number + 1) * LENGTH
    node = tl.load(row + tl.load(back + cut))
    start, end = tl.load(rowptr + node), tl.load(rowptr + node + 1)
    # Only at the first cut of a row.
    if (start < cut) & (start >= cut - LENGTH):
        column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        there = column < columns
        total = tl.load(pieces + (cuts + number).to(tl.int64) * columns + column, mask=there)
        pieces += number.to(tl.int64) * columns
        for _ in range(number, (end + LENGTH - 1) // LENGTH - 1):
            total += tl.load(pieces + column, mask=there)
            pieces += columns
        tl.store(
            out + node.to(tl.int64) * columns + column, total.to(out.dtype.element_ty), mask=there
        )
