"""Division by row sums and a learned constant."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphmask._checks import check_integer

from .base import Normalizer, Rows, check_heads
from .row_sums import divide


class Sink(Normalizer):
    r"""Divide by row sums and a learned null value: a head may attend to nothing.

    .. math:: y^h_i = s^h_i \Big/ \Big(\sum_j |M_{ij}|\, k(q_i, k_j) + e^{b_h}\Big)

    as if every row had one more entry, of score :math:`e^{b_h}` and value zero. Rows of few or weak
    entries stay small, so that some of degrees and counts stays visible.

    Args:
        heads: H.

    Attributes:
        null: b ``[H]``, learned, 0 at first.

    Raises:
        ValueError: for sums of another number of heads; in attention, for random features of
            softmax, whose scores are known up to a factor.

    Source: Xiao et al., "Efficient Streaming Language Models with Attention Sinks" (ICLR 2024),
    section 3.3, for the zero sink; one learned per head is this library's.

    Example:
        >>> import torch
        >>> from graphmask.normalizers import Sink
        >>> sink = Sink(heads=1)
        >>> sink(torch.tensor([[[6.0]]]), torch.tensor([[[2.0]]])).flatten().detach()
        tensor([2.])
    """

    needs_denominator = True
    reads_size = True
    reads_shift = True

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = check_integer("heads", heads, 1)
        self.null = nn.Parameter(torch.zeros(heads))

    def forward(
        self, numerator: Tensor, denominator: Tensor | None, rows: Rows | None = None
    ) -> Tensor:
        assert denominator is not None
        check_heads(self, self.heads, numerator)
        null = self.null.to(numerator.dtype).unsqueeze(-1)
        if rows is not None and rows.shift is not None:
            null = null - rows.shift
        # Both are divided by what is too large to be represented.
        excess = null.detach().clamp(min=0)
        factor = (-excess).exp()
        return divide(numerator * factor, denominator * factor + (null - excess).exp())

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.null)

    def extra_repr(self) -> str:
        return f"heads={self.heads}"
