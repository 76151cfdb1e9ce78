"""Multiples, sums and matrix products of operators."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor

from graphmask._checks import value_error
from graphmask.features.scores import Scores
from graphmask.kernels import Pattern, sddmm, spmm
from graphmask.kernels.columns import attend_columns
from graphmask.kernels.product_columns import ProductColumns
from graphmask.kernels.products import in_one_type

from .attend import attend_unchecked
from .base import Attended, Entries, MaskOperator, Rule, Sign, Sums, common_heads
from .sparse import merge

# Rounding errors of a sum, in units of the last place of the numbers that it adds.
_ROUNDING = 16


class ScaledOperator(MaskOperator):
    """``c M`` for a number c, or one number per head ``[H]``; the denominator scales by ``|c|``.

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
        # A tensor may be learned, so that its sign is never read.
        keeps_sign = not isinstance(scale, Tensor) and scale >= 0
        heads = check_scale(scale, mask.heads)
        super().__init__(mask.topology, heads, mask.sign if keeps_sign else Sign.ANY, mask.cost)

    def _factor(self, *trailing: int) -> Any:
        """The scale, against tensors of ``[H, *trailing]``."""
        return self.scale.reshape(-1, *trailing) if isinstance(self.scale, Tensor) else self.scale

    def _matmul(self, x: Tensor) -> Tensor:
        return self._factor(1, 1) * self.mask.matmul(x)

    def _transpose(self) -> MaskOperator:
        return ScaledOperator(self.mask.mT, self.scale)

    def to_dense(self) -> Tensor:
        return self._factor(1, 1) * self.mask.to_dense()

    def _entries(self) -> Entries | None:
        entries = self.mask.entries()
        return entries and Entries(entries.pattern, self._factor(1) * entries.value)

    def lookup(self, pattern: Pattern) -> Tensor | None:
        value = self.mask.lookup(pattern)
        return None if value is None else self._factor(1) * value

    def _own_rule(self, channels: int, scores: Scores) -> Rule | None:
        # The denominator of an estimate sums M itself, and not its absolute values.
        if scores.normalized and _has_estimates(self.mask) and not self.estimate:
            return None
        return self._scale_sums

    def _scale_sums(self, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        numerator, denominator, _ = attend_unchecked(self.mask, q, k, v, scores=scores)
        if denominator is not None:
            denominator = abs(self._factor(1)) * denominator
        return Attended(self._factor(1, 1) * numerator, denominator)


class SumOperator(MaskOperator):
    r"""``M_1 + M_2 + ...``, masks of the same graph.

    Sparse terms are merged into one. Where all terms are non-negative the denominators add. A
    signed sparse term S beside one term L without sparse support has the exact denominator

    .. math:: \sum_j |L_{ij}| k_{ij} + \sum_{(i,j) \in S} (|L_{ij} + S_{ij}| - |L_{ij}|) k_{ij},

    which needs L's entries at the support of S only (``lookup``); rows in which nothing but
    rounding errors is left count as empty. Other signed sums raise an error unless their blocks
    are built.

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
        self.terms: tuple[MaskOperator, ...] = tuple(terms)
        heads, sign = common_heads("masks", terms), reduce(min, [term.sign for term in terms])
        super().__init__(terms[0].topology, heads, sign, sum(term.cost for term in terms))

    def _matmul(self, x: Tensor) -> Tensor:
        return _add(*[term.matmul(x) for term in self.terms])

    def _transpose(self) -> MaskOperator:
        return SumOperator(*(term.mT for term in self.terms))

    def to_dense(self) -> Tensor:
        return _add(*[term.to_dense() for term in self.terms])

    def _entries(self) -> Entries | None:
        sparse, wide = self._split_terms()
        return None if wide else merge(sparse)

    def lookup(self, pattern: Pattern) -> Tensor | None:
        values = [term.lookup(pattern) for term in self.terms]
        known = [value for value in values if value is not None]
        return _add(*known) if len(known) == len(values) else None

    def _split_terms(self) -> tuple[list[Entries], list[MaskOperator]]:
        """Entries of the terms with sparse support, and the other terms."""
        entries = [term.entries() for term in self.terms]
        wide = [term for term, known in zip(self.terms, entries, strict=True) if known is None]
        return [known for known in entries if known is not None], wide

    def _own_rule(self, channels: int, scores: Scores) -> Rule | None:
        if self.entries() is not None:
            return None
        adds = self.sums_itself or not scores.normalized
        return self._add_sums if adds else self._signed_rule()

    def _add_sums(self, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        return add_sums([attend_unchecked(term, q, k, v, scores=scores) for term in self.terms])

    def _signed_rule(self) -> Rule | None:
        """The rule of ``L + S``, where absolute values of L are known and L at the support of S."""
        sparse, wide = self._split_terms()
        estimates = any(_has_estimates(term) for term in wide)
        if not sparse or estimates or (len(wide) > 1 and not all(t.nonnegative for t in wide)):
            return None
        base = wide[0] if len(wide) == 1 else SumOperator(*wide)
        merged = merge(sparse)
        value = base.lookup(merged.pattern)
        return None if value is None else partial(_attend_corrected, base, value, merged)


class ProductOperator(MaskOperator):
    """The matrix product ``M_1 M_2 ...`` of masks of the same graph.

    Raises:
        ValueError: for factors of different graphs, or of different numbers of heads but one.

    Cost: the sum of the factors' costs.

    Source: Reid et al. (ICLR 2025), Lemma 3.1, for two factors.

    Example:
        >>> import torch, graphmask as gm
        >>> two = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=2)
        >>> ones = gm.operators.GlobalOperator(two)
        >>> gm.operators.ProductOperator(ones, ones) @ torch.tensor([1.0, 2.0])
        tensor([[6., 6.]])
    """

    def __init__(self, *factors: MaskOperator) -> None:
        self.factors = factors
        heads = common_heads("factors", factors)
        sign = reduce(min, [factor.sign for factor in factors])
        cost = sum(factor.cost for factor in factors)
        super().__init__(factors[0].topology, heads, sign, cost)

    def _matmul(self, x: Tensor) -> Tensor:
        return reduce(lambda y, factor: factor.matmul(y), reversed(self.factors), x)

    def _transpose(self) -> MaskOperator:
        return ProductOperator(*(factor.mT for factor in reversed(self.factors)))

    def _attend_columns(self, q: Tensor, k: Tensor, v: Tensor, normalized: bool) -> Sums | None:
        """Attend by compiled code where all factors are sparse."""
        entries = [known for factor in self.factors if (known := factor.entries()) is not None]
        if len(entries) < len(self.factors):
            return None
        own = [known.value.expand(len(q), -1) for known in entries]
        q, k, v, *values = in_one_type(q, k, v, *own)
        columns = ProductColumns([known.pattern for known in entries])
        return attend_columns(columns, q, k, v, normalized, *values)

    def to_dense(self) -> Tensor:
        first, *rest = in_one_type(*(factor.to_dense() for factor in self.factors))
        return reduce(lambda left, right: left @ right, rest, first)


def _has_estimates(mask: MaskOperator) -> bool:
    """True if attention sums estimates of any sign as they are, in at least one head."""
    return any(part.estimate for part in mask._parts())


def check_scale(scale: float | Tensor, heads: int) -> int:
    """The heads of a mask of ``heads`` heads times a number, or one number per head."""
    count = scale.numel() if isinstance(scale, Tensor) else 1
    if 1 not in (count, heads) and count != heads:
        raise value_error("scale", f"a number or of shape [H] with H = {heads}", scale)
    return max(count, heads)


def _attend_corrected(
    base: MaskOperator,
    base_value: Tensor,
    sparse: Entries,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scores: Scores,
) -> Attended:
    """Both sums of ``L + S``: those of the base L, corrected where the sparse S has entries."""
    pattern, value = sparse.pattern, sparse.value
    base_value = base_value.to(value.dtype)
    q, k, v = in_one_type(q, k, v)
    numerator, denominator, _ = attend_unchecked(base, q, k, v, scores=scores)
    assert denominator is not None  # sums of any sign without one need no correction
    score = sddmm(pattern, q, k)
    change = (base_value + value).abs() - base_value.abs()
    ones = v.new_ones(*v.shape[:2], 1)
    total = denominator + spmm(pattern, change * score, ones)[..., 0]
    # Where all entries of a row cancel, rounding errors are left, and their ratio is anything. They
    # are those of scores, whatever the type of the entries, and of the products that scores sum,
    # which may cancel, too.
    with torch.no_grad():
        bound = change.abs() * sddmm(pattern, q.abs(), k.abs())
        size = denominator.abs() + spmm(pattern, bound, ones)[..., 0]
        eps = max(torch.finfo(x.dtype).eps for x in (denominator, score))
        lost = total.abs() <= _ROUNDING * eps * size
    numerator = (numerator + spmm(pattern, value * score, v)).masked_fill(lost.unsqueeze(-1), 0)
    return Attended(numerator, total.masked_fill(lost, 0))


def add_sums(sums: Sequence[Attended]) -> Attended:
    """The sums of terms added, the denominators where there are any."""
    numerators, denominators, _ = zip(*sums, strict=True)
    return Attended(_add(*numerators), None if denominators[0] is None else _add(*denominators))


def _add(first: Tensor, *rest: Tensor) -> Tensor:
    return sum(rest, start=first)


def _matmul(self: MaskOperator, x: Tensor | MaskOperator) -> Tensor | MaskOperator:
    """``M @ x``; for an operator x, the product of both."""
    return ProductOperator(self, x) if isinstance(x, MaskOperator) else self.matmul(x)


def _plus(self: MaskOperator, other: MaskOperator) -> MaskOperator:
    """The sum of two masks of the same graph."""
    return SumOperator(self, other) if isinstance(other, MaskOperator) else NotImplemented


MaskOperator.__matmul__ = _matmul  # type: ignore[method-assign, assignment]
MaskOperator.__add__ = _plus  # type: ignore[method-assign]
