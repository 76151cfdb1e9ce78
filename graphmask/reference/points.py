"""Masks on positions, and entrywise products. Letters: D dimensions of positions, m frequencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def hadamard(A: Tensor, B: Tensor) -> Tensor:
    """The entrywise product M_ij = A_ij B_ij, [H, N, N], of masks [H or 1, N, N].

    >>> hadamard(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[2.0, 0.0], [1.0, -1.0]]])).tolist()
    [[[2.0, 0.0], [3.0, -4.0]]]
    """
    return A.double() * B.double()


def wave_adjacency(pos: Tensor, frequency: Tensor, weight: Tensor) -> Tensor:
    """The estimated adjacency of a point cloud, [N, N], from frequencies omega [m, D] and weights c [m] (2023, RFDiffusion).

        W_ij = 1/m sum_k c_k cos(omega_k . (x_i - x_j))

    >>> wave_adjacency(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [0.0]]), torch.tensor([1.0, 3.0]))[0].tolist()
    [2.0, 2.0]
    """
    offset = pos[:, None].double() - pos[None].double()
    return torch.einsum("k,ijk->ij", weight.double(), (offset @ frequency.double().mT).cos()) / len(weight)


def cloud_diffusion(W: Tensor, scale: Tensor, batch: Tensor | None = None) -> Tensor:
    """The mask M_h = exp(scale_h W / n), [H, N, N], of adjacencies W [N, N], graph by graph of n nodes each.

    >>> cloud_diffusion(torch.zeros(2, 2), torch.ones(1)).tolist()
    [[[1.0, 0.0], [0.0, 1.0]]]
    """
    graph = torch.zeros(len(W), device=W.device) if batch is None else batch
    same = (graph[:, None] == graph[None, :]).double()
    return torch.matrix_exp(scale.double()[:, None, None] * W.double() * same / same.sum(1, keepdim=True))
