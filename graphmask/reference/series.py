"""Masks that are power series of the adjacency, and their estimates from walks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .walks import walk_powers

if TYPE_CHECKING:
    from torch import Tensor


def global_mask(num_nodes: int, batch: Tensor | None = None) -> Tensor:
    """The mask of unmasked attention, [1, N, N].

    M_ij = 1 where i and j are nodes of the same graph, else 0.

    >>> global_mask(3, torch.tensor([0, 1, 0])).tolist()
    [[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]]
    """
    graph = torch.zeros(num_nodes) if batch is None else batch
    return (graph[:, None] == graph[None, :]).double()[None]


def power_series(W: Tensor, alpha: Tensor) -> Tensor:
    """The mask M_h = sum_k alpha[h, k] W^k, [H, N, N], of alpha [H, K + 1] (Reid et al. 2025, eq.

    4).

    >>> power_series(torch.tensor([[0.0, 2.0], [2.0, 0.0]]), torch.tensor([[1.0, 10.0, 100.0]])).tolist()
    [[[401.0, 20.0], [20.0, 401.0]]]
    """
    return torch.einsum("hk,kij->hij", alpha.double(), walk_powers(W, alpha.shape[-1] - 1))


def walk_mask(S: Tensor, alpha: Tensor) -> Tensor:
    """The asymmetric mask M_h = sum_t alpha[h, t] S_t, [H, N, N] (Reid et al. 2025, eqs.

    25 to 28, Algorithm 2).

    >>> S = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.5, 0.0]]])
    >>> walk_mask(S, alpha=torch.tensor([[1.0, 4.0]])).tolist()
    [[[1.0, 4.0], [2.0, 1.0]]]
    """
    return torch.einsum("ht,tij->hij", alpha.double(), S.double())


def grf_mask(S_query: Tensor, S_key: Tensor, f: Tensor) -> Tensor:
    """The symmetric mask of graph random features, [H, N, N] (Reid et al.

    2025, Lemma 3.1, Algorithm 1).

        M_h = Phi_h Phi'_h^T,    Phi_h = sum_t f[h, t] S_t,    Phi'_h = sum_t f[h, t] S'_t

    With exact walks, S_t = S'_t = W^t and W symmetric, it is the power series of
    ``convolution(f)``.

    >>> S = walk_powers(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), hops=1)
    >>> grf_mask(S, S, torch.tensor([[1.0, 2.0]])).tolist()
    [[[5.0, 4.0], [4.0, 5.0]]]
    """
    return walk_mask(S_query, f) @ walk_mask(S_key, f).mT


def stitched_mask(S: list[Tensor], f: Tensor) -> Tensor:
    """The mask of 2l sets of walks stitched together, [H, N, N] (Choromanski et al. 2025).

        M_h = Phi_h1 Phi_h2^T Phi_h3 Phi_h4^T ... Phi_h,2l-1 Phi_h,2l^T,    Phi_hi = sum_t f[h, t] S^i_t

    With exact walks and W symmetric it is the power series of ``convolution(f, 2l)``.

    >>> S = walk_powers(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), hops=1)
    >>> stitched_mask([S, S, S, S], torch.tensor([[1.0, 1.0]])).tolist()
    [[[8.0, 8.0], [8.0, 8.0]]]
    """
    M = torch.eye(S[0].shape[-1], dtype=torch.float64, device=f.device)
    for i in range(0, len(S), 2):
        M = M @ grf_mask(S[i], S[i + 1], f)
    return M
