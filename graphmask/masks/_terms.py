"""How many terms a series needs, by proved bounds on its tail, and the coefficients of these.

Each count keeps one term more than values need: the derivative of the tail with respect to the
scale then keeps the bound too.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.special import ive, pdtrc
from torch import Tensor

# Numbers that one array of a search may hold: a scale beyond that is an accident.
_LARGEST = 10_000_000


def count_taylor(t: float, tolerance: float) -> int:
    r"""The least K with :math:`\sum_{k \ge K} e^{-t} t^k / k! \le` tolerance.

    A tail of the Poisson law.

    Bernstein's inequality says how far to look. For a norm of W of at most 1 the terms above K of
    :math:`e^{t(W - I)}` have norms of at most that in all. The derivative of the k-th coefficient
    is the (k - 1)-th less the k-th, and the terms of the derivative at most twice that.
    """
    ease = math.log(1 / tolerance) / 3
    bound = t + ease + math.sqrt(ease**2 + 6 * t * ease)
    if not bound < _LARGEST:
        raise OverflowError(f"a diffusion for a time of {t:g} needs too many terms")
    tail = pdtrc(np.arange(-1, math.ceil(bound) + 2), t)
    tail[0] = 1.0
    return int(np.argmax(tail <= tolerance))


def count_chebyshev(t: float, tolerance: float) -> int:
    r"""The least K with :math:`\sum_{k \ge K} 2 e^{-t} I_k(t) \le` tolerance, for modified Bessel functions I.

    These are the coefficients of :math:`e^{t(x - 1)}`, and T_k(W) has a norm of at most 1 for a
    symmetric W with a spectrum in [-1, 1]. The Taylor series bounds the tail of the tail: a power
    :math:`x^k` is a mean of the first k Chebyshev polynomials. Twice the derivative of the k-th
    coefficient is the sum of its neighbours less twice itself.
    """
    last = count_taylor(t, tolerance / 100)
    size = 2 * ive(np.arange(last + 1), t)
    tail = size[::-1].cumsum()[::-1] + pdtrc(last, t)
    return int(np.argmax(np.append(tail, 0.0) <= tolerance))


def count_neumann(a: float, tolerance: float) -> int:
    r"""The least K, or one near it, with :math:`a^K ((K + 1)(1 - a) + 1) \le` tolerance.

    For a norm of W of at most 1 the terms above K of :math:`(I - aW)^{-1}` have norms of at most
    :math:`a^{K+1} / (1 - a)` in all, which is tolerance times the bound :math:`1 / (1 - a)` on the
    whole; their derivatives with respect to a, tolerance times the bound :math:`1 / (1 - a)^2` on
    the whole derivative.
    """
    terms, before = 1, 0
    while terms > before:
        before = terms
        terms = math.ceil(math.log(((before + 1) * (1 - a) + 1) / tolerance) / -math.log(a))
    return max(terms, 1)


def taylor_coefficients(log_t: Tensor, order: int) -> Tensor:
    r"""``[H, K + 1]``, :math:`e^{-t} t^k / k!` in float64 for ``log_t [H]``."""
    log_t = log_t.double().unsqueeze(1)
    k = torch.arange(order + 1, device=log_t.device, dtype=log_t.dtype)
    return torch.exp(k * log_t - log_t.exp() - torch.lgamma(k + 1))


def chebyshev_coefficients(log_t: Tensor, order: int) -> Tensor:
    r"""``[H, K + 1]``, those of :math:`e^{t(x - 1)}` in float64 for ``log_t [H]``, by quadrature.

    .. math:: c_k = \frac{2 - [k = 0]}{n} \sum_{j=0}^{n-1} e^{t(\cos\theta_j - 1)} \cos k\theta_j,
    \quad
        \theta_j = \pi (j + 1/2) / n

    With n = 2(K + 1) nodes each is off by what the coefficients from 3K + 4 on sum to.
    """
    number = 2 * (order + 1)
    nodes = torch.arange(number, device=log_t.device, dtype=torch.float64)
    angle = (math.pi / number) * (nodes + 0.5)
    k = nodes[: order + 1]
    waves = torch.cos(angle.unsqueeze(1) * k) * torch.where(k > 0, 2 / number, 1 / number)
    return torch.exp(log_t.double().exp().unsqueeze(1) * (angle.cos() - 1)) @ waves


def neumann_coefficients(a: Tensor, order: int) -> Tensor:
    r"""``[H, K + 1]``, :math:`a^k` for ``a [H]``."""
    return a.unsqueeze(1) ** torch.arange(order + 1, device=a.device, dtype=a.dtype)
