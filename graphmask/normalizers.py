r"""Normalizers: the last step of masked attention, from sums over nodes to the output.

Attention sums :math:`s_i = \sum_j M_{ij}\, k(q_i, k_j)\, v_j`. A normalizer divides them by
:math:`z_i = \sum_j |M_{ij}|\, k(q_i, k_j)`, or leaves them as they are, so that degrees and counts
stay visible.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ._checks import check_integer, check_number, type_error, value_error
from .config import ConfigMixin

__all__ = ["Normalizer", "RMSNormalizer", "RowSums", "Unnormalized"]


class Normalizer(ConfigMixin, nn.Module, ABC):
    """Turns sums ``[N, H, d]`` into the output of attention.

    Attributes:
        needs_denominator: whether it reads :math:`z_i`. Attention that does not need them does not
            compute them, and then serves masks of any sign by their products alone.
        is_linear: whether the output is linear in the values, so that attention has rows.
    """

    needs_denominator: bool = False
    is_linear: bool = True

    @abstractmethod
    def forward(self, numerator: Tensor, denominator: Tensor | None) -> Tensor:
        """``[..., N, H, d]`` from the sums ``[..., N, H, d]`` and ``[..., N, H, 1]``."""

    def reset_parameters(self) -> None:
        """Reset all learnable parameters; normalizers without parameters do nothing."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


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

    def forward(self, numerator: Tensor, denominator: Tensor | None) -> Tensor:
        assert denominator is not None
        return divide(numerator, denominator)


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


class RMSNormalizer(Normalizer):
    r"""Divide the sums of a node and head by their root mean square over channels.

    .. math:: y^h_i = g^h\, s^h_i \Big/ \sqrt{\tfrac{1}{d} \|s^h_i\|^2 + \varepsilon}

    Args:
        heads: H.
        epsilon: added to the mean square. (default: :obj:`1e-6`)

    Attributes:
        gain: g ``[H]``, learned, 1 at first.

    Raises:
        ValueError: for sums of another number of heads.

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization" (NeurIPS 2019); Sun et al.,
    "Retentive Network" (arXiv 2307.08621), for the norm per head in the place of a normaliser.

    Example:
        >>> import torch
        >>> from graphmask.normalizers import RMSNormalizer
        >>> RMSNormalizer(1)(torch.tensor([[[3.0, -3.0]]]), None).flatten().detach()
        tensor([ 1.0000, -1.0000])
    """

    is_linear = False

    def __init__(self, heads: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.heads = check_integer("heads", heads, 1)
        self.epsilon = check_number("epsilon", epsilon, 0)
        self.gain = nn.Parameter(torch.ones(heads))

    def forward(self, numerator: Tensor, denominator: Tensor | None) -> Tensor:
        if numerator.shape[-2] != self.heads:
            raise value_error("normalizer", f"of {numerator.shape[-2]} heads, as q", repr(self))
        square = numerator.square().mean(-1, keepdim=True)
        return self.gain.unsqueeze(-1) * numerator * (square + self.epsilon).rsqrt()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.gain)

    def extra_repr(self) -> str:
        return f"heads={self.heads}"


def check_normalizer(normalizer: Normalizer | None) -> Normalizer:
    """Check that an argument is a normalizer; :class:`RowSums` in the place of :obj:`None`."""
    if normalizer is None:
        return RowSums()
    if not isinstance(normalizer, Normalizer):
        raise type_error("normalizer", "a Normalizer, such as RowSums()", normalizer)
    return normalizer


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
