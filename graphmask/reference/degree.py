"""Masks that know degrees."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ._zero import nonzero

if TYPE_CHECKING:
    from torch import Tensor


def degree_mask(A: Tensor, batch: Tensor, power: Tensor) -> Tensor:
    """The degree mask of an adjacency without normalisation, [H, N, N], of power [H] (Chen et al.

    2024).

        M_h[i, j] = sin(pi/4 (z_hi + z_hj))  for nodes i, j of the same graph, else 0
        z_hi = (log(1 + d_i) / max over nodes j of the graph of log(1 + d_j)) ^ power[h],    d_i = sum_j |A_ij|,    0 / 0 := 0

    The source leaves z open: this choice, and the power, are ours.

    >>> pair = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> degree_mask(pair, torch.tensor([0, 0]), torch.tensor([1.0])).tolist()
    [[[1.0, 1.0], [1.0, 1.0]]]
    """
    size = (1 + A.double().abs().sum(1)).log()
    same = batch[:, None] == batch[None, :]
    share = size / nonzero(torch.where(same, size, 0.0).amax(1))
    z = torch.where(share == 0, 0.0, nonzero(share) ** power.double()[:, None])
    return same * torch.sin(math.pi / 4 * (z[:, :, None] + z[:, None, :]))
