"""Division by the root mean square over channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphmask._checks import check_integer, check_number

from .base import Normalizer, Rows, check_heads


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

    def forward(
        self, numerator: Tensor, denominator: Tensor | None, rows: Rows | None = None
    ) -> Tensor:
        check_heads(self, self.heads, numerator)
        square = numerator.square().mean(-1, keepdim=True)
        return self.gain.unsqueeze(-1) * numerator * (square + self.epsilon).rsqrt()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.gain)

    def extra_repr(self) -> str:
        return f"heads={self.heads}"
