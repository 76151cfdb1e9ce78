"""Division by row sums."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Normalizer, Rows


class RowSums(Normalizer):
    r"""Divide by the row sums :math:`z_i = \sum_j |M_{ij}|\, k(q_i, k_j)`: weighted means.

    Nodes whose row sums to zero get zeros.

    Source: Reid et al., "Linear Transformer Topological Masking with Graph Random Features" (ICLR
    2025), eq. 2.

    Example:
        >>> import torch
        >>> from graphmask.normalizers import RowSums
        >>> RowSums()(torch.tensor([[[6.0]], [[0.0]]]), torch.tensor([[[2.0]], [[0.0]]])).flatten()
        tensor([3., 0.])
    """

    needs_denominator = True

    def forward(
        self, numerator: Tensor, denominator: Tensor | None, rows: Rows | None = None
    ) -> Tensor:
        assert denominator is not None
        return divide(numerator, denominator)


def divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Their ratio, with x / 0 := 0: masked before dividing, so that no gradient is NaN.

    Below the smallest normal number, whose inverse overflows, a denominator counts as 0.
    """
    empty = denominator.abs() < torch.finfo(denominator.dtype).tiny
    divisor = denominator.masked_fill(empty, 1)
    # A product with the reciprocal, one number per row, takes few passes over the numerator,
    # forward and backward. Its gradient squares the reciprocal, which is therefore taken of a
    # number near 1.
    scale = divisor.detach().reciprocal()
    return numerator * ((divisor * scale).reciprocal() * scale).masked_fill(empty, 0)
