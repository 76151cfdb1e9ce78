"""0 / 0 := 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def nonzero(x: Tensor) -> Tensor:
    """The denominator x with its zeros replaced by ones: 0 / 0 := 0, with a finite gradient."""
    return torch.where(x == 0, 1.0, x)
