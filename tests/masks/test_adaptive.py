"""Walk masks whose nodes decide by their features."""

from __future__ import annotations

from functools import partial

import cases
import pytest
import torch
from cases.adaptive import adaptive, featured
from torch.testing import assert_close

import graphmask as gm
from graphmask.masks import AdaptiveWalkMask, Diffusion, Free, NonNegative, WalkMask
from graphmask.testing import example_topologies
from graphmask.walks import Shells, TruncatedWalks


@pytest.mark.parametrize("alpha", [Free, NonNegative, Diffusion, gm.masks.PStepWalk])
def test_it_starts_as_the_walk_mask(alpha: type) -> None:
    topology = featured()["ragged"]
    plain, mask = (make(hops=3, heads=2, alpha=alpha) for make in (WalkMask, partial(_of, 3)))
    topology = mask.prepare(topology)
    assert_close(mask(topology).to_dense(), plain(topology).to_dense())


def _of(channels: int, **options: object) -> AdaptiveWalkMask:
    return AdaptiveWalkMask(channels, **options)


@pytest.mark.parametrize("sampler", [TruncatedWalks(0.0, hops=3), Shells(64, hops=3)], ids=repr)
@pytest.mark.parametrize("of_keys", [False, True])
def test_exact_walks_give_the_target(of_keys: bool, sampler: gm.walks.WalkSampler) -> None:
    mask = adaptive(Free, sampler=sampler, of_keys=of_keys)
    for name in ("weighted", "multigraph", "ragged"):
        topology = mask.prepare(featured()[name])
        assert_close(mask(topology).to_dense(), mask.target(topology).to_dense())
        x = torch.randn(2, topology.num_nodes, 3, generator=torch.Generator().manual_seed(0))
        assert_close(mask(topology) @ x, mask.target(topology) @ x)


def test_nodes_differ_and_the_features_get_a_gradient() -> None:
    topology, mask = featured()["weighted"], adaptive(Diffusion)
    x = topology.x.clone().requires_grad_()
    alpha = mask.node_coefficients(mask.prepare(topology).with_features(x))
    assert alpha.shape == (13, 2, 3)
    assert len(alpha[:, 0].detach().unique(dim=0)) == 13
    grad, grad_shift = torch.autograd.grad(alpha.square().sum(), [x, mask.shift])
    assert grad.abs().min() > 0
    assert grad_shift.abs().min() > 0


def test_a_layer_gives_the_mask_its_own_input() -> None:
    layer = cases.seeded(lambda: gm.nn.TopologicalAttention(4, 2, adaptive(channels=4)))
    topology = layer.mask.prepare(example_topologies()["weighted"])
    x = torch.randn(13, 4, generator=torch.Generator().manual_seed(0))
    q, k, v = layer.qkv(x).unflatten(1, (3, 2, -1)).unbind(1)
    expected = gm.attention(q, k, v, layer.mask(topology.with_features(x)))
    assert_close(layer(x, topology), layer.out(expected.flatten(1)))
    other = topology.with_features(x + 1)  # a layer's own input goes first
    assert_close(layer(x, other), layer(x, topology), rtol=0, atol=0)


def test_a_layer_compiles_as_one_graph() -> None:
    torch.compiler.reset()
    layer = cases.seeded(lambda: gm.nn.TopologicalAttention(4, 2, adaptive(channels=4)))
    topology = layer.mask.prepare(example_topologies()["ragged"])
    x = torch.randn(topology.num_nodes, 4, generator=torch.Generator().manual_seed(0))
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert_close(compiled(x, topology), layer(x, topology))


def test_half_precision_is_computed_in_single() -> None:
    mask = adaptive(Diffusion).bfloat16()
    topology = mask.prepare(featured()["weighted"])
    x = topology.x.bfloat16()
    dense = mask(topology.with_features(x)).to_dense()
    assert dense.dtype != torch.bfloat16
    assert_close(dense, mask.float()(topology.with_features(x.float())).to_dense())


def test_features_are_checked() -> None:
    mask, topology = adaptive(), example_topologies()["pair"]
    topology = mask.prepare(topology)
    with pytest.raises(ValueError, match=r"with features \[N, C\], C = 3"):
        mask(topology)
    with pytest.raises(ValueError, match=r"with features \[N, C\], C = 3"):
        mask(topology.with_features(torch.ones(2, 4)))
    with pytest.raises(ValueError, match="`x` must be of shape"):
        topology.with_features(torch.ones(3, 3))
    with pytest.raises(TypeError, match="`x`"):
        topology.with_features(torch.ones(2, 3, dtype=torch.long))


def test_features_stay_with_a_topology() -> None:
    topology = featured()["ragged"]
    walks = cases.random_walks(2)(topology)
    assert topology.with_walks(walks).x is topology.x
    assert topology.to("cpu").x is topology.x
    assert gm.operators.base.share_graph(topology, topology.with_features(topology.x + 1))
