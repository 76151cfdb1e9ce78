"""Scores k(q_i, k_j) of pairs of nodes from their features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy

import torch
from torch import Tensor

from graphmask.kernels import (
    HopValues,
    Pattern,
    pair_attention,
    pair_softmax,
    pair_sums,
    sddmm,
    spmm,
)
from graphmask.kernels.products import in_one_type

# Numerator, denominator if it is asked for, and shift of rows if they have one.
Sums = tuple[Tensor, Tensor | None, Tensor | None]


class Scores(ABC):
    """Scores of pairs of nodes from features of queries and keys.

    A row of scores may be divided by ``e^shift``, which numerator and denominator share.

    Attributes:
        factored: whether scores are inner products that the normaliser sums as they are, so that
            keys can be summed first. The lifted execution needs this, and with it masks that only
            know products.
        signed: whether scores have any sign, so that the normaliser sums absolute values under
            every mask.
        shifted: whether rows of scores are divided by ``e^shift``.
        normalized: whether the denominator is asked for. Without it the signs of a mask and of
            scores do not matter.
    """

    factored: bool = False
    signed: bool = False
    shifted: bool = False
    normalized: bool = True

    def unnormalized(self) -> Scores:
        """The same scores for attention that needs no denominator."""
        scores = copy(self)
        scores.normalized = False
        return scores

    @abstractmethod
    def attend_pairs(
        self,
        pattern: Pattern,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | HopValues,
        sums_itself: bool,
    ) -> Sums:
        """Sums of attention over the entries of a pattern.

        Args:
            pattern: the support of M.
            q: ``[H, N, m]``.
            k: ``[H, N, m]``.
            v: ``[H, N, d]``.
            mask: entries of M ``[H or 1, nnz]``, or what they are formed from.
            sums_itself: whether the denominator sums M, and not its absolute values.
        """

    def block(self, q: Tensor, k: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        """Scores ``[..., R, C]`` of ``q [..., R, m]`` and ``k [..., C, m]`` where ``present``.

        If rows are shifted, also their shift ``[..., R, 1]``.
        """
        return (q @ k.mT,)

    def terms(self, mask: Tensor, score: Tensor, sums_itself: bool) -> tuple[Tensor, Tensor]:
        """The terms of the numerator ``M_ij k_ij``, and those that the denominator sums.

        Args:
            mask: entries of M.
            score: their scores.
            sums_itself: whether the denominator sums M, and not its absolute values.
        """
        mixed = mask * score
        if self.signed:
            return mixed, mixed.abs()
        return mixed, mixed if sums_itself else mask.abs() * score

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class InnerProducts(Scores):
    """``k(q, k) = q . k``, non-negative or estimates of such, which the normaliser sums as are."""

    factored = True
    _plus_one = False

    def attend_pairs(
        self,
        pattern: Pattern,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | HopValues,
        sums_itself: bool,
    ) -> Sums:
        if not self.normalized:
            return pair_sums(pattern, q, k, v, mask, self._plus_one), None, None
        signed = not sums_itself
        return *pair_attention(pattern, q, k, v, mask, signed, self._plus_one), None


class OnePlusProducts(InnerProducts):
    """Inner products of features of which the first is 1: ``k(q, k) = 1 + q' . k'``.

    Kernels for pairs read the other features only, of which there may be a power of two.
    """

    _plus_one = True

    def attend_pairs(
        self,
        pattern: Pattern,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | HopValues,
        sums_itself: bool,
    ) -> Sums:
        q, k = (x[..., 1:].transpose(0, 1).contiguous().transpose(0, 1) for x in (q, k))
        return super().attend_pairs(pattern, q, k, v, mask, sums_itself)


class _FunctionsOfProducts(Scores):
    """``k(q, k) = f(q . k)``, composed of sparse products."""

    @abstractmethod
    def _of_products(self, product: Tensor) -> Tensor:
        """``f`` of each number."""

    def attend_pairs(
        self,
        pattern: Pattern,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | HopValues,
        sums_itself: bool,
    ) -> Sums:
        weight = mask.expand() if isinstance(mask, HopValues) else mask
        q, k, v, weight = in_one_type(q, k, v, weight)
        score = self._of_products(sddmm(pattern, q, k))
        mixed, size = self.terms(weight, score, sums_itself)
        if not self.normalized:
            return spmm(pattern, mixed, v), None, None
        ones = v.new_ones(*v.shape[:2], 1)
        return spmm(pattern, mixed, v), spmm(pattern, size, ones)[..., 0], None

    def block(self, q: Tensor, k: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        return (self._of_products(q @ k.mT),)


class SignedInnerProducts(_FunctionsOfProducts):
    """``k(q, k) = q . k`` of any sign.

    The normaliser sums absolute values, which only executions by pairs and by blocks know.
    """

    signed = True

    def unnormalized(self) -> Scores:
        return InnerProducts().unnormalized()

    def _of_products(self, product: Tensor) -> Tensor:
        return product


class SquaredProducts(_FunctionsOfProducts):
    """``k(q, k) = max(q . k, 0)^2``: non-negative, sparse, and as large as products are."""

    def _of_products(self, product: Tensor) -> Tensor:
        return product.relu().square()


class Exponentials(Scores):
    """``k(q, k) = exp(q . k)``, divided by the largest of each row: softmax attention.

    Entries that are not present have the score 0.
    """

    shifted = True

    def attend_pairs(
        self,
        pattern: Pattern,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | HopValues,
        sums_itself: bool,
    ) -> Sums:
        sums = pair_softmax(pattern, q, k, v, mask, signed=self.normalized and not sums_itself)
        return sums if self.normalized else (sums[0], None, None)

    def block(self, q: Tensor, k: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        product = (q @ k.mT).masked_fill(~present, -torch.inf)
        top = product.detach().amax(-1, keepdim=True)
        shift = top.masked_fill(top == -torch.inf, 0)
        return (product - shift).exp(), shift
