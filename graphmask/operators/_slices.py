"""Work in slices of bounded memory, computed again in the backward pass where there are several."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Part = TypeVar("Part")


def run_slices(run: Callable[..., Part], width: int, *tensors: Tensor) -> list[Part]:
    """``run`` of slices of at most ``width`` channels (the last dimension) of the tensors, as many and as equal as need be."""
    channels = tensors[0].shape[-1]
    number = max(1, math.ceil(channels / max(1, width)))
    slices = list(
        zip(*(x.split(max(1, math.ceil(channels / number)), -1) for x in tensors), strict=True)
    )
    if len(slices) == 1 or not torch.is_grad_enabled():
        return [run(*each) for each in slices]
    return [checkpoint(run, *each, use_reentrant=False) for each in slices]
