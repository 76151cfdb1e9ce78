"""Pooled contexts."""

from __future__ import annotations

import pytest
import torch
from cases.adaptive import node_coefficients
from cases.base import random_walks, scrambled, walks_reference
from torch.testing import assert_close

import graphmask as gm
from graphmask import reference
from graphmask.nn import BeforeAttention, ContextPool
from graphmask.testing import example_topologies


def pool(**options: object) -> ContextPool:
    with torch.random.fork_rng():
        return scrambled(ContextPool(4, hops=2, sampler=random_walks(2), **options))


@pytest.mark.parametrize("alpha", [gm.masks.Diffusion, gm.masks.Free])
def test_it_is_the_weighted_mean_of_its_definition(alpha: type) -> None:
    layer, graph = pool(alpha=alpha), example_topologies()["ragged"]
    x = torch.randn(graph.num_nodes, 4, generator=torch.Generator().manual_seed(0))
    topology = layer.prepare(graph)
    coefficients, shift = layer.mask.coefficients, layer.mask.shift
    coefficients = node_coefficients(coefficients, shift, topology.with_features(x))
    M = reference.adaptive_walk_mask(walks_reference(topology, 0, 2), coefficients)
    w = 1 / (1 + torch.exp(-(x @ layer.weight.weight.mT + layer.weight.bias)))
    ones = torch.ones(len(x), 1, 1)
    expected = reference.attention(ones, w.unsqueeze(1), x.unsqueeze(1), M).squeeze(1)
    assert_close(layer(x, topology), expected)


def test_constants_stay_and_all_nodes_start_alike() -> None:
    with torch.random.fork_rng():
        layer = ContextPool(4)
    topology = layer.prepare(example_topologies()["weighted"])
    assert_close(layer(torch.ones(13, 4), topology), torch.ones(13, 4))
    x = torch.randn(13, 4, generator=torch.Generator().manual_seed(0))
    plain = layer.mask.target(topology.with_features(x)).to_dense()[0]
    assert_close(layer(x, topology), plain @ x / plain.sum(1, keepdim=True), rtol=1e-4, atol=1e-6)


def test_a_model_prepares_its_walks_and_compiles() -> None:
    torch.compiler.reset()
    with torch.random.fork_rng():
        conv = BeforeAttention(ContextPool(4, hops=2))
        model = gm.nn.TopologicalTransformer(3, 4, 2, 1, 2, gm.masks.GlobalMask(), conv=conv)
    topology = model.prepare(example_topologies()["ragged"])
    assert topology.walks is not None
    x = torch.randn(topology.num_nodes, 3, generator=torch.Generator().manual_seed(0))
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert_close(compiled(x, topology), model(x, topology))


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`x` must be of shape \[N, C\] with C = 4"):
        pool()(torch.ones(2, 5), example_topologies()["pair"])
