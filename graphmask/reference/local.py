"""Convolutions over the surroundings of nodes."""

from __future__ import annotations

import torch
from torch import Tensor


def row_max(support: Tensor, x: Tensor) -> Tensor:
    """The largest number of each row of a support, [..., N, C], of S [N, M] and x [..., M, C].

        y_ic = max_{j: S_ij} x_jc,    0 for rows without any

    >>> support = torch.tensor([[True, True], [False, False]])
    >>> row_max(support, torch.tensor([[-2.0], [-1.0]])).tolist()
    [[-1.0], [0.0]]
    """
    terms = x.double().unsqueeze(-3).masked_fill(~support.unsqueeze(-1), -torch.inf)
    return torch.where(support.any(1, keepdim=True), terms.amax(-2), 0.0)


def support_max(u: Tensor, edge_index: Tensor, hops: int) -> Tensor:
    """The largest number within some hops of a node, itself included, [N, C], of u [N, C].

    >>> u = torch.tensor([[3.0], [1.0], [2.0]])
    >>> support_max(u, torch.tensor([[0, 1], [1, 2]]), 1).flatten().tolist()
    [3.0, 3.0, 2.0]
    """
    step = torch.eye(len(u), dtype=torch.double)
    step[edge_index[1], edge_index[0]] = 1
    return row_max(torch.linalg.matrix_power(step, hops) > 0, u)
