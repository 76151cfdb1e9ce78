"""Old public names, which keep working for one release with a warning."""

from __future__ import annotations

import warnings


def warn_deprecated(old: str, new: str) -> None:
    """Warn the caller of a public function about one of its old names."""
    warnings.warn(
        f"{old} is deprecated and will go in the next release: use {new}",
        DeprecationWarning,
        stacklevel=3,
    )
