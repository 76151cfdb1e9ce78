"""The extra `fast`: whether bodies can be compiled here."""

from __future__ import annotations


def _find() -> bool:
    """Whether numba is installed and fits the NumPy that is: beside one that it does not know it refuses to be imported."""
    try:
        import numba  # noqa: F401 - torch-geometric imports it too, so that nothing is gained by waiting
    except ImportError:
        return False
    return True


HAS_NUMBA = _find()
