"""The heads of several operators side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from graphmask.kernels import Pattern
from graphmask.kernels.products import in_one_type

from .base import Entries, MaskOperator, check_same_graph
from .sparse import merge


class HeadwiseOperator(MaskOperator):
    """The matrices of several operators of the same graph, one below the other: ``[sum H, N, N]``.

    Attention runs over each part by the execution that is best for it, with the denominator of its
    own sign.

    Raises:
        ValueError: for no operator, and for operators of different graphs.

    Cost: that of each part for its heads.

    Example:
        >>> import torch, graphmask as gm
        >>> pair = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=2)
        >>> ones = gm.operators.GlobalOperator(pair)
        >>> gm.operators.HeadwiseOperator(ones, -0.5 * ones).to_dense().tolist()
        [[[1.0, 1.0], [1.0, 1.0]], [[-0.5, -0.5], [-0.5, -0.5]]]
    """

    def __init__(self, *parts: MaskOperator) -> None:
        check_same_graph("parts", parts)
        # Flat, since each part has a sign of its own.
        parts = tuple([single for part in parts for single in part._parts()])
        self.parts = parts
        self.part_heads = [part.heads for part in parts]
        heads = sum(self.part_heads)
        cost = sum([part.cost * part.heads for part in parts])
        time = sum([part.unit_cost * part.cost * part.heads for part in parts])
        sign = reduce(min, [part.sign for part in parts])
        super().__init__(parts[0].topology, heads, sign, cost / heads)
        self.unit_cost = time / cost if cost else 1.0

    def _matmul(self, x: Tensor) -> Tensor:
        shared = x.shape[0] == 1
        inputs = [x] * len(self.parts) if shared else x.split(self.part_heads)
        return self._stack([part.matmul(y) for part, y in zip(self.parts, inputs, strict=True)])

    def _transpose(self) -> MaskOperator:
        return HeadwiseOperator(*(part.mT for part in self.parts))

    def to_dense(self) -> Tensor:
        return self._stack([part.to_dense() for part in self.parts])

    def _entries(self) -> Entries | None:
        """Entries of sparse parts on the union of their supports, zero where a part has none."""
        known = [part.entries() for part in self.parts]
        terms, start = [], 0
        for entries, heads in zip(known, self.part_heads, strict=True):
            if entries is None:
                return None
            value = entries.value.expand(heads, -1)
            above = value.new_zeros(start, value.shape[1])
            below = value.new_zeros(self.heads - start - heads, value.shape[1])
            terms.append(Entries(entries.pattern, torch.cat([above, value, below])))
            start += heads
        return merge(terms)

    def lookup(self, pattern: Pattern) -> Tensor | None:
        values = []
        for part in self.parts:
            value = part.lookup(pattern)
            if value is None:
                return None
            values.append(value.expand(part.heads, -1))
        return self._stack(values)

    def _parts(self) -> Sequence[MaskOperator]:
        return self.parts

    @staticmethod
    def _stack(values: Sequence[Tensor]) -> Tensor:
        return torch.cat(in_one_type(*values))
