"""The available compilers: numba (the extra `fast`), and Triton, which comes with torch."""

from __future__ import annotations

import os
from importlib.util import find_spec


def _has_numba() -> bool:
    """Whether numba can be imported: it refuses versions of NumPy that it does not support."""
    try:
        import numba  # noqa: F401
    except ImportError:
        return False
    return True


def _has_triton() -> bool:
    """Whether Triton is installed and not disabled by ``GRAPHMASK_TRITON=0``."""
    return find_spec("triton") is not None and os.environ.get("GRAPHMASK_TRITON") != "0"


HAS_NUMBA, HAS_TRITON = _has_numba(), _has_triton()
