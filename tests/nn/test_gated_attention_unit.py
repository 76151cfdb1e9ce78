"""Gated attention units, and attention mixed by chunks, beside their published definitions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cases.base import seeded
from cases.graphs import edgeless
from torch.testing import assert_close

import graphmask as gm
from graphmask import reference
from graphmask.features import SquaredReLUScores
from graphmask.masks import CausalMask, ChunkMask, GlobalMask
from graphmask.nn import GatedAttentionUnit
from graphmask.normalizers import NodeCounts, Unnormalized

CAUSAL_CHUNKS = CausalMask() * ChunkMask(3)


def unit(mask: gm.masks.TopologicalMask, **options: Any) -> GatedAttentionUnit:
    whole = {"feature_map": SquaredReLUScores(1.0), "normalizer": NodeCounts(2)}
    chunks = {"feature_map": SquaredReLUScores(1 / 3), "normalizer": Unnormalized()}
    published = {**(chunks if "linear_mask" in options else whole), **options}
    block = seeded(lambda: GatedAttentionUnit(4, mask, base=3, **published)).double()
    generator = torch.Generator().manual_seed(0)
    for uses in (block.scale, block.offset):  # so that scores are not tiny
        uses.data.copy_(torch.randn(uses.shape, generator=generator))
    return block


@pytest.mark.parametrize(
    ("block", "options"),
    [
        (unit(GlobalMask()), {}),
        (unit(CausalMask()), {"causal": True}),
        (unit(ChunkMask(3), linear_mask=GlobalMask()), {"chunk": 3}),
        (
            unit(CAUSAL_CHUNKS, linear_mask=CausalMask() - CAUSAL_CHUNKS),
            {"chunk": 3, "causal": True},
        ),
    ],
    ids=["unit", "causal", "flash", "flash-causal"],
)
def test_it_is_the_published_block(block: GatedAttentionUnit, options: dict[str, Any]) -> None:
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x.requires_grad_()
    parameters = [p for p in block.parameters() if p is not block.out.bias]
    uses = block.uvz.weight, block.uvz.bias, block.scale, block.offset
    gated = reference.gated_attention_unit(block.norm(x), *uses, **options)
    outputs = block(x, edgeless(8)), x + block.out(gated)
    assert_close(*outputs)
    weight = torch.randn(8, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert_close(*(torch.autograd.grad((y * weight).sum(), [x, *parameters]) for y in outputs))


def test_chunks_are_linear_in_memory() -> None:
    """Pairs of chunks, and no others."""
    operator = ChunkMask(16)(edgeless(1000))
    assert operator.entries().pattern.nnz == 62 * 16**2 + 8**2


def test_two_units_have_about_the_parameters_of_a_block_of_four_times_the_width() -> None:
    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    pair = 2 * count(seeded(lambda: GatedAttentionUnit(256, GlobalMask(), base=64)))
    block = seeded(lambda: gm.nn.TopologicalTransformerLayer(256, 4, GlobalMask(), expansion=4))
    assert 0.95 < pair / count(block) < 1.1


@pytest.mark.global_rng
def test_masks_of_several_heads_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`mask` must be of one head, got 2 heads"):
        GatedAttentionUnit(4, gm.masks.WalkMask(2, heads=2))
    with pytest.raises(TypeError, match="`linear_mask` must be a TopologicalMask"):
        GatedAttentionUnit(4, GlobalMask(), linear_mask=torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"`x` must be of shape \[N, C\] with C = 4"):
        GatedAttentionUnit(4, GlobalMask())(torch.ones(3, 5), edgeless(3))
