"""The random-walk graph-node kernel."""

from __future__ import annotations

from typing import Any

import torch

from graphmask import masks, reference, walks
from graphmask.topology import Topology

from .base import MASK_REFERENCES, Case, random_walks, scrambled, walks_reference


def _reference(mask: masks.RandomWalkKernelMask, topology: Topology) -> torch.Tensor:
    coefficients, shape = mask.coefficients, (mask.heads, mask.hops + 1)
    alpha = getattr(coefficients, "value", None)
    return reference.random_walk_kernel(
        walks_reference(topology, 0, mask.hops), torch.ones(shape) if alpha is None else alpha
    )


MASK_REFERENCES[masks.RandomWalkKernelMask] = _reference


def _counts(hops: int) -> walks.IIDWalks:
    return walks.IIDWalks(5, hops=hops, normalization="rw", length_law=walks.FixedLength(hops))


def _mask(**options: Any) -> masks.RandomWalkKernelMask:
    sampler = random_walks(3, normalization="rw")
    return scrambled(masks.RandomWalkKernelMask(**{"hops": 2, "sampler": sampler, **options}))


MASKS = (
    Case("random-walk-kernel", _mask),
    Case("random-walk-kernel-counts", lambda: _mask(sampler=_counts(2)), differentiable=True),
    Case("random-walk-kernel-learned", lambda: _mask(heads=2, alpha=masks.Free)),
)
