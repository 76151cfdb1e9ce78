r"""The Chebyshev series of :math:`1 / (1 - a x)`, which a resolvent is of W.

With :math:`\rho = a / (1 + \sqrt{1 - a^2})` it is :math:`\sum_k' 2 \rho^k T_k(x) / \sqrt{1 - a^2}`,
of whose first term half is taken.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphmask._precision import to_double


def chebyshev_order(a: float, tolerance: float) -> int:
    """The first order whose tail is at most tolerance / (1 - a), and its derivative / (1 - a)^2."""
    if a == 0:
        return 0
    root = math.sqrt(1 - a * a)
    rho = max(a / (1 + root), 1e-300)
    order = max(0, math.ceil(math.log(2 / (tolerance * (1 + rho))) / -math.log(rho)) - 1)
    while _derivative_of_tail(a, root, rho, order) > tolerance / (1 - a) ** 2:
        order += 1
    return order


def _derivative_of_tail(a: float, root: float, rho: float, order: int) -> float:
    """Derivative in a of the sum of the coefficients beyond an order; rho' = rho / (a root)."""
    tail = rho ** (order + 1) / (1 - rho)
    weighed = tail * (order + 1 + rho / (1 - rho))  # by k
    return 2 * (weighed / (a * root**2) + tail * a / root**3)


def chebyshev_coefficients(a: Tensor, order: int) -> Tensor:
    """``[H, K + 1]`` in float64 for a ``[H]``."""
    a = to_double(a).unsqueeze(1)
    root, k = (1 - a.square()).sqrt(), torch.arange(order + 1, device=a.device)
    return torch.where(k > 0, 2.0, 1.0) * (a / (1 + root)) ** k / root
