"""Warnings of this library, each once per process."""

from __future__ import annotations

import warnings

import torch

_warned: set[str] = set()


class GraphmaskWarning(UserWarning):
    """An operation works, but costs far more than it needs to.

    Each place warns once per process. To silence all: ``warnings.filterwarnings("ignore",
    category=GraphmaskWarning)``.
    """


def warn_once(place: str, message: str) -> None:
    """Warn, unless this place has warned before, or code is being compiled.

    Args:
        place: a name for the place in the code.
        message: the problem and its remedy.
    """
    if torch.compiler.is_compiling() or place in _warned:
        return
    _warned.add(place)
    warnings.warn(message, GraphmaskWarning, stacklevel=3)
