"""Gates of the output of attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphmask._checks import check_integer, value_error


class OutputGate(nn.Module):
    r"""Factors of the output of attention, from the features of the node alone.

    .. math:: g(x_i) = 1 + \tanh(W_g x_i + b)

    As the ``gate`` of a :class:`~graphmask.nn.TopologicalAttention` or of a layer or model of it,
    whose output becomes :math:`W_o\,(g(x_i) \odot y_i)`. W and b start at 0, so that a gate is 1 at
    first; then a node may take from 0 to 2 of what it attends to. :math:`1 + \tanh(z) =
    2\,\sigma(2z)`: these are sigmoid gates up to a factor.

    Args:
        channels: C, of the nodes.
        heads: H, a divisor of C, for one factor per head. (default: :obj:`None`, one per channel)

    Shapes:
        - **input:** node features ``[N, C]``
        - **output:** ``[N, C]``

    Raises:
        ValueError: where C is no multiple of H.

    Cost: O(N C^2), or O(N C H).

    Source: Deng et al., "Polynormer" (ICLR 2024), for factors of linear attention; Qiu et al.,
    "Gated Attention for Large Language Models" (NeurIPS 2025), for gates behind attention, per
    channel and per head.

    Example:
        >>> import torch, graphmask as gm
        >>> gate = gm.nn.OutputGate(4)
        >>> gate(torch.randn(1, 4)).tolist()
        [[1.0, 1.0, 1.0, 1.0]]
        >>> mask = gm.masks.GlobalMask()
        >>> layer = gm.nn.TopologicalAttention(4, heads=2, mask=mask, gate=gate)
    """

    def __init__(self, channels: int, heads: int | None = None) -> None:
        super().__init__()
        self.channels = check_integer("channels", channels, 1)
        self.heads = heads if heads is None else check_integer("heads", heads, 1)
        if channels % (heads or 1):
            raise value_error("channels", f"a multiple of heads = {heads}", channels)
        self.linear = nn.Linear(channels, heads or channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset to gates of 1."""
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C] -> [N, C]``."""
        factor = 1 + torch.tanh(self.linear(x))
        width = 1 if self.heads is None else self.channels // self.heads
        return factor.repeat_interleave(width, 1) if width > 1 else factor

    def __repr__(self) -> str:
        return f"OutputGate({self.channels}, heads={self.heads})"
