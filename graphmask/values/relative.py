"""Values relative to that of the node that reads them."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask.topology import Topology

from .base import Decoded, Encoded, ValueMap


class RelativeValues(ValueMap):
    r"""Differences of values, :math:`\text{out}_i = \sum_j w_{ij}\, (v_j - v_i)`.

    The weights are summed as one more channel, since those of signed masks do not sum to one, and
    without a normaliser they sum to degrees. Sums forget what all nodes have in common: use it on
    point clouds, not where attention spreads labels.

    Cost: one channel more.

    Source: Wang et al., "Dynamic Graph CNN for Learning on Point Clouds" (ACM Transactions on
    Graphics 2019), for features relative to the centre of a neighbourhood.

    Example:
        >>> import torch, graphmask as gm
        >>> pair = gm.Topology(torch.tensor([[0, 1], [1, 0]]), 2)
        >>> q, v = torch.ones(2, 1, 1), torch.tensor([[[1.0]], [[4.0]]])
        >>> mask = gm.masks.GlobalMask()(pair)
        >>> gm.attention(q, q, v, mask, values=gm.values.RelativeValues()).flatten()
        tensor([ 1.5000, -1.5000])
    """

    def forward(self, v: Tensor, topology: Topology) -> Encoded:
        def decode(sums: Tensor) -> Decoded:
            return Decoded(sums[..., :-1] - sums[..., -1:] * v)

        return Encoded(torch.cat([v, v.new_ones(*v.shape[:2], 1)], -1), decode)
