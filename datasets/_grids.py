"""Grids of any number of axes as graphs, their nodes in row-major order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor


def grid_edges(shape: Sequence[int], diagonals: bool = False) -> Tensor:
    """The edges of a grid in both directions, ordered by source, then target.

    Args:
        shape: Lengths of the axes.
        diagonals: Whether places that differ by one on several axes are neighbours, too.
    """
    node = torch.arange(math.prod(shape)).view(*shape)
    steps = [step for step in itertools.product((-1, 0, 1), repeat=len(shape)) if any(step)]
    pairs = [_shifted(node, step) for step in steps if diagonals or sum(map(abs, step)) == 1]
    edges = torch.cat(pairs, dim=1)
    return edges[:, (edges[0] * node.numel() + edges[1]).argsort()]


def grid_positions(shape: Sequence[int]) -> Tensor:
    """The place of each node along each axis, float32 of shape [N, D]."""
    axes = [torch.arange(size, dtype=torch.float32) for size in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2)


def _shifted(node: Tensor, step: Sequence[int]) -> Tensor:
    """Each node that has a neighbour at this step, and that neighbour."""
    source = node[
        tuple(
            slice(max(-by, 0), size - max(by, 0)) for by, size in zip(step, node.shape, strict=True)
        )
    ]
    target = node[
        tuple(
            slice(max(by, 0), size + min(by, 0)) for by, size in zip(step, node.shape, strict=True)
        )
    ]
    return torch.stack([source.flatten(), target.flatten()])
