"""Masks that are functions of the whole graph: the heat kernel and the resolvent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def heat_kernel(W: Tensor, t: Tensor) -> Tensor:
    """The mask M_h = exp(-t_h (I - W)) = e^-t_h exp(t_h W), [H, N, N], of t [H] (Kondor and Lafferty 2002).

    >>> pair = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> heat_kernel(pair, torch.tensor([100.0]))
    tensor([[[0.5000, 0.5000],
             [0.5000, 0.5000]]], dtype=torch.float64)
    """
    t = t.double()[:, None, None]
    return torch.exp(-t) * torch.matrix_exp(t * W.double())


def resolvent(W: Tensor, a: Tensor) -> Tensor:
    """The mask M_h = (I - a_h W)^-1, [H, N, N], of a [H] (Lahoti et al. 2025).

    >>> chain = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> resolvent(chain, torch.tensor([0.5])).tolist()
    [[[1.0, 0.0], [0.5, 1.0]]]
    """
    return torch.linalg.inv(
        torch.eye(len(W), dtype=torch.float64, device=W.device)
        - a.double()[:, None, None] * W.double()
    )
