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
    return torch.einsum("k,ijk->ij", weight.double(), (offset @ frequency.double().mT).cos()) / len(
        weight
    )


def cloud_diffusion(W: Tensor, scale: Tensor, batch: Tensor | None = None) -> Tensor:
    """The mask M_h = exp(scale_h W / n), [H, N, N], of adjacencies W [N, N], graph by graph of n nodes each.

    >>> cloud_diffusion(torch.zeros(2, 2), torch.ones(1)).tolist()
    [[[1.0, 0.0], [0.0, 1.0]]]
    """
    graph = torch.zeros(len(W), device=W.device) if batch is None else batch
    same = (graph[:, None] == graph[None, :]).double()
    return torch.matrix_exp(
        scale.double()[:, None, None] * W.double() * same / same.sum(1, keepdim=True)
    )


def gaussian_mixture(xi: Tensor, w: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
    """The Fourier transform tau_h(xi) = sum_t w_ht exp(-|xi - mu_ht|^2 / sigma_ht^2), [H, r], at xi [r, D] (2024, FLT).

    >>> gaussian_mixture(torch.zeros(1, 2), torch.tensor([[3.0]]), torch.zeros(1, 1, 2), torch.ones(1, 1)).tolist()
    [[3.0]]
    """
    distance = ((xi.double()[None, None] - mu.double()[:, :, None]) ** 2).sum(-1)
    return (w.double()[..., None] * torch.exp(-distance / sigma.double()[..., None] ** 2)).sum(1)


def fourier_bias(offset: Tensor, xi: Tensor, tau: Tensor) -> Tensor:
    """The positional bias f_h(z), [H, ...], of offsets z [..., D], frequencies xi ~ p = N(0, I), tau [H, r] (2024, FLT).

        f_h(z) = 1/r sum_k tau_h(xi_k) / p(xi_k) cos(2 pi xi_k . z)

    >>> fourier_bias(torch.zeros(2), torch.zeros(1, 2), torch.tensor([[1 / (2 * torch.pi)]])).round(decimals=6).tolist()
    [1.0]
    """
    p = torch.exp(-(xi.double() ** 2).sum(-1) / 2) / (2 * torch.pi) ** (xi.shape[-1] / 2)
    waves = torch.cos(2 * torch.pi * offset.double() @ xi.double().mT)
    return torch.einsum("hk,...k->h...", tau.double() / p, waves) / len(xi)


def positive_product(a: Tensor, b: Tensor, omega: Tensor) -> Tensor:
    """The estimate of exp(a_i .

    B_j), [H, N, N], by positive random features omega [m, C] (2021, Performers, Lemma 1).

        M_ij = 1/m sum_l exp(omega_l . a_i - |a_i|^2 / 2) exp(omega_l . b_j - |b_j|^2 / 2)

    >>> positive_product(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2), torch.ones(3, 2)).tolist()
    [[[1.0]]]
    """
    exponent = [
        x.double() @ omega.double().mT - (x.double() ** 2).sum(-1, keepdim=True) / 2 for x in (a, b)
    ]
    return torch.exp(exponent[0][:, :, None] + exponent[1][:, None]).sum(-1) / len(omega)
