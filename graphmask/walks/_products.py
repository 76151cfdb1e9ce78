"""Products of sparse rows with the adjacency: exact, or from a sample of their terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from ._rows import Rows, ranges, row_sums, running_sums, sum_places

_TINY = torch.finfo(torch.double).tiny


class Adjacency(NamedTuple):
    """W in float64, the entries of each row from the largest to the smallest.

    ``reach [nnz]`` holds the running sums of their sizes, ``mass [N]`` the whole sums. Running sums
    depend in their last bits
    on the rows before: they decide which terms are drawn, and never enter a weight.
    """

    rows: Rows
    reach: Tensor
    mass: Tensor

    @classmethod
    def of(cls, ptr: Tensor, col: Tensor, weight: Tensor) -> Adjacency:
        """From CSR."""
        rows = Rows(ptr.long(), col.long(), weight.double())
        by_size = torch.argsort(rows.weight.abs(), descending=True, stable=True)
        order = by_size[torch.argsort(rows.row[by_size], stable=True)]
        falling = Rows(rows.ptr, rows.col[order], rows.weight[order])
        size = falling.weight.abs()
        return cls(falling, running_sums(size, falling), row_sums(size, falling.counts))


def multiply(left: Rows, right: Rows) -> Rows:
    """The sparse product; by scipy on CPU, by forming and summing its terms elsewhere."""
    return (
        _multiply_scipy(left, right)
        if left.weight.device.type == "cpu"
        else _multiply_torch(left, right)
    )


def _multiply_scipy(left: Rows, right: Rows) -> Rows:
    size = len(right.ptr) - 1
    found = _to_scipy(left, size) @ _to_scipy(right, size)
    ptr, col = (torch.from_numpy(index.astype(np.int64)) for index in (found.indptr, found.indices))
    return Rows(ptr, col, torch.from_numpy(found.data))


def _to_scipy(rows: Rows, width: int) -> csr_matrix:
    return csr_matrix(
        (rows.weight.numpy(), rows.col.numpy(), rows.ptr.numpy()), shape=(len(rows.ptr) - 1, width)
    )


def _multiply_torch(left: Rows, right: Rows) -> Rows:
    owner, entry = ranges(right.ptr[left.col], right.counts[left.col])
    shape = len(left.ptr) - 1, len(right.ptr) - 1
    return sum_places(
        left.row[owner], right.col[entry], left.weight[owner] * right.weight[entry], shape
    )


def sample_product(left: Rows, right: Adjacency, number: int, draw: Tensor) -> Rows:
    r"""An unbiased estimate of ``left @ right`` from about ``number`` terms of each row, without forming the other terms.

    With c = (sum of the sizes of a row's terms) / number, terms of at least c are formed. In the
    running sum of the sizes of the others, one point in every stretch of length c is drawn, and the
    term it falls into counts as one of size c. Formed terms come first within each row of
    ``right``, and prefix sums find the drawn ones: the cost is that of what is kept.

    Args:
        left: rows.
        right: W.
        number: of terms.
        draw: ``[R]`` uniform numbers, the place of the points.
    """
    size, row, W = left.weight.abs(), left.row, right.rows
    begin, end = W.ptr[left.col], W.ptr[left.col + 1]
    unit = (row_sums(size * right.mass[left.col], left.counts) / number).clamp(min=_TINY)[row]
    split = _search(begin, end, lambda entry, x: size[x] * W.weight[entry].abs() < unit[x])
    formed, heavy = ranges(begin, split - begin)

    passed = _reach_before(right, begin, split)
    light = (
        torch.where(split < end, size * (_reach_before(right, begin, end) - passed), 0).clamp(min=0)
        / unit
    )
    last = running_sums(light, left) + draw[row]
    first = last - light
    drawn, point = ranges(
        torch.floor(first).long() + 1, (torch.floor(last) - torch.floor(first)).long()
    )
    goal = passed[drawn] + (point - first[drawn]) * unit[drawn] / size[drawn]
    tail = _search(split[drawn], end[drawn] - 1, lambda entry, x: right.reach[entry] >= goal[x])

    weight = torch.cat(
        [
            left.weight[formed] * W.weight[heavy],
            unit[drawn].copysign(left.weight[drawn] * W.weight[tail]),
        ]
    )
    shape = len(left.ptr) - 1, len(W.ptr) - 1
    return sum_places(
        row[torch.cat([formed, drawn])], W.col[torch.cat([heavy, tail])], weight, shape
    )


def _reach_before(W: Adjacency, begin: Tensor, end: Tensor) -> Tensor:
    """The summed sizes of the entries from ``begin``, where a row starts, to ``end``."""
    return torch.where(end > begin, W.reach[(end - 1).clamp(min=0)], 0)


def _search(low: Tensor, high: Tensor, holds: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """In each range [low, high) the first entry for which a condition holds, if it holds for all after it; else ``high``."""
    x = torch.arange(len(low), device=low.device)
    while bool((low < high).any()):
        middle = torch.div(low + high, 2, rounding_mode="floor")
        found = holds(middle.clamp(max=int(high.max()) - 1), x)
        low, high = (
            torch.where(found | (low == high), low, middle + 1),
            torch.where(found & (low < high), middle, high),
        )
    return low
