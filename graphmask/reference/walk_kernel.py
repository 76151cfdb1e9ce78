"""The random-walk graph-node kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ._zero import nonzero

if TYPE_CHECKING:
    from torch import Tensor


def random_walk_kernel(S: Tensor, alpha: Tensor) -> Tensor:
    """The cosine of visit frequencies, [H, N, N], of walks S [K + 1, N, N] and weights of hops [H, K + 1].

        M_h[i, j] = <f_hi, f_hj> / (|f_hi| |f_hj|),    f_hi = sum_t alpha[h, t] S_t[i, :],    0 / 0 := 0

    Published with all weights 1 (Choromanski et al. 2022).

    >>> S = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 3.0]]])
    >>> random_walk_kernel(S, torch.tensor([[3.0, 4.0]]))
    tensor([[[1.0000, 0.8000],
             [0.8000, 1.0000]]], dtype=torch.float64)
    """
    f = torch.einsum("ht,tij->hij", alpha.double(), S.double())
    f = f / nonzero(f.square().sum(-1, keepdim=True)).sqrt()
    return f @ f.mT
