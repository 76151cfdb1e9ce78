"""The algebra of masks."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from graphmask.masks import (
    GlobalMask,
    GRFMask,
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


def test_what_is_combined_prepares_its_parts() -> None:
    class Reader(GlobalMask):
        def _structure(self, topology: Topology) -> Structure:
            seen.append(self)
            return super()._structure(topology)

    seen: list[GlobalMask] = []
    first, second = Reader(), Reader()
    (2.0 * (first @ second.mT)).prepare(example_topologies()["pair"])
    assert seen == [first, second]


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
