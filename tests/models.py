"""Layers, inputs and checks that the tests of graphmask.nn share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cases
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torch_geometric.nn import SAGEConv

from graphmask import Topology
from graphmask.masks import GlobalMask, HeadwiseMask, PowerSeriesMask, TopologicalMask, WalkMask
from graphmask.nn import (
    TopologicalAttention,
    TopologicalGPS,
    TopologicalTransformer,
    TopologicalTransformerLayer,
)

PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


def features(num_nodes: int, channels: int) -> Tensor:
    return torch.randn(num_nodes, channels, generator=torch.Generator().manual_seed(0))


def walk_mask(heads: int = 2) -> WalkMask:
    return cases.scrambled(WalkMask(2, heads, sampler=cases.random_walks(2)))


def edge_mask() -> PowerSeriesMask:
    return cases.scrambled(PowerSeriesMask(2, 2, edge_dim=3))


MASKS: dict[str, Callable[[], TopologicalMask]] = {
    "global": GlobalMask,
    "series": lambda: PowerSeriesMask(hops=2, heads=2),
    "walk": walk_mask,
    "sum": lambda: 0.3 * GlobalMask() + walk_mask(1),
    "headwise": lambda: HeadwiseMask([walk_mask(1), GlobalMask()]),
}
parametrize_masks = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)


def attention(
    mask: TopologicalMask | None = None, channels: int = 6, **options: Any
) -> TopologicalAttention:
    mask = GlobalMask() if mask is None else mask
    return cases.seeded(lambda: TopologicalAttention(channels, 2, mask, **options))


def block(**options: Any) -> TopologicalTransformerLayer:
    return cases.seeded(lambda: TopologicalTransformerLayer(4, 2, **options))


def model(in_channels: int = 3, **options: Any) -> TopologicalTransformer:
    options = {"num_layers": 2, "heads": 2, **options}
    return cases.seeded(lambda: TopologicalTransformer(in_channels, 4, 5, **options))


def gps(mask: TopologicalMask | None = None, **options: Any) -> TopologicalGPS:
    options = {"conv": cases.seeded(lambda: SAGEConv(6, 6)), **options}
    mask = GlobalMask() if mask is None else mask
    return cases.seeded(lambda: TopologicalGPS(6, heads=2, mask=mask, **options))


def mask_of(module: nn.Module) -> TopologicalMask:
    return next(child for child in module.modules() if isinstance(child, TopologicalMask))


def assert_compiles(module: nn.Module, x: Tensor, topology: Topology) -> None:
    """Compiled as one graph, a module has the same output and gradients."""
    torch.compiler.reset()
    topology, parameters = mask_of(module).prepare(topology), list(module.parameters())
    out = torch.compile(module, fullgraph=True, backend="aot_eager")(x, topology)
    expected = module(x, topology)
    assert_close(out, expected)
    grads = (torch.autograd.grad(y.square().sum(), parameters) for y in (out, expected))
    assert_close(*grads)
