"""The number of terms that series need, by proved bounds on their tails.

Each count has one term more than values need: the derivative of the tail with respect to the scale
keeps the bound too.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ive, pdtrc

from graphmask._checks import value_error

# Longest array of a search: a scale that needs more is an accident.
_LARGEST = 10_000_000


def count_taylor(t: float, tolerance: float) -> int:
    r"""The least K with :math:`\sum_{k \ge K} e^{-t} t^k / k! \le` tolerance.

    The sum is a tail of the Poisson law. Bernstein's inequality bounds the search. For a norm of W
    of at most 1 the terms above K of :math:`e^{t(W - I)}` sum to a norm of at most that. The
    derivative of the k-th coefficient is the (k - 1)-th less the k-th, and the terms of the
    derivative sum to at most twice that.
    """
    slack = math.log(1 / tolerance) / 3
    bound = t + slack + math.sqrt(slack**2 + 6 * t * slack)
    if not bound < _LARGEST:
        expected = (
            f"below about {_LARGEST:,} over the norm of W, the terms that its series may have"
        )
        raise value_error("scale", expected, f"{t:g} over the norm")
    tail = pdtrc(np.arange(-1, math.ceil(bound) + 2), t)
    tail[0] = 1.0
    return int(np.argmax(tail <= tolerance))


def count_chebyshev(t: float, tolerance: float) -> int:
    r"""The least K with :math:`\sum_{k \ge K} 2 e^{-t} I_k(t) \le` tolerance.

    With modified Bessel functions I these are the coefficients of :math:`e^{t(x - 1)}`, and T_k(W)
    has a norm of at most 1 for a symmetric W with a spectrum in [-1, 1]. The Taylor series bounds
    the end of the tail: a power :math:`x^k` is a mean of the first k Chebyshev polynomials. Twice
    the derivative of the k-th coefficient is the sum of its neighbours less twice itself.
    """
    last = count_taylor(t, tolerance / 100)
    size = 2 * ive(np.arange(last + 1), t)
    tail = size[::-1].cumsum()[::-1] + pdtrc(last, t)
    return int(np.argmax(np.append(tail, 0.0) <= tolerance))


def count_neumann(a: float, tolerance: float) -> int:
    r"""The least K, or one near it, with :math:`a^K ((K + 1)(1 - a) + 1) \le` tolerance.

    For a norm of W of at most 1 the terms above K of :math:`(I - aW)^{-1}` sum to a norm of at most
    :math:`a^{K+1} / (1 - a)`, which is tolerance times the bound :math:`1 / (1 - a)` on the
    inverse; their derivatives with respect to a, to tolerance times the bound :math:`1 / (1 - a)^2`
    on its derivative.
    """
    terms, previous = 1, 0
    while terms > previous:
        previous = terms
        terms = math.ceil(math.log(((previous + 1) * (1 - a) + 1) / tolerance) / -math.log(a))
    return max(terms, 1)
