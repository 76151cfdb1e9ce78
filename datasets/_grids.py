"""Grids of any number of axes as graphs, with nodes in row-major order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data


def grid_edges(shape: Sequence[int], diagonals: bool = False) -> Tensor:
    """Build the edges of a grid in both directions, ordered by source, then target.

    Args:
        shape: lengths of the axes.
        diagonals: whether nodes that differ by one on several axes are neighbours, too.
    """
    node = torch.arange(math.prod(shape)).view(*shape)
    steps = [step for step in itertools.product((-1, 0, 1), repeat=len(shape)) if any(step)]
    pairs = [_shift(node, step) for step in steps if diagonals or sum(map(abs, step)) == 1]
    edges = torch.cat(pairs, dim=1)
    return edges[:, (edges[0] * node.numel() + edges[1]).argsort()]


def grid_positions(shape: Sequence[int]) -> Tensor:
    """Return the coordinates of the nodes along the axes, float32 of shape [N, D]."""
    axes = [torch.arange(size, dtype=torch.float32) for size in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2)


def without_grid(examples: list[Data], names: Sequence[str]) -> list[Data]:
    """Drop the attributes that all examples share, so that the dataset holds them once."""
    return [Data(**{key: value for key, value in data if key not in names}) for data in examples]


def _shift(node: Tensor, step: Sequence[int]) -> Tensor:
    """Return the nodes that have a neighbour at this step, and those neighbours."""
    sizes = list(zip(step, node.shape, strict=True))
    source = node[tuple(slice(max(-by, 0), size - max(by, 0)) for by, size in sizes)]
    target = node[tuple(slice(max(by, 0), size + min(by, 0)) for by, size in sizes)]
    return torch.stack([source.flatten(), target.flatten()])
