"""Systematic lengths: walks of one node that share out the lengths evenly."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask._random import uniform

from .length_laws import CoupledLengths, quantile


class Systematic(CoupledLengths):
    r"""Lengths of some law as evenly spread quantiles.

    Walk j of n has that of :math:`(u + j / n) \bmod 1`, u one for the node.

    Of the walks of a node :math:`n P(L \ge t)` reach hop t, rounded up or down: no number of that
    mean varies less.

    Args:
        law: of each length.

    Raises:
        TypeError: where the law is none.

    Source: systematic sampling (Madow and Madow, Annals of Mathematical Statistics 1944).

    Example:
        >>> import torch, graphmask as gm
        >>> law = gm.walks.Systematic(gm.walks.Geometric(p_halt=0.5))
        >>> lengths = law.lengths(torch.arange(3), n_walks=8, hops=9, seed=0)
        >>> (lengths >= 2).sum(1)  # 8 / 4
        tensor([2, 2, 2])
    """

    def lengths(self, place: Tensor, n_walks: int, hops: int, seed: int | Tensor) -> Tensor:
        shift = torch.arange(n_walks, device=place.device) / n_walks
        return quantile(self.survival(hops), (uniform(seed, place.unsqueeze(1)) + shift) % 1)
