"""Work in slices of bounded memory, computed again in the backward pass where there are several."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from graphmask.topology import Topology

T = TypeVar("T")


def run_slices(function: Callable[..., T], width: int, *tensors: Tensor, dim: int = -1) -> list[T]:
    """``function`` of slices of at most ``width`` along ``dim``, few and of equal size."""
    size = tensors[0].shape[dim]
    count = max(1, math.ceil(size / max(1, width)))
    step = max(1, math.ceil(size / count))
    slices = list(zip(*(x.split(step, dim) for x in tensors), strict=True))
    if len(slices) == 1 or not torch.is_grad_enabled():
        return [function(*inputs) for inputs in slices]
    return [checkpoint(function, *inputs, use_reentrant=False) for inputs in slices]


def slice_width(memory: int, topology: Topology, x: Tensor) -> int:
    """Number of factors of x ``[..., N, C]`` that fit a memory, equal in all parts of a graph."""
    nodes = max(1, topology.num_nodes)
    return memory // max(1, x.numel() // nodes * topology.part.largest(nodes) * x.element_size())
