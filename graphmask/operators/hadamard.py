"""Entrywise products of masks, where they can be multiplied exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask._checks import value_error
from graphmask.kernels import Pattern

from ._slices import run_slices
from .algebra import ScaledOperator, SumOperator
from .base import Attended, Entries, MaskOperator
from .executions import SLICE_MEMORY, Execution
from .global_ import GlobalOperator
from .low_rank import LowRankOperator, attend_factored, prefers_lifting
from .sparse import SparseOperator


class HadamardOperator(MaskOperator):
    r"""The entrywise product of a mask M with one of low rank, :math:`\sum_r \text{diag}(u_r)\, M\, \text{diag}(v_r)`.

    ``a * b`` of two operators makes it, or what is simpler: see :func:`multiply`.

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
        >>> series = gm.masks.PowerSeriesMask(order=2, alpha=gm.masks.RegularizedLaplacian, normalization="rw")(path)
        >>> scale = torch.tensor([[[1.0], [2.0], [4.0]]])
        >>> (gm.operators.LowRankOperator(path, scale, scale) * series).to_dense()
        tensor([[[0.5625, 0.5000, 0.2500],
                 [0.2500, 2.5000, 1.0000],
                 [0.2500, 2.0000, 9.0000]]], grad_fn=<MulBackward0>)
    """

    def __init__(self, mask: MaskOperator, factor: LowRankOperator) -> None:
        self.mask, self.factor = mask, factor
        heads = check_alike(mask, factor)
        super().__init__(mask.topology, heads, min(mask.sign, factor.sign), factor.rank * mask.cost)

    def _matmul(self, x: Tensor) -> Tensor:
        x = x.expand(self.heads, -1, -1)

        def multiply_slice(left: Tensor, right: Tensor) -> Tensor:
            lifted = (right.unsqueeze(-1) * x.unsqueeze(-2)).flatten(-2)
            mixed = self.mask._matmul(lifted).unflatten(-1, (right.shape[-1], -1))
            return torch.einsum(
                "hnr,hnrc->hnc", left.expand(self.heads, -1, -1).to(mixed.dtype), mixed
            )

        width = SLICE_MEMORY // max(1, x.numel() * x.element_size())
        first, *rest = run_slices(multiply_slice, width, self.factor.left, self.factor.right)
        return sum(rest, start=first)

    def _transpose(self) -> MaskOperator:
        return HadamardOperator(self.mask.mT, self.factor._transpose())

    def to_dense(self) -> Tensor:
        return self.mask.to_dense() * self.factor.to_dense()

    def lookup(self, pattern: Pattern) -> Tensor | None:
        inner = self.mask.lookup(pattern)
        return None if inner is None else inner * self.factor.lookup(pattern)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, execution: Execution | None) -> Attended:
        # |M_ij B_ij| = |M_ij| B_ij for a non-negative B, whatever the signs of M.
        known = self.factor.nonnegative or self.sums_itself
        lifted = self.sums_itself and prefers_lifting(self.factor.rank, v)
        if execution is not None or not known or lifted:
            return super()._attend(q, k, v, execution)
        return attend_factored(self.mask, self.factor.left, self.factor.right, q, k, v)


def multiply(a: MaskOperator, b: MaskOperator) -> MaskOperator:
    """The entrywise product of two masks, in the form that multiplies fastest.

    Raises:
        ValueError: for masks of different graphs or heads, and for two masks of which none is of
            low rank, and none sparse beside one whose single entries are known.
    """
    check_alike(a, b)
    made = (
        _multiply_simple(a, b)
        or _multiply_sparse(a, b)
        or _multiply_low_rank(a, b)
        or _multiply_parts(a, b)
    )
    if made is not None:
        return made
    raise value_error(
        "a * b",
        "of a mask of low rank, or of a sparse mask and one whose single entries are known (`lookup`): no other entrywise "
        "product is known by its products with vectors (use a walk mask, or build both by `to_dense()` on small graphs)",
        f"{a!r} ({_describe(a)}) and {b!r} ({_describe(b)})",
    )


def _multiply_simple(a: MaskOperator, b: MaskOperator) -> MaskOperator | None:
    """Ones leave what they multiply; scales come out."""
    for one, other in ((a, b), (b, a)):
        if isinstance(one, GlobalOperator):
            return other
        if isinstance(one, ScaledOperator):
            return ScaledOperator(multiply(one.mask, other), one.scale)
    return None


def _multiply_sparse(a: MaskOperator, b: MaskOperator) -> MaskOperator | None:
    pairs = [
        (entries, other)
        for entries, other in ((a.entries(), b), (b.entries(), a))
        if entries is not None
    ]
    for entries, other in sorted(pairs, key=_count):
        found = _lookup(other, entries.pattern)
        if found is not None:
            value, sign = entries.value * found, min(a.sign, b.sign)
            return SparseOperator(a.topology, entries.pattern, value, *sign.flags)
    return None


def _lookup(mask: MaskOperator, pattern: Pattern) -> Tensor | None:
    """Single entries of a mask, also of one that knows only all of them."""
    entries, found = mask.entries(), mask.lookup(pattern)
    if found is not None or entries is None:
        return found
    return SparseOperator(mask.topology, entries.pattern, entries.value).lookup(pattern)


def _multiply_low_rank(a: MaskOperator, b: MaskOperator) -> MaskOperator | None:
    factors = [(other, one) for one, other in ((a, b), (b, a)) if isinstance(one, LowRankOperator)]
    return HadamardOperator(*min(factors, key=lambda pair: pair[1].rank)) if factors else None


def _multiply_parts(a: MaskOperator, b: MaskOperator) -> MaskOperator | None:
    """Sums term by term."""
    for one, other in ((a, b), (b, a)):
        if isinstance(one, SumOperator):
            return SumOperator(*(multiply(term, other) for term in one.terms))
    return None


def _count(pair: tuple[Entries, MaskOperator]) -> int:
    return pair[0].pattern.nnz


def _describe(mask: MaskOperator) -> str:
    known = mask.topology.pattern.identity if mask.num_nodes else None
    single = known is not None and mask.lookup(known) is not None
    return f"{'sparse' if mask.entries() is not None else 'not sparse'}, single entries {'known' if single else 'not known'}"


def check_alike(a: MaskOperator, b: MaskOperator) -> int:
    """The heads of the product of two masks of the same graph."""
    if a.num_nodes != b.num_nodes:
        raise value_error(
            "a * b", "of masks of the same graph", f"masks of {a.num_nodes} and {b.num_nodes} nodes"
        )
    if a.heads != b.heads and 1 not in (a.heads, b.heads):
        raise value_error(
            "a * b", "of masks of the same number of heads, or one", f"heads {[a.heads, b.heads]}"
        )
    return max(a.heads, b.heads)
