"""Attention by pairs as its definition, and patterns and inputs to try it on."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask.kernels import Pattern

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]


def uneven(nodes: int = 40, hub: int = 3) -> Pattern:
    """A row and a column of many entries, some of none, the rest of few."""
    generator = torch.Generator().manual_seed(0)
    dense = torch.rand(nodes, nodes, generator=generator) < 0.1
    dense[hub], dense[:, hub] = True, True
    dense[5:8] = False
    dense[:, 9] = False
    return pattern_of(dense)


def pattern_of(dense: Tensor) -> Pattern:
    row, col = dense.nonzero(as_tuple=True)
    return Pattern.from_coo(row, col, (dense.shape[0], dense.shape[1]))


def inputs(
    pattern: Pattern,
    size: tuple[int, int, int],
    value_heads: int,
    dtype: torch.dtype = torch.float64,
) -> Inputs:
    """Laid out as a layer makes them: by nodes, and v as a part of something wider.

    Some values are zero.
    """
    generator = torch.Generator().manual_seed(0)
    heads, m, d = size
    q, k = (
        torch.rand(pattern.shape[0], heads, m, generator=generator, dtype=dtype).transpose(0, 1)
        for _ in range(2)
    )
    v = torch.randn(pattern.shape[0], 3, heads, d, generator=generator, dtype=dtype)[
        :, 1
    ].transpose(0, 1)
    value = torch.randn(value_heads, pattern.nnz, generator=generator, dtype=dtype)
    value[:, ::7] = 0
    return q, k, v, value


def definition(
    pattern: Pattern, q: Tensor, k: Tensor, v: Tensor, value: Tensor
) -> tuple[Tensor, Tensor]:
    mask, score = pattern.to_dense(value), q @ k.mT
    return (mask * score) @ v, (mask.abs() * score).sum(-1)
