"""Sparse rows: products with the adjacency, sums, and resampling without bias.

In torch here, on any device; compiled for CPUs in ``_rows_numba``. Letters: R rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from graphmask._precision import double_dtype, to_double
from graphmask._walks import Estimated, Walks
from graphmask.kernels import Pattern

# Sizes this close, relatively, equal a threshold.
TIE = 1e-9
_TIES = {torch.float64: TIE, torch.float32: 1e-5}

# Binary digits of running sums, and the least exponent of the size of a row.
_DIGITS = 52
_LEAST = -1020


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
        rows = torch.arange(len(self.ptr) - 1, device=self.col.device)
        return rows.repeat_interleave(self.counts)

    def keep(self, mask: Tensor) -> Rows:
        """The entries at which the mask ``[nnz]`` is true."""
        before = torch.cat([mask.new_zeros(1, dtype=torch.long), mask.cumsum(0)])
        return Rows(before[self.ptr], self.col[mask], self.weight[mask])

    @classmethod
    def identity(cls, nodes: Tensor) -> Rows:
        """Rows of one entry each, a one at each of the nodes."""
        ptr = torch.arange(len(nodes) + 1, device=nodes.device)
        return cls(ptr, nodes, torch.ones_like(nodes, dtype=double_dtype(nodes.device)))


class PairRows(NamedTuple):
    """Pairs of some rows: ``counts [R]``, ``col [P]`` rising in each row, ``table [P, K + 1]``."""

    counts: Tensor
    col: Tensor
    table: Tensor

    @classmethod
    def concatenate(cls, blocks: Sequence[PairRows]) -> PairRows:
        """Blocks of rows, one after the other."""
        return cls(*(torch.cat(tensors) for tensors in zip(*blocks, strict=True)))

    def to_walks(self, normalization: Estimated) -> Walks:
        """Walks from all nodes, one row for each."""
        pattern = Pattern.from_counts(self.counts, self.col, len(self.counts))
        return Walks(pattern, self.table, normalization)


class Adjacency(NamedTuple):
    """W in float64, the entries of each row from the largest to the smallest.

    ``reach [nnz]`` holds the running sums of their sizes, ``mass [N]`` the total sums. Running sums
    decide which terms are drawn, and never enter a weight.
    """

    rows: Rows
    reach: Tensor
    mass: Tensor

    @classmethod
    def of(cls, ptr: Tensor, col: Tensor, weight: Tensor) -> Adjacency:
        """The adjacency of a CSR matrix."""
        rows = Rows(ptr.long(), col.long(), to_double(weight))
        order = sort_by_size(rows, descending=True)
        falling = Rows(rows.ptr, rows.col[order], rows.weight[order])
        size = falling.weight.abs()
        return cls(falling, running_sums(size, falling), row_sums(size, falling.counts))


def sort_by_size(rows: Rows, descending: bool = False) -> Tensor:
    """The order of entries by row, then by absolute weight."""
    by_size = torch.argsort(rows.weight.abs(), descending=descending, stable=True)
    return by_size[torch.argsort(rows.row[by_size], stable=True)]


def pointers(row: Tensor, num_rows: int) -> Tensor:
    """``[R + 1]`` pointers of entries sorted by row."""
    ptr = torch.zeros(num_rows + 1, dtype=torch.long, device=row.device)
    ptr[1:] = torch.bincount(row, minlength=num_rows).cumsum(0)
    return ptr


def row_sums(value: Tensor, counts: Tensor) -> Tensor:
    """``[R]`` sums of values that are stored row by row, the same in every run."""
    if not len(counts):
        return value.new_zeros(0)
    return torch.segment_reduce(value, "sum", lengths=counts, initial=0)


def running_sums(value: Tensor, rows: Rows) -> Tensor:
    """``[nnz]`` sums of each row's non-negative values up to and with each entry.

    They depend on no other row. In float64 the values of a row are rounded to multiples of
    2^-52 times its size, so that sums of integers pass from row to row without a trace.
    """
    if value.dtype == torch.float32:  # on a device without float64: no sum passes the end of a row
        place, total = torch.arange(len(value), device=value.device) - rows.ptr[rows.row], value
        longest = int(rows.counts.max()) if len(value) else 0
        for bit in range(longest.bit_length()):
            total = total + torch.where(place >= 1 << bit, total.roll(1 << bit), 0)
        return total
    exponent = torch.frexp(row_sums(value, rows.counts)).exponent.clamp(min=_LEAST)
    unit = torch.exp2(to_double(exponent - _DIGITS)).repeat_interleave(rows.counts)
    total = (value / unit).round().long().cumsum(0)
    before = torch.cat([total.new_zeros(1), total])[rows.ptr[:-1]]
    return (total - before.repeat_interleave(rows.counts)) * unit


def ranges(begin: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """The integers of all ranges ``begin + [0, counts)``, and the range of each."""
    owner = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    first = counts.cumsum(0) - counts
    return owner, begin[owner] + torch.arange(len(owner), device=counts.device) - first[owner]


def sum_entries(row: Tensor, col: Tensor, weight: Tensor, shape: tuple[int, int]) -> Rows:
    """Rows from entries in any order; entries of one position are summed in the order given."""
    key, order = torch.sort(row * shape[1] + col, stable=True)
    key, count = torch.unique_consecutive(key, return_counts=True)
    row = torch.div(key, shape[1], rounding_mode="floor")
    return Rows(pointers(row, shape[0]), key - row * shape[1], row_sums(weight[order], count))


def multiply(left: Rows, right: Rows) -> Rows:
    """The sparse product; by scipy on CPU, by forming and summing its terms elsewhere."""
    if left.weight.device.type == "cpu":
        return _multiply_scipy(left, right)
    return _multiply_torch(left, right)


def _multiply_scipy(left: Rows, right: Rows) -> Rows:
    width = len(right.ptr) - 1
    matrices = (
        csr_matrix(
            (rows.weight.numpy(), rows.col.numpy(), rows.ptr.numpy()),
            shape=(len(rows.ptr) - 1, width),
        )
        for rows in (left, right)
    )
    product = next(matrices) @ next(matrices)
    ptr, col = (torch.from_numpy(x.astype(np.int64)) for x in (product.indptr, product.indices))
    return Rows(ptr, col, torch.from_numpy(product.data))


def _multiply_torch(left: Rows, right: Rows) -> Rows:
    owner, entry = ranges(right.ptr[left.col], right.counts[left.col])
    weight = left.weight[owner] * right.weight[entry]
    shape = len(left.ptr) - 1, len(right.ptr) - 1
    return sum_entries(left.row[owner], right.col[entry], weight, shape)


def sample_product(left: Rows, right: Adjacency, num_terms: int, draw: Tensor) -> Rows:
    r"""An unbiased estimate of ``left @ right`` from about ``num_terms`` terms of each row.

    With c = (sum of the sizes of a row's terms) / num_terms, terms of at least c are formed. In the
    running sum of the sizes of the others, one point in every stretch of length c is drawn, and the
    term it falls into counts as one of size c. Formed terms come first within each row of
    ``right``, and prefix sums find the drawn ones, so that the cost is that of the terms kept.

    Args:
        left: rows.
        right: W.
        num_terms: of each row.
        draw: ``[R]`` uniform numbers, the position of the points.
    """
    size, row, W = left.weight.abs(), left.row, right.rows
    begin, end = W.ptr[left.col], W.ptr[left.col + 1]
    unit = row_sums(size * right.mass[left.col], left.counts) / num_terms
    unit = unit.clamp(min=torch.finfo(unit.dtype).tiny)[row]
    split = _bisect(begin, end, lambda entry, x: size[x] * W.weight[entry].abs() < unit[x])
    formed, heavy = ranges(begin, split - begin)

    passed = _reach_before(right, begin, split)
    light = torch.where(split < end, size * (_reach_before(right, begin, end) - passed), 0)
    light = light.clamp(min=0) / unit
    last = running_sums(light, left) + draw[row]
    first = last - light
    counts = (torch.floor(last) - torch.floor(first)).long()
    drawn, point = ranges(torch.floor(first).long() + 1, counts)
    goal = passed[drawn] + (point - first[drawn]) * unit[drawn] / size[drawn]
    tail = _bisect(split[drawn], end[drawn] - 1, lambda entry, x: right.reach[entry] >= goal[x])

    exact = left.weight[formed] * W.weight[heavy]
    estimated = unit[drawn].copysign(left.weight[drawn] * W.weight[tail])
    rows, cols = row[torch.cat([formed, drawn])], W.col[torch.cat([heavy, tail])]
    shape = len(left.ptr) - 1, len(W.ptr) - 1
    return sum_entries(rows, cols, torch.cat([exact, estimated]), shape)


def _reach_before(W: Adjacency, begin: Tensor, end: Tensor) -> Tensor:
    """Sums of the sizes of the entries from ``begin``, the start of a row, to ``end``."""
    return torch.where(end > begin, W.reach[(end - 1).clamp(min=0)], 0)


def _bisect(low: Tensor, high: Tensor, holds: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The first entry of each range [low, high) that meets a monotone condition, else ``high``."""
    x = torch.arange(len(low), device=low.device)
    while bool((low < high).any()):
        middle = torch.div(low + high, 2, rounding_mode="floor")
        held = holds(middle.clamp(max=int(high.max()) - 1), x)
        low, high = (
            torch.where(held | (low == high), low, middle + 1),
            torch.where(held & (low < high), middle, high),
        )
    return low


def thin(rows: Rows, budget: int, draw: Tensor) -> Rows:
    """Rows of more than ``budget`` entries resampled to as many, give or take one, without bias."""
    is_wide = (rows.counts > budget)[rows.row]
    if not bool(is_wide.any()):
        return rows
    wide = rows.keep(is_wide)
    size = wide._replace(weight=wide.weight.abs())
    kept, resampled = resample(size, find_thresholds(size.weight, size.counts, budget), draw)
    weight, mask = rows.weight.clone(), torch.ones_like(is_wide)
    weight[is_wide], mask[is_wide] = resampled.copysign(wide.weight), kept
    return rows._replace(weight=weight).keep(mask)


def resample(
    rows: Rows, threshold: Tensor, draw: Tensor, certain: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Draw entries of non-negative rows; return a mask of those that stay, and their weights.

    Entries above their row's ``threshold [R]``, and ``certain [nnz]`` ones, stay as they are. A
    lighter one stays with probability weight / threshold and then weighs the threshold, by one
    systematic draw for each row.
    """
    bound = threshold[rows.row]
    heavy = (rows.weight > (1 + _TIES[bound.dtype]) * bound) & (rows.weight > 0)
    if certain is not None:
        heavy |= certain
    probability = torch.where(heavy | (bound == 0), 0, rows.weight / bound)
    last = running_sums(probability, rows) + draw[rows.row]
    drawn = (torch.floor(last) > torch.floor(last - probability)) & (probability > 0)
    return heavy | drawn, torch.where(heavy, rows.weight, bound)


def find_thresholds(size: Tensor, counts: Tensor, budget: Tensor | int) -> Tensor:
    r"""``[R]``, the c of each row of sizes with :math:`\sum_j \min(s_j / c, 1) =` budget.

    From c = sum / budget downwards: sizes above c are set apart, the others share the rest of the
    budget, until no size exceeds c. Each pass sets at least one more apart, so that it ends, and in
    practice after a few. Sizes that exceed c by rounding alone are not set apart: then nothing
    could share the rest.
    """
    apart = torch.zeros_like(size, dtype=torch.bool)
    while True:
        rest = row_sums(torch.where(apart, 0, size), counts)
        threshold = rest / (budget - row_sums(apart.to(size.dtype), counts))
        grown = apart | (size > (1 + _TIES[size.dtype]) * threshold.repeat_interleave(counts))
        if torch.equal(grown, apart):
            return threshold
        apart = grown
