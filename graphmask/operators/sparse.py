"""A mask known by its sparse entries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from graphmask.kernels import HopValues, Pattern, spmm
from graphmask.topology import Topology

from .base import Entries, MaskOperator, Sign


class SparseOperator(MaskOperator):
    """Entries ``value [H, nnz]`` on a pattern.

    Args:
        topology: the graphs that the entries stay within.
        pattern: positions of the entries.
        value: ``[H, nnz]``; or :class:`~graphmask.kernels.HopValues`, from which they are made at
            each use.
        nonnegative: whether no value can be negative. (default: :obj:`False`)
        estimate: whether the values estimate non-negative ones. (default: :obj:`False`)

    Cost: O(nnz) per head and column.

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> pattern, weight = edge.adjacency(None)
        >>> operator = gm.operators.SparseOperator(edge, pattern, weight.unsqueeze(0))
        >>> operator @ torch.tensor([1.0, 2.0])
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
        stored, wanted, value = _positions(self.pattern), _positions(pattern), self.value
        if not len(stored):
            return value.new_zeros(self.heads, len(wanted))
        index = torch.searchsorted(stored, wanted).clamp(max=len(stored) - 1)
        return torch.where(stored[index] == wanted, value[:, index], 0)


def merge(terms: Sequence[Entries]) -> Entries:
    """The sum of sparse entries on the union of their supports."""
    return reduce(_add, terms)


def _add(first: Entries, second: Entries) -> Entries:
    if _share_support(first.pattern, second.pattern):
        return Entries(first.pattern, first.value + second.value)
    pattern, index = _union(first.pattern, second.pattern)
    heads = max(len(first.value), len(second.value))
    value = torch.cat([first.value.expand(heads, -1), second.value.expand(heads, -1)], 1)
    return Entries(pattern, value.new_zeros(heads, pattern.nnz).index_add(1, index, value))


def merge_patterns(patterns: Sequence[Pattern]) -> Pattern:
    """The pattern on which :func:`merge` sums entries of these patterns."""
    return reduce(lambda a, b: a if _share_support(a, b) else _union(a, b)[0], patterns)


def _share_support(first: Pattern, second: Pattern) -> bool:
    return first.col is second.col and first.rowptr is second.rowptr


def _union(first: Pattern, second: Pattern) -> tuple[Pattern, Tensor]:
    """The union of two patterns and the index of their entries in it, ``[nnz_1 + nnz_2]``.

    It is found by sorting; that with the latest partner is kept with the first pattern.
    """

    def unite() -> tuple[Pattern, Tensor]:
        positions = torch.cat([_positions(first), _positions(second)])
        position, index = torch.unique(positions, return_inverse=True)
        row = torch.div(position, first.num_cols, rounding_mode="floor")
        return Pattern.from_coo(row, position - row * first.num_cols, first.shape), index

    return first.cached("union", unite, partner=second.col)


def _positions(pattern: Pattern) -> Tensor:
    """Entries as ascending positions ``i C + j``."""
    return pattern.row.long() * pattern.num_cols + pattern.col.long()
