"""Sums and multiples of masks.

Numerators add; normalisers add where signs are known to agree, and are corrected where not.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

from torch import Tensor

from graphmask._checks import value_error
from graphmask.kernels import Pattern, sddmm, spmm
from graphmask.kernels.products import in_one_type

from .base import Attended, Entries, MaskOperator, Sign
from .executions import Execution
from .sparse import merge


class ScaledOperator(MaskOperator):
    """``c M`` for a number c, or one number per head ``[H]``; the normaliser scales by ``|c|``.

    Raises:
        ValueError: for a tensor of neither one number nor one per head.

    Cost: that of M.

    Example:
        >>> import torch, graphmask as gm
        >>> pair = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=2)
        >>> (-0.5 * gm.operators.GlobalOperator(pair)) @ torch.tensor([1.0, 2.0])
        tensor([[-1.5000, -1.5000]])
    """

    def __init__(self, mask: MaskOperator, scale: float | Tensor) -> None:
        self.mask, self.scale = mask, scale
        kept = not isinstance(scale, Tensor) and scale >= 0
        heads = check_scale(scale, mask.heads)
        super().__init__(mask.topology, heads, mask.sign if kept else Sign.ANY, mask.cost)

    def _factor(self, *trailing: int) -> Any:
        """The scale, against tensors of ``[H, *trailing]``."""
        return self.scale.reshape(-1, *trailing) if isinstance(self.scale, Tensor) else self.scale

    def _matmul(self, x: Tensor) -> Tensor:
        return self._factor(1, 1) * self.mask._matmul(x)

    def _transpose(self) -> MaskOperator:
        return ScaledOperator(self.mask.mT, self.scale)

    def to_dense(self) -> Tensor:
        return self._factor(1, 1) * self.mask.to_dense()

    def _entries(self) -> Entries | None:
        inner = self.mask.entries()
        return None if inner is None else Entries(inner.pattern, self._factor(1) * inner.value)

    def lookup(self, pattern: Pattern) -> Tensor | None:
        inner = self.mask.lookup(pattern)
        return None if inner is None else self._factor(1) * inner

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, execution: Execution | None) -> Attended:
        # The normaliser of an estimate sums M itself, and not the absolute values wanted here.
        if self.mask.estimate and not self.estimate:
            return super()._attend(q, k, v, execution)
        numerator, normaliser = self.mask._attend(q, k, v, execution)
        return Attended(self._factor(1, 1) * numerator, abs(self._factor(1)) * normaliser)


class SumOperator(MaskOperator):
    r"""``M_1 + M_2 + ...``, masks of the same graph.

    Sparse terms are merged into one. Where all terms are non-negative the normalisers add. A signed
    sparse term S beside one term L without sparse support has the exact normaliser

    .. math:: \sum_j |L_{ij}| k_{ij} + \sum_{(i,j) \in S} (|L_{ij} + S_{ij}| - |L_{ij}|) k_{ij},

    which needs L's entries at the support of S only (``lookup``); other signed sums are refused
    unless their blocks are built.

    Raises:
        ValueError: for masks of different graphs, or of different numbers of heads.

    Cost: the sum of the terms' costs; merging sparse terms sorts their entries.

    Example:
        >>> import torch, graphmask as gm
        >>> pair = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> walks = gm.operators.SparseOperator(pair, pair.pattern, torch.tensor([[-3.0, -3.0]]))
        >>> (gm.operators.GlobalOperator(pair) + walks).to_dense()
        tensor([[[ 1., -2.],
                 [-2.,  1.]]])
    """

    def __init__(self, *masks: MaskOperator) -> None:
        terms: list[MaskOperator] = []
        for mask in masks:
            terms += mask.terms if isinstance(mask, SumOperator) else (mask,)
        # Compared, since torch.compile fixes numbers that it puts into a set.
        if any(term.num_nodes != terms[0].num_nodes for term in terms):
            raise value_error(
                "masks", "of the same graph", f"masks of {[term.num_nodes for term in terms]} nodes"
            )
        if len({term.heads for term in terms} - {1}) > 1:
            raise value_error(
                "masks",
                "of the same number of heads, or one",
                f"heads {[term.heads for term in terms]}",
            )
        self.terms: tuple[MaskOperator, ...] = tuple(terms)
        heads = max(term.heads for term in terms)
        sign = reduce(min, [term.sign for term in terms])
        super().__init__(terms[0].topology, heads, sign, sum(term.cost for term in terms))

    def _matmul(self, x: Tensor) -> Tensor:
        first, *rest = (term._matmul(x) for term in self.terms)
        return sum(rest, start=first)

    def _transpose(self) -> MaskOperator:
        return SumOperator(*(term.mT for term in self.terms))

    def to_dense(self) -> Tensor:
        first, *rest = (term.to_dense() for term in self.terms)
        return sum(rest, start=first)

    def _entries(self) -> Entries | None:
        found = [term.entries() for term in self.terms]
        known = [each for each in found if each is not None]
        return merge(known) if len(known) == len(found) else None

    def lookup(self, pattern: Pattern) -> Tensor | None:
        found = [term.lookup(pattern) for term in self.terms]
        known = [each for each in found if each is not None]
        return sum(known[1:], start=known[0]) if len(known) == len(found) else None

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, execution: Execution | None) -> Attended:
        if execution is not None or self.entries() is not None:
            return super()._attend(q, k, v, execution)
        if self.sums_itself:
            return _add(*(term._attend(q, k, v, None) for term in self.terms))
        return self._attend_signed(q, k, v) or super()._attend(q, k, v, None)

    def _attend_signed(self, q: Tensor, k: Tensor, v: Tensor) -> Attended | None:
        found = [term.entries() for term in self.terms]
        sparse = [each for each in found if each is not None]
        wide = [term for term, each in zip(self.terms, found, strict=True) if each is None]
        unknown = any(term.estimate for term in wide) or (
            len(wide) > 1 and not all(term.nonnegative for term in wide)
        )
        if not sparse or unknown:
            return None
        dense = wide[0] if len(wide) == 1 else SumOperator(*wide)
        merged = merge(sparse)
        pattern, value = merged.pattern, merged.value
        under = dense.lookup(pattern)
        if under is None:
            return None
        under = under.to(value.dtype)
        q, k, v = in_one_type(q, k, v)
        base = dense._attend(q, k, v, None)
        score = sddmm(pattern, q, k)
        change = ((under + value).abs() - under.abs()) * score
        correction = spmm(pattern, change, v.new_ones(*v.shape[:2], 1))[..., 0]
        return Attended(
            base.numerator + spmm(pattern, value * score, v), base.normaliser + correction
        )


def check_scale(scale: float | Tensor, heads: int) -> int:
    """The heads of a mask of ``heads`` heads times a number, or one number per head."""
    count = scale.numel() if isinstance(scale, Tensor) else 1
    if 1 not in (count, heads) and count != heads:
        raise value_error("scale", f"a number or of shape [H] with H = {heads}", scale)
    return max(count, heads)


def _add(first: Attended, *rest: Attended) -> Attended:
    return Attended(
        sum((each.numerator for each in rest), start=first.numerator),
        sum((each.normaliser for each in rest), start=first.normaliser),
    )
