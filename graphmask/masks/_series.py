"""Powers of power series."""

from __future__ import annotations

import torch
from torch import Tensor


def binomials(top: float, hops: int) -> list[float]:
    """``binom(top, k)`` for k from 0 to K.

    The coefficients of ``(1 + x)^top``, for any real number.
    """
    found = [1.0]
    for k in range(1, hops + 1):
        found.append(found[-1] * (top - k + 1) / k)
    return found


def series_root(alpha: Tensor, factors: int) -> Tensor:
    r"""The f ``[H, K + 1]`` whose n-fold convolution begins with alpha, computed in float64.

    .. math::
        f_0 = \alpha_0^{1/n}, \quad
        f_k = \frac{1}{k \alpha_0} \sum_{j=1}^{k} \Big(\frac{j}{n} - k + j\Big) \alpha_j f_{k-j}

    by comparing coefficients in :math:`n\, \alpha f' = \alpha' f`, which holds for :math:`f =
    \alpha^{1/n}`.
    """
    wide = alpha.double()
    lead = wide[:, :1]
    root = lead ** (1 / factors)
    for k in range(1, wide.shape[1]):
        j = torch.arange(1, k + 1, device=wide.device, dtype=wide.dtype)
        total = ((j / factors - k + j) * wide[:, 1 : k + 1] * root.flip(1)).sum(1, keepdim=True)
        root = torch.cat([root, total / (k * lead)], 1)
    return root.to(alpha.dtype)
