"""Types of numbers: sums, phases and distances need more digits than the values that go in."""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(device: torch.device) -> torch.autocast:
    """A context without autocast, in which tensors keep their types."""
    return torch.autocast(device.type, enabled=False)


def double_dtype(device: torch.device | None = None) -> torch.dtype:
    """float64, or float32 on a device without it, such as Apple's GPUs.

    Args:
        device: the device. (default: :obj:`None`, the host)
    """
    if device is not None and device.type == "mps":
        return torch.float32
    try:
        torch.empty(0, dtype=torch.float64, device=device or "cpu")
    except (RuntimeError, TypeError):
        return torch.float32
    return torch.float64


def to_double(x: Tensor) -> Tensor:
    """Convert to :func:`double_dtype`."""
    return x.to(double_dtype(x.device))
