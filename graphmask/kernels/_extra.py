"""Whether bodies can be compiled here.

By numba, the extra `fast`, and by triton, which comes with torch for GPUs.
"""

from __future__ import annotations

import os
from importlib.util import find_spec


def _find() -> bool:
    """Whether numba is installed and fits the NumPy that is.

    Beside one that it does not know it refuses to be imported.
    """
    try:
        import numba  # noqa: F401
    except ImportError:
        return False
    return True


def _find_triton() -> bool:
    """Whether triton is there and wanted.

    ``GRAPHMASK_TRITON=0`` is the way around kernels that a device refuses.
    """
    return find_spec("triton") is not None and os.environ.get("GRAPHMASK_TRITON") != "0"


HAS_NUMBA, HAS_TRITON = _find(), _find_triton()
