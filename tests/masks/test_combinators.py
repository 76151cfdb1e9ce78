"""The algebra of masks."""

from __future__ import annotations

import cases
import pytest
import torch
from torch.testing import assert_close

from graphmask import attention, reference
from graphmask.features import EluPlusOne
from graphmask.masks import (
    Diffusion,
    Free,
    GlobalMask,
    GRFMask,
    HadamardMask,
    PowerSeriesMask,
    ScaledMask,
    SumMask,
    WalkMask,
)
from graphmask.masks.base import Structure
from graphmask.testing import example_topologies
from graphmask.topology import Topology
from graphmask.walks import ResampledWalks


def walk(hops: int, heads: int = 1, **options: object) -> WalkMask:
    return WalkMask(hops, heads, sampler=ResampledWalks(budget=64, hops=hops, **options))


@pytest.mark.parametrize(
    "masks", [(walk(2), walk(4)), (walk(4), walk(2)), (GRFMask(2), walk(5)), (walk(5), GRFMask(2))]
)
def test_terms_share_walks_that_serve_them_all(masks: tuple) -> None:
    total = SumMask(GlobalMask(), *masks)
    topology = total.prepare(example_topologies()["weighted"])
    expected = sum(each.target(topology).to_dense() for each in masks) + 1
    assert_close(total(topology).to_dense(), expected)


def test_a_sum_demands_the_most_sets_and_hops() -> None:
    demand = (0.5 * (GRFMask(2) + walk(5)) + GlobalMask()).walk_demand
    assert (demand.sets, demand.sampler.hops) == (2, 5)
    assert (GlobalMask() + PowerSeriesMask()).walk_demand is None
    assert (2.0 * GlobalMask()).walk_demand is None


def test_heads_of_one_mask_serve_all() -> None:
    assert (GlobalMask() + walk(2, heads=3)).heads == 3
    assert (torch.ones(4) * GlobalMask()).heads == 4
    assert (0.5 * walk(2, heads=3)).heads == 3


def test_what_a_scale_is_decides_whether_it_is_learned() -> None:
    learned = ScaledMask(GlobalMask(), torch.nn.Parameter(torch.tensor(0.5)))
    kept = ScaledMask(GlobalMask(), torch.tensor([0.5, 0.2]))
    number = ScaledMask(GlobalMask(), 0.5)
    assert [len(list(mask.parameters())) for mask in (learned, kept, number)] == [1, 0, 0]
    assert [len(mask.state_dict()) for mask in (learned, kept, number)] == [1, 1, 0]
    assert kept.double().scale.dtype == torch.float64


def test_a_learned_scale_is_reset() -> None:
    learned = ScaledMask(walk(2), torch.nn.Parameter(torch.tensor([0.5])))
    with torch.no_grad():
        learned.scale.fill_(3.0)
    learned.reset_parameters()
    assert learned.scale.item() == 0.5


@pytest.mark.parametrize("a", [0.5, -0.5, 0.1], ids=str)
def test_a_signed_walk_mask_beside_global_attention_is_exact(a: float) -> None:
    """The normaliser sums |a + S_ij| where there are walks and |a| elsewhere."""
    topology = example_topologies()["ragged"]
    mask = a * GlobalMask() + cases.scrambled(walk(3, heads=2))
    topology = mask.prepare(topology)
    q, k, v = (
        torch.rand(23, 2, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(3)
    )
    M = a * reference.global_mask(23, topology.batch) + cases.mask_reference(
        mask.masks[1], topology
    )
    assert (M < 0).any()
    expected = reference.attention(
        reference.relu_features(q, 1e-3), reference.relu_features(k, 1e-3), v, M, M.abs()
    )
    assert_close(attention(q, k, v, mask(topology)), expected)


def test_what_is_combined_prepares_its_parts() -> None:
    class Reader(GlobalMask):
        def _structure(self, topology: Topology) -> Structure:
            seen.append(self)
            return super()._structure(topology)

    seen: list[GlobalMask] = []
    first, second = Reader(), Reader()
    (2.0 * (first @ second.mT)).prepare(example_topologies()["pair"])
    assert seen == [first, second]


def test_gradients_reach_every_term() -> None:
    mask = (
        torch.nn.Parameter(torch.tensor(0.3)) * GlobalMask()
        + walk(2)
        + WalkMask(2, alpha=Diffusion)
    )
    topology = mask.prepare(example_topologies()["weighted"])
    q = torch.rand(13, 1, 3, generator=torch.Generator().manual_seed(0))
    attention(q, q, q, mask(topology)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in mask.parameters())
    assert isinstance(mask.masks[0].masks[1].alpha, Free)


def test_a_star_multiplies_masks_and_scales_by_numbers() -> None:
    assert isinstance(walk(2) * walk(3), HadamardMask)
    assert isinstance(2 * walk(2), ScaledMask)
    assert isinstance(walk(2) * torch.ones(1), ScaledMask)
    with pytest.raises(TypeError):
        walk(2) * "2"  # type: ignore[operator]


def test_walks_serve_both_masks() -> None:
    mask = walk(2, heads=3) * (GlobalMask() + walk(5))
    assert mask.heads == 3
    assert mask.walk_demand is not None
    assert (mask.walk_demand.sets, mask.walk_demand.sampler.hops) == (1, 5)


def test_what_is_prepared_is_what_the_product_multiplies_by() -> None:
    mask = walk(2) * PowerSeriesMask(1)
    topology = mask.prepare(example_topologies()["weighted"])
    support, entries = mask._structure(topology).support, mask(topology).entries()
    assert support is not None
    assert entries is not None
    assert support.col is entries.pattern.col


def test_gradients_reach_both_masks() -> None:
    mask = walk(2) * PowerSeriesMask(1)
    topology = mask.prepare(example_topologies()["weighted"])
    (mask(topology) @ torch.ones(13)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in mask.parameters())
    dense = [each(topology).to_dense() for each in mask.masks]
    assert_close(mask(topology).to_dense(), dense[0] * dense[1])


def test_attention_under_it_is_linear_attention_of_each_graph(generator: torch.Generator) -> None:
    topology = example_topologies()["ragged"]
    q, k, v = (torch.randn(23, 2, 3, generator=generator) for _ in range(3))
    found = attention(q, k, v, GlobalMask()(topology), EluPlusOne())
    for graph in range(topology.num_graphs):
        own = topology.batch == graph
        phi_q, phi_k = reference.elu_plus_one(q[own]), reference.elu_plus_one(k[own])
        sums = torch.einsum("jhm,jhd->hmd", phi_k, v[own]), phi_k.sum(0)
        numerator, normaliser = (
            torch.einsum("ihm,hmd->ihd", phi_q, sums[0]),
            (phi_q * sums[1]).sum(-1, keepdim=True),
        )
        assert_close(found[own], numerator / normaliser)
