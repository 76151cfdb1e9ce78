"""Scores k(q_i, k_j) of pairs of nodes from their features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy

import torch
from torch import Tensor

from graphmask.kernels import Pattern, sddmm


class Scores(ABC):
    """Scores of pairs of nodes from features of queries and keys.

    A row of scores may be scaled by a positive factor, which numerator and normaliser share.

    Attributes:
        factored: whether scores are inner products that the normaliser sums as they are, so that
            keys can be summed first. The lifted execution needs this, and with it masks that only
            know products.
        signed: whether scores have any sign, so that the normaliser sums absolute values under
            every mask.
        normalized: whether the denominator is asked for. Without it the signs of a mask and of
            scores do not matter.
    """

    factored: bool = False
    signed: bool = False
    normalized: bool = True

    def unnormalized(self) -> Scores:
        """The same scores for attention that needs no denominator."""
        scores = copy(self)
        scores.normalized = False
        return scores

    def pairs(self, pattern: Pattern, q: Tensor, k: Tensor, present: Tensor) -> Tensor:
        """``[H, nnz]`` scores at the ``present`` entries of a pattern, from ``q, k [H, N, m]``."""
        return self._of_pairs(sddmm(pattern, q, k), pattern, present)

    def block(self, q: Tensor, k: Tensor, present: Tensor) -> Tensor:
        """``[..., R, C]`` scores of ``q [..., R, m]`` and ``k [..., C, m]`` where ``present``."""
        return self._of_block(q @ k.mT, present)

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

    @abstractmethod
    def _of_pairs(self, product: Tensor, pattern: Pattern, present: Tensor) -> Tensor:
        """Scores from inner products ``[H, nnz]`` at the entries of a pattern."""

    @abstractmethod
    def _of_block(self, product: Tensor, present: Tensor) -> Tensor:
        """Scores from inner products ``[..., R, C]``."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class InnerProducts(Scores):
    """``k(q, k) = q . k``, non-negative or estimates of such, which the normaliser sums as are."""

    factored = True

    def _of_pairs(self, product: Tensor, pattern: Pattern, present: Tensor) -> Tensor:
        return product

    def _of_block(self, product: Tensor, present: Tensor) -> Tensor:
        return product


class SignedInnerProducts(InnerProducts):
    """``k(q, k) = q . k`` of any sign.

    The normaliser sums absolute values, which only executions by pairs and by blocks know.
    """

    factored = False
    signed = True

    def unnormalized(self) -> Scores:
        return InnerProducts().unnormalized()


class Exponentials(Scores):
    """``k(q, k) = exp(q . k)``, divided by the largest of each row: softmax attention.

    Entries that are not present have the score 0.
    """

    def _of_pairs(self, product: Tensor, pattern: Pattern, present: Tensor) -> Tensor:
        product = product.masked_fill(~present, -torch.inf)
        row = pattern.row.long().expand_as(product)
        top = product.new_full((len(product), pattern.shape[0]), -torch.inf)
        top = _or_zero(top.scatter_reduce(1, row, product.detach(), "amax"))
        return (product - top.gather(1, row)).exp()

    def _of_block(self, product: Tensor, present: Tensor) -> Tensor:
        product = product.masked_fill(~present, -torch.inf)
        return (product - _or_zero(product.detach().amax(-1, keepdim=True))).exp()


def _or_zero(top: Tensor) -> Tensor:
    """The largest score of each row, and 0 for rows without any."""
    return top.masked_fill(top == -torch.inf, 0)
