"""A mask known by its sparse entries."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphmask.kernels import Pattern, spmm
from graphmask.topology import Topology

from .base import Entries, MaskOperator


class SparseOperator(MaskOperator):
    """Entries ``value [H, nnz]`` on a pattern.

    Args:
        topology: the graphs that the entries stay within.
        pattern: where the entries are.
        value: ``[H, nnz]``.
        nonnegative: whether no value can be negative. (default: :obj:`False`)

    Cost: O(nnz) per head and column.

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> pattern, weight = edge.adjacency(None)
        >>> gm.operators.SparseOperator(edge, pattern, weight.unsqueeze(0)) @ torch.tensor([1.0, 2.0])
        tensor([[2., 1.]])
    """

    def __init__(self, topology: Topology, pattern: Pattern, value: Tensor, nonnegative: bool = False) -> None:
        self.pattern, self.value = pattern, value
        super().__init__(topology, value.shape[0], nonnegative, pattern.nnz)

    def _matmul(self, x: Tensor) -> Tensor:
        return spmm(self.pattern, self.value, x)

    def _transpose(self) -> MaskOperator:
        return SparseOperator(self.topology, self.pattern.mT, self.value[:, self.pattern.order], self.nonnegative)

    def to_dense(self) -> Tensor:
        return self.pattern.to_dense(self.value)

    def _entries(self) -> Entries:
        return Entries(self.pattern, self.value)

    def lookup(self, pattern: Pattern) -> Tensor:
        """Zero outside the support."""
        own, asked = _positions(self.pattern), _positions(pattern)
        if not len(own):
            return self.value.new_zeros(self.heads, len(asked))
        found = torch.searchsorted(own, asked).clamp(max=len(own) - 1)
        return torch.where(own[found] == asked, self.value[:, found], 0)


def merge(parts: Sequence[Entries]) -> Entries:
    """The sum of sparse entries on the union of their supports."""
    if len(parts) == 1:
        return parts[0]
    heads = max(part.value.shape[0] for part in parts)
    position = torch.cat([_positions(part.pattern) for part in parts])
    union, entry = torch.unique(position, return_inverse=True)
    value = torch.cat([part.value.expand(heads, -1) for part in parts], 1)
    rows, columns = parts[0].pattern.shape
    row = torch.div(union, columns, rounding_mode="floor")
    pattern = Pattern.from_coo(row, union - row * columns, (rows, columns))
    return Entries(pattern, value.new_zeros(heads, len(union)).index_add(1, entry, value))


def _positions(pattern: Pattern) -> Tensor:
    """Entries as ascending positions ``i C + j``."""
    return pattern.row.long() * pattern.num_cols + pattern.col.long()
