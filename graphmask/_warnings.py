"""Warnings of this library: once per place and process, with what to do."""

from __future__ import annotations

import warnings as standard

import torch

_told: set[str] = set()


class GraphmaskWarning(UserWarning):
    """Something works, but costs far more than it need.

    Each place warns once per process. To be rid of all: ``warnings.filterwarnings("ignore",
    category=GraphmaskWarning)``.
    """


def warn_once(place: str, message: str) -> None:
    """Warn, unless this place has done so, or code is being compiled.

    Args:
        place: a name for what is warned of.
        message: what is the matter, and what to do.
    """
    if torch.compiler.is_compiling() or place in _told:
        return
    _told.add(place)
    standard.warn(message, GraphmaskWarning, stacklevel=3)
