"""Sums as they are."""

from __future__ import annotations

from torch import Tensor

from .base import Normalizer


class Unnormalized(Normalizer):
    """The sums as they are: degrees and counts stay visible, as in a convolution.

    Use scores of bounded size, such as :class:`~graphmask.features.UnitPlusCosine`, and a norm
    before every block: unbounded scores grow without bound in depth.

    Example:
        >>> import torch
        >>> from graphmask.normalizers import Unnormalized
        >>> Unnormalized()(torch.tensor([[[6.0]]]), None).flatten()
        tensor([6.])
    """

    def forward(self, numerator: Tensor, denominator: Tensor | None) -> Tensor:
        return numerator
