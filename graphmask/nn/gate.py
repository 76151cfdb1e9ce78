"""Gates of the output of attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphmask._checks import check_integer


class OutputGate(nn.Module):
    r"""Factors of the output of attention, from the features of the node alone.

    .. math:: g(x_i) = 1 + \tanh(W_g x_i + b)

    As the ``gate`` of a :class:`~graphmask.nn.TopologicalAttention` or of a layer or model of it,
    whose output becomes :math:`W_o\,(g(x_i) \odot y_i)`. W and b start at 0, so that a gate is 1 at
    first; then a node may take from 0 to 2 of what it attends to. :math:`1 + \tanh(z) =
    2\,\sigma(2z)`: these are sigmoid gates up to a factor.

    Args:
        channels: C, of the nodes.
        out_channels: F, the number of factors: H for one per head; or those of all heads, where a
            map of values gives them more than C. (default: :obj:`None`, C: one per channel)

    Shapes:
        - **input:** node features ``[N, C]``
        - **output:** ``[N, F]``

    Cost: O(N C F).

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

    def __init__(self, channels: int, out_channels: int | None = None) -> None:
        super().__init__()
        self.channels = check_integer("channels", channels, 1)
        self.out_channels = channels if out_channels is None else out_channels
        check_integer("out_channels", self.out_channels, 1)
        self.linear = nn.Linear(channels, self.out_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset to gates of 1."""
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C] -> [N, F]``."""
        return 1 + torch.tanh(self.linear(x))

    def __repr__(self) -> str:
        return f"OutputGate({self.channels}, {self.out_channels})"
