"""Numbers that laws draw, and how they are compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from graphmask.topology import Topology

# Distance allowed between two computations of the same numbers, relative to the largest one:
# rounding of some operations.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}


def require(condition: bool, message: str) -> None:
    """Raise ``AssertionError(message)`` unless the condition holds."""
    if not condition:
        raise AssertionError(message)


def assert_close(
    actual: Tensor, expected: Tensor, law: str, tolerance: float | None = None
) -> None:
    """Equal shapes, and a small distance relative to the largest number, by the coarser dtype."""
    shapes = f"{list(actual.shape)} and {list(expected.shape)}"
    require(actual.shape == expected.shape, f"{law} have shapes {shapes}")
    allowed = tolerance
    if allowed is None:
        allowed = max(TOLERANCE[actual.dtype], TOLERANCE[expected.dtype])
    if actual.numel():
        left, right = actual.detach().double(), expected.detach().double()
        distance = float((left - right).abs().max() / (1 + right.abs().max()))
        require(distance <= allowed, f"{law} differ by {distance:.1e}, allowed {allowed:.0e}")


def generator_of(seed: int = 0) -> torch.Generator:
    """A generator of a fixed seed."""
    return torch.Generator().manual_seed(seed)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Set the default dtype within the block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def features_of(topology: Topology, channels: int, seed: int = 0) -> Tensor:
    """Node features ``[N, C]`` in the default dtype, the same numbers in every dtype."""
    x = torch.randn(topology.num_nodes, channels, generator=generator_of(seed), dtype=torch.float64)
    return x.to(torch.get_default_dtype())
