"""Distances that are multiples of a unit."""

from __future__ import annotations

import torch
from torch import Tensor

from ._checks import value_error

# A distance may differ from a multiple of the unit by this many roundings of its own size.
_ROUNDINGS = 8

# Multiples beyond this, which no table reaches, are this one, so that no sum overflows.
_LARGEST = 2**31


def multiples(distance: Tensor, unit: float, name: str) -> Tensor:
    """The integers k of distances k u, up to a few roundings, and at most 2^31.

    Raises:
        ValueError: where a distance is no multiple of the unit.
    """
    share = distance.detach() / unit
    nearest = share.round()
    allowed = (_ROUNDINGS * torch.finfo(distance.dtype).eps * share.abs()).clamp(max=0.01)
    wrong = (share - nearest).abs() > allowed
    if bool(wrong.any()):
        raise value_error(
            name, f"multiples of the unit {unit:g} of a table", f"{distance[wrong][0].item():g}"
        )
    return nearest.clamp(max=min(_LARGEST, torch.finfo(nearest.dtype).max)).long()
