"""Sums as they are."""

from __future__ import annotations

from torch import Tensor

from .base import Normalizer, Rows


class Unnormalized(Normalizer):
    """The sums as they are: degrees and counts stay visible, as in a convolution.

    Use scores of bounded size, such as :class:`~graphmask.features.UnitPlusCosine`, and a norm
    before every block: unbounded scores grow without bound in depth. Maps whose scores are known up
    to a factor, such as :class:`~graphmask.features.SoftmaxScores` and random features of softmax,
    need a normalizer that divides.

    Example:
        >>> import torch
        >>> from graphmask.normalizers import Unnormalized
        >>> Unnormalized()(torch.tensor([[[6.0]]]), None).flatten()
        tensor([6.])
    """

    reads_size = True

    def forward(
        self, numerator: Tensor, denominator: Tensor | None, rows: Rows | None = None
    ) -> Tensor:
        return numerator
