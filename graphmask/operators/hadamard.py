"""Entrywise products of masks, where they can be multiplied exactly."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from graphmask._checks import value_error
from graphmask.features.scores import Scores
from graphmask.kernels import Pattern

from ._slices import run_slices, slice_width
from .algebra import ScaledOperator, SumOperator
from .base import MaskOperator, Rule, common_heads
from .executions import SLICE_MEMORY
from .global_ import GlobalOperator
from .low_rank import LowRankOperator, attend_factored, prefers_lifting
from .sparse import SparseOperator


class HadamardOperator(MaskOperator):
    r"""The entrywise product of a mask M with one of low rank.

    .. math:: \sum_r \text{diag}(u_r)\, M\, \text{diag}(v_r)

    ``a * b`` of two operators gives it, or something simpler: see :func:`multiply`.

    Args:
        mask: M.
        factor: of rank r, left factors u and right factors v.

    Raises:
        ValueError: for masks of different graphs, or of different numbers of heads.

    Cost: r products with M per column, in slices of bounded memory; attention is that under M with
    m r features.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> alpha = gm.masks.RegularizedLaplacian
        >>> series = gm.masks.PowerSeriesMask(hops=2, alpha=alpha, normalization="rw")(path)
        >>> scale = torch.tensor([[[1.0], [2.0], [4.0]]])
        >>> (gm.operators.LowRankOperator(path, scale, scale) * series).to_dense()
        tensor([[[0.5625, 0.5000, 0.2500],
                 [0.2500, 2.5000, 1.0000],
                 [0.2500, 2.0000, 9.0000]]], grad_fn=<MulBackward0>)
    """

    def __init__(self, mask: MaskOperator, factor: LowRankOperator) -> None:
        self.mask, self.factor = mask, factor
        heads = common_heads("a * b", (mask, factor))
        super().__init__(mask.topology, heads, min(mask.sign, factor.sign), factor.rank * mask.cost)

    def _matmul(self, x: Tensor) -> Tensor:
        x = x.expand(self.heads, -1, -1)

        def multiply_slice(left: Tensor, right: Tensor) -> Tensor:
            lifted = (right.unsqueeze(-1) * x.unsqueeze(-2)).flatten(-2)
            mixed = self.mask.matmul(lifted).unflatten(-1, (right.shape[-1], -1))
            return torch.einsum(
                "hnr,hnrc->hnc", left.expand(self.heads, -1, -1).to(mixed.dtype), mixed
            )

        width = slice_width(SLICE_MEMORY, self.topology, x)
        first, *rest = run_slices(multiply_slice, width, self.factor.left, self.factor.right)
        return sum(rest, start=first)

    def _transpose(self) -> MaskOperator:
        return HadamardOperator(self.mask.mT, self.factor._transpose())

    def to_dense(self) -> Tensor:
        return self.mask.to_dense() * self.factor.to_dense()

    def lookup(self, pattern: Pattern) -> Tensor | None:
        value = self.mask.lookup(pattern)
        return None if value is None else value * self.factor.lookup(pattern)

    def _own_rule(self, channels: int, scores: Scores) -> Rule | None:
        # |M_ij B_ij| = |M_ij| B_ij for a non-negative B, whatever the signs of M.
        sums_itself = self.sums_itself or not scores.normalized
        if not (self.factor.nonnegative or sums_itself):
            return None
        if sums_itself and prefers_lifting(self.factor.rank, channels):
            return None
        return partial(attend_factored, self.mask, self.factor.left, self.factor.right)


def multiply(a: MaskOperator, b: MaskOperator) -> MaskOperator:
    """The entrywise product of two masks, in the form that multiplies fastest.

    Raises:
        ValueError: for masks of different graphs or heads, and for two masks of which none is of
            low rank, and none sparse beside one whose single entries are known.
    """
    common_heads("a * b", (a, b))
    for rule in _RULES:
        for one, other in ((a, b), (b, a)):
            product = rule(one, other)
            if product is not None:
                return product
    raise value_error(
        "a * b",
        "of a mask of low rank, or of a sparse mask and one whose single entries are known "
        "(`lookup`): no other entrywise product is known by its products with vectors (use a walk "
        "mask, or build both by `to_dense()` on small graphs)",
        f"{a!r} ({_describe(a)}) and {b!r} ({_describe(b)})",
    )


def _times_ones(one: MaskOperator, other: MaskOperator) -> MaskOperator | None:
    return other if isinstance(one, GlobalOperator) else None


def _times_multiple(one: MaskOperator, other: MaskOperator) -> MaskOperator | None:
    if not isinstance(one, ScaledOperator):
        return None
    return ScaledOperator(multiply(one.mask, other), one.scale)


def _times_sparse(one: MaskOperator, other: MaskOperator) -> MaskOperator | None:
    """Single entries of a mask at the support of a sparse one, the smaller of both supports."""
    entries, others = one.entries(), other.entries()
    if entries is None or (others is not None and others.pattern.nnz < entries.pattern.nnz):
        return None
    value = other.lookup(entries.pattern)
    if value is None and others is not None:
        value = SparseOperator(other.topology, *others).lookup(entries.pattern)
    if value is None:
        return None
    sign = min(one.sign, other.sign)
    return SparseOperator(one.topology, entries.pattern, entries.value * value, *sign.flags)


def _times_low_rank(one: MaskOperator, other: MaskOperator) -> MaskOperator | None:
    if not isinstance(one, LowRankOperator):
        return None
    if isinstance(other, LowRankOperator) and other.rank < one.rank:
        return None
    return HadamardOperator(other, one)


def _times_sum(one: MaskOperator, other: MaskOperator) -> MaskOperator | None:
    if not isinstance(one, SumOperator):
        return None
    return SumOperator(*(multiply(term, other) for term in one.terms))


# In the order of preference. Each multiplies two masks where the first is of its kind.
_RULES: tuple[Callable[[MaskOperator, MaskOperator], MaskOperator | None], ...] = (
    _times_ones,
    _times_multiple,
    _times_sparse,
    _times_low_rank,
    _times_sum,
)


def _describe(mask: MaskOperator) -> str:
    known = mask.num_nodes and mask.lookup(mask.topology.pattern.identity) is not None
    support = "sparse" if mask.entries() is not None else "not sparse"
    return f"{support}, single entries {'known' if known else 'not known'}"


def _times(self: MaskOperator, other: float | Tensor | MaskOperator) -> MaskOperator:
    """The mask times a number, or one number per head ``[H]``, or the entrywise product of two."""
    if isinstance(other, MaskOperator):
        return multiply(self, other)
    is_scale = isinstance(other, (int, float, Tensor))
    return ScaledOperator(self, other) if is_scale else NotImplemented


MaskOperator.__mul__ = _times  # type: ignore[method-assign]
MaskOperator.__rmul__ = _times  # type: ignore[method-assign]
