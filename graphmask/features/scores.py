"""How the score k(q_i, k_j) of a pair of nodes is had from what a feature map gives for both."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from graphmask.kernels import Pattern, sddmm


class Scores(ABC):
    """Scores of pairs of nodes from mapped queries and keys.

    A row of scores may be known up to a positive factor only, which numerator and normaliser share.

    Attributes:
        factored: whether scores are inner products that the normaliser sums as they are, so that
            keys can be summed before any query is known. Executions that do so, and masks that are
            known by products only, need this.
        signed: whether scores have any sign, so that the normaliser sums absolute values whatever
            the mask.
    """

    factored: bool = False
    signed: bool = False

    def pairs(self, pattern: Pattern, q: Tensor, k: Tensor, present: Tensor) -> Tensor:
        """``[H, nnz]`` scores at the entries of a pattern, from ``q, k [H, N, m]``.

        Only those ``present`` matter.
        """
        return self._of_pairs(sddmm(pattern, q, k), pattern, present)

    def block(self, q: Tensor, k: Tensor, present: Tensor) -> Tensor:
        """``[..., R, C]`` scores of ``q [..., R, m]`` and ``k [..., C, m]``, of which only those ``present`` matter."""
        return self._of_block(q @ k.mT, present)

    @abstractmethod
    def _of_pairs(self, product: Tensor, pattern: Pattern, present: Tensor) -> Tensor:
        """Scores from inner products ``[H, nnz]`` at the entries of a pattern."""

    @abstractmethod
    def _of_block(self, product: Tensor, present: Tensor) -> Tensor:
        """Scores from inner products ``[..., R, C]``."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class InnerProducts(Scores):
    """``k(q, k) = q . k``, non-negative, or estimates of what is.

    The normaliser sums them as they are.
    """

    factored = True

    def _of_pairs(self, product: Tensor, pattern: Pattern, present: Tensor) -> Tensor:
        return product

    def _of_block(self, product: Tensor, present: Tensor) -> Tensor:
        return product


class SignedInnerProducts(InnerProducts):
    """``k(q, k) = q . k`` of any sign.

    The normaliser sums absolute values, which only executions by pairs know.
    """

    factored = False
    signed = True


class Exponentials(Scores):
    """``k(q, k) = exp(q . k)``, divided by the largest of each row: softmax attention.

    What is not present has the score 0.
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
    """Of rows where nothing is present, the largest is taken to be 0."""
    return top.masked_fill(top == -torch.inf, 0)
