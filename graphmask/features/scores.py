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
        factored: whether scores are inner products that the normaliser sums as they are, so that keys can be summed before
            any query is known. Executions that do so, and masks that are known by products only, need this.
    """

    factored: bool = False

    def pairs(self, pattern: Pattern, q: Tensor, k: Tensor) -> Tensor:
        """``[H, nnz]`` scores at the entries of a pattern, from ``q, k [H, N, m]``."""
        return self._of_pairs(sddmm(pattern, q, k), pattern.row.long())

    def block(self, q: Tensor, k: Tensor, present: Tensor) -> Tensor:
        """``[..., R, C]`` scores of ``q [..., R, m]`` and ``k [..., C, m]``, of which only those ``present`` matter."""
        return self._of_block(q @ k.mT, present)

    @abstractmethod
    def _of_pairs(self, product: Tensor, row: Tensor) -> Tensor:
        """Scores from inner products ``[H, nnz]`` of entries in these rows."""

    @abstractmethod
    def _of_block(self, product: Tensor, present: Tensor) -> Tensor:
        """Scores from inner products ``[..., R, C]``."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class InnerProducts(Scores):
    """``k(q, k) = q . k``, non-negative, or estimates of what is: the normaliser sums them as they are."""

    factored = True

    def _of_pairs(self, product: Tensor, row: Tensor) -> Tensor:
        return product

    def _of_block(self, product: Tensor, present: Tensor) -> Tensor:
        return product


class SignedInnerProducts(InnerProducts):
    """``k(q, k) = q . k`` of any sign: the normaliser sums absolute values, which only executions by pairs know."""

    factored = False


class Exponentials(Scores):
    """``k(q, k) = exp(q . k)``, divided by the largest of each row: softmax attention."""

    def _of_pairs(self, product: Tensor, row: Tensor) -> Tensor:
        rows = int(row[-1]) + 1 if len(row) else 0
        top = product.new_full((len(product), rows), -torch.inf)
        top = top.scatter_reduce(1, row.expand_as(product), product.detach(), "amax")
        return (product - top.gather(1, row.expand_as(product))).exp()

    def _of_block(self, product: Tensor, present: Tensor) -> Tensor:
        top = product.detach().masked_fill(~present, -torch.inf).amax(-1, keepdim=True)
        shifted = product - torch.where(top == -torch.inf, 0.0, top)
        return shifted.masked_fill(~present, -torch.inf).exp()
