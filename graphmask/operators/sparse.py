"""A mask known by its sparse entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphmask.kernels import HopValues, Pattern, spmm
from graphmask.topology import Topology

from .base import Entries, MaskOperator, Sign


class SparseOperator(MaskOperator):
    """Entries ``value [H, nnz]`` on a pattern.

    Args:
        topology: the graphs that the entries stay within.
        pattern: where the entries are.
        value: ``[H, nnz]``; or :class:`~graphmask.kernels.HopValues`, from which they are made at
            each use.
        nonnegative: whether no value can be negative. (default: :obj:`False`)
        estimate: whether the values estimate non-negative ones. (default: :obj:`False`)

    Cost: O(nnz) per head and column.

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> pattern, weight = edge.adjacency(None)
        >>> gm.operators.SparseOperator(edge, pattern, weight.unsqueeze(0)) @ torch.tensor([1.0, 2.0])
        tensor([[2., 1.]])
    """

    def __init__(
        self,
        topology: Topology,
        pattern: Pattern,
        value: Tensor | HopValues,
        nonnegative: bool = False,
        estimate: bool = False,
    ) -> None:
        self.pattern, self._support = pattern, Entries(pattern, value)
        heads = value.coefficients.shape[0] if isinstance(value, HopValues) else value.shape[0]
        super().__init__(topology, heads, Sign.of(nonnegative, estimate), pattern.nnz)

    @property
    def value(self) -> Tensor:
        """``[H, nnz]``."""
        return self._support.value

    def _matmul(self, x: Tensor) -> Tensor:
        return spmm(self.pattern, self.value, x)

    def _transpose(self) -> MaskOperator:
        value = self.value[:, self.pattern.csc_perm]
        return SparseOperator(self.topology, self.pattern.mT, value, *self.sign.flags)

    def to_dense(self) -> Tensor:
        return self.pattern.to_dense(self.value)

    def _entries(self) -> Entries:
        return self._support

    def lookup(self, pattern: Pattern) -> Tensor:
        """Zero outside the support."""
        own, asked, value = _positions(self.pattern), _positions(pattern), self.value
        if not len(own):
            return value.new_zeros(self.heads, len(asked))
        found = torch.searchsorted(own, asked).clamp(max=len(own) - 1)
        return torch.where(own[found] == asked, value[:, found], 0)


def merge(parts: Sequence[Entries]) -> Entries:
    """The sum of sparse entries on the union of their supports.

    The union of two patterns is found once, by sorting, and kept with the first.
    """
    total = parts[0]
    for part in parts[1:]:
        total = _add(total, part)
    return total


def _add(first: Entries, second: Entries) -> Entries:
    if _is_same(first.pattern, second.pattern):
        return Entries(first.pattern, first.value + second.value)
    union = unite(first.pattern, second.pattern)
    values = first.value, second.value
    heads = max(value.shape[0] for value in values)
    value = torch.cat([value.expand(heads, -1) for value in values], 1)
    total = value.new_zeros(heads, union.pattern.nnz).index_add(1, union.entry, value)
    return Entries(union.pattern, total)


def merge_patterns(patterns: Sequence[Pattern]) -> Pattern:
    """The pattern on which :func:`merge` sums entries of these patterns."""
    total = patterns[0]
    for pattern in patterns[1:]:
        total = total if _is_same(total, pattern) else unite(total, pattern).pattern
    return total


def _is_same(first: Pattern, second: Pattern) -> bool:
    return first.col is second.col and first.rowptr is second.rowptr


class Union(NamedTuple):
    """A pattern that holds two others, and where their entries are in it, ``[nnz of one + nnz of other]``."""

    pattern: Pattern
    entry: Tensor


def unite(first: Pattern, second: Pattern) -> Union:
    """The union of two patterns of equal shape; the latest one is kept with the first pattern."""
    return first.cached("union", lambda: _unite(first, second), partner=second.col)


def _unite(first: Pattern, second: Pattern) -> Union:
    position, entry = torch.unique(
        torch.cat([_positions(first), _positions(second)]), return_inverse=True
    )
    row = torch.div(position, first.num_cols, rounding_mode="floor")
    return Union(Pattern.from_coo(row, position - row * first.num_cols, first.shape), entry)


def _positions(pattern: Pattern) -> Tensor:
    """Entries as ascending positions ``i C + j``."""
    return pattern.row.long() * pattern.num_cols + pattern.col.long()
