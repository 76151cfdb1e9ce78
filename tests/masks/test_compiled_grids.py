"""Masks on sequences and grids run in one compiled graph, on a topology that was prepared and never used before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.testing import assert_close

from graphmask import Topology, masks
from graphmask.nn import TopologicalAttention

NONE = torch.empty(2, 0, dtype=torch.long)

MADE = {
    "causal": lambda: masks.CausalMask(0.9, heads=2),
    "toeplitz": lambda: masks.ToeplitzMask((4, 4), heads=2),
    "toeplitz-class-token": lambda: masks.ToeplitzMask(
        (3, 5), heads=2, shared="distance", class_token=True
    ),
    "grid-diffusion": lambda: masks.GridDiffusionMask((4, 4), heads=2),
    "hypercube": lambda: masks.HypercubeMask(heads=2),
    "kronecker": lambda: masks.KroneckerMask(
        masks.CausalMask(0.5, heads=2, length=4), masks.ToeplitzMask(4)
    ),
}


@pytest.mark.global_rng
@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_masks_are_compiled_as_one_graph(make: Callable[[], masks.TopologicalMask]) -> None:
    torch.compiler.reset()
    layer = TopologicalAttention(8, heads=2, mask=make())
    topology = layer.mask.prepare(Topology(NONE, 32, batch=torch.arange(2).repeat(16)))
    x = torch.randn(32, 8)
    found = torch.compile(layer, fullgraph=True, backend="aot_eager")(x, topology)
    assert_close(found, layer(x, topology))
