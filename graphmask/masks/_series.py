"""Coefficients of series, ``[H, K + 1]`` for K hops."""

from __future__ import annotations

import math
from itertools import accumulate

import torch
from torch import Tensor

from graphmask._precision import double_dtype, to_double


def poisson(log_rate: Tensor, hops: int) -> Tensor:
    """``e^-s s^k / k!`` ``[H, K + 1]`` for the logarithms of rates s ``[H]``."""
    log_rate, k = log_rate.unsqueeze(1), exponents(log_rate, hops)
    return torch.exp(k * log_rate - log_rate.exp() - torch.lgamma(k + 1))


def exponents(like: Tensor, hops: int) -> Tensor:
    """The exponents 0 to K, on the device and of the dtype of a tensor."""
    return torch.arange(hops + 1, device=like.device, dtype=like.dtype)


def binomials(top: float, hops: int) -> list[float]:
    """``binom(top, k)`` for k from 0 to K, the series of ``(1 + x)^top`` for any real number."""
    steps = range(1, hops + 1)
    return list(accumulate(steps, lambda value, k: value * (top - k + 1) / k, initial=1.0))


def negative_binomials(power: float, x: Tensor, hops: int) -> Tensor:
    """The series of ``(1 - x)^-power``, ``[H, K + 1]``, for x ``[H, 1]``."""
    counts = [abs(count) for count in binomials(-power, hops)]
    return x.new_tensor(counts) * x ** exponents(x, hops)


def series_root(alpha: Tensor, factors: int) -> Tensor:
    r"""The power series f of :math:`\alpha^{1/n}`, ``[H, K + 1]``, in float64.

    The recurrence of ``Deconvolution`` compares coefficients in :math:`n\, \alpha f' = \alpha' f`.
    """
    wide = to_double(alpha)
    lead = wide[:, :1]
    root = lead ** (1 / factors)
    for k in range(1, wide.shape[1]):
        j = torch.arange(1, k + 1, device=wide.device, dtype=wide.dtype)
        total = ((j / factors - k + j) * wide[:, 1 : k + 1] * root.flip(1)).sum(1, keepdim=True)
        root = torch.cat([root, total / (k * lead)], 1)
    return root.to(alpha.dtype)


def chebyshev_coefficients(log_t: Tensor, order: int) -> Tensor:
    r"""``[H, K + 1]``, those of :math:`e^{t(x - 1)}` in float64 for ``log_t [H]``, by quadrature.

    .. math:: c_k = \frac{2 - [k = 0]}{n} \sum_{j=0}^{n-1} e^{t(\cos\theta_j - 1)} \cos k\theta_j,
        \quad \theta_j = \pi (j + 1/2) / n

    With n = 2(K + 1) nodes each is off by the sum of the coefficients from 3K + 4 on.
    """
    n = 2 * (order + 1)
    nodes = torch.arange(n, device=log_t.device, dtype=double_dtype(log_t.device))
    angle = (math.pi / n) * (nodes + 0.5)
    k = nodes[: order + 1]
    waves = torch.cos(angle.unsqueeze(1) * k) * torch.where(k > 0, 2 / n, 1 / n)
    return torch.exp(to_double(log_t).exp().unsqueeze(1) * (angle.cos() - 1)) @ waves
