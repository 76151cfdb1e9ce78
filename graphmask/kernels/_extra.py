"""The available compilers: numba (the extra `fast`), and Triton, which comes with torch."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


def _has_numba() -> bool:
    """Return whether numba is installed and supports the version of NumPy."""
    try:
        import_module("numba")
    except ImportError:
        return False
    return True


def _has_triton() -> bool:
    """Return whether Triton is installed and not disabled by ``GRAPHMASK_TRITON=0``."""
    return find_spec("triton") is not None and os.environ.get("GRAPHMASK_TRITON") != "0"


HAS_NUMBA, HAS_TRITON = _has_numba(), _has_triton()


@cache
def load_bodies(name: str) -> ModuleType:
    """A module of compiled bodies, imported at first use: compilers take long to import."""
    return import_module(f".{name}", __package__)
