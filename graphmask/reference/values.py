"""Value maps: what attention sums in the place of values, pair by pair."""

from __future__ import annotations

import torch
from torch import Tensor


def rotary_values(weight: Tensor, v: Tensor, pos: Tensor, frequency: Tensor) -> Tensor:
    """Sums of values turned by offsets, [N, H, d], of w [H, N, N], v [N, H, d], p [N, D].

        out_i = sum_j w_ij R(a_j - a_i) v_j,    a_jhf = omega_hf . p_j

    R(a) turns channels f and d/2 + f by a_f; omega is [H, d / 2, D].

    >>> v, pos = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]]), torch.tensor([[0.0], [torch.pi / 2]])
    >>> w = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    >>> rotary_values(w, v, pos, torch.ones(1, 1, 1))[0].round().int().tolist()
    [[0, 1]]
    """
    angle = torch.einsum("hfd,ijd->ijhf", frequency.double(), _offsets(pos))
    first, second = v.double().chunk(2, -1)
    turned = first * angle.cos() - second * angle.sin(), first * angle.sin() + second * angle.cos()
    return torch.einsum("hij,ijhd->ihd", weight.double(), torch.cat(turned, -1))


def relative_values(weight: Tensor, v: Tensor) -> Tensor:
    """Sums of differences of values, sum_j w_ij (v_j - v_i), [N, H, d].

    >>> w, v = torch.tensor([[[1.0, 2.0], [0.0, 1.0]]]), torch.tensor([[[1.0]], [[5.0]]])
    >>> relative_values(w, v).flatten().tolist()
    [8.0, 0.0]
    """
    return torch.einsum("hij,ijhd->ihd", weight.double(), _offsets(v))


def _offsets(x: Tensor) -> Tensor:
    """``x_j - x_i``, [N, N, ...]."""
    return x.double().unsqueeze(0) - x.double().unsqueeze(1)
