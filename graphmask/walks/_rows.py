"""Sparse rows and sums over them: what samplers that carry whole distributions are made of.

Letters: R rows, P pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Rows(NamedTuple):
    """Sparse rows: ``ptr [R + 1]``, ``col [nnz]``, ``weight [nnz]``."""

    ptr: Tensor
    col: Tensor
    weight: Tensor

    @property
    def counts(self) -> Tensor:
        """``[R]``, entries of each row."""
        return self.ptr.diff()

    @property
    def row(self) -> Tensor:
        """``[nnz]``, row of each entry."""
        return torch.arange(len(self.ptr) - 1, device=self.col.device).repeat_interleave(
            self.counts
        )

    def keep(self, entries: Tensor) -> Rows:
        """The entries at which the mask ``[nnz]`` is true."""
        left = torch.cat([entries.new_zeros(1, dtype=torch.long), entries.cumsum(0)])
        return Rows(left[self.ptr], self.col[entries], self.weight[entries])


def pointers(row: Tensor, num_rows: int) -> Tensor:
    """``[R + 1]`` pointers of entries sorted by row."""
    ptr = torch.zeros(num_rows + 1, dtype=torch.long, device=row.device)
    ptr[1:] = torch.bincount(row, minlength=num_rows).cumsum(0)
    return ptr


def row_sums(value: Tensor, counts: Tensor) -> Tensor:
    """``[R]`` sums of values that follow each other row by row.

    In one order, so that they are the same at every run.
    """
    if not len(counts):
        return value.new_zeros(0)
    return torch.segment_reduce(value, "sum", lengths=counts, initial=0)


def running_sums(value: Tensor, rows: Rows) -> Tensor:
    """``[nnz]`` sums of each row's values up to and with each entry."""
    total = value.cumsum(0)
    before = torch.cat([total.new_zeros(1), total])[rows.ptr[:-1]]
    return total - before.repeat_interleave(rows.counts)


def ranges(begin: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """The integers of the ranges ``begin + [0, counts)``, one range after the other.

    Whose they are, and they themselves.
    """
    owner = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    first = counts.cumsum(0) - counts
    return owner, begin[owner] + torch.arange(len(owner), device=counts.device) - first[owner]


def sum_places(row: Tensor, col: Tensor, weight: Tensor, shape: tuple[int, int]) -> Rows:
    """Entries in any order as rows that rise in columns.

    Those of one place are summed, in the order given.
    """
    key, order = torch.sort(row * shape[1] + col, stable=True)
    key, count = torch.unique_consecutive(key, return_counts=True)
    row = torch.div(key, shape[1], rounding_mode="floor")
    return Rows(pointers(row, shape[0]), key - row * shape[1], row_sums(weight[order], count))
