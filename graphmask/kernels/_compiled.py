"""What compiled bodies share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from torch import Tensor


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled without the interpreter's lock; kept on disk where a place for it can be written."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Part of compiled functions.

    Put in the place of its calls, since calls with arrays cost more than what is done.
    """
    return numba.njit(nogil=True, forceinline=True)(function)


def flat(x: Tensor) -> np.ndarray:
    """The numbers of a tensor in one row; its own memory where it is contiguous."""
    return x.detach().contiguous().view(-1).numpy()
