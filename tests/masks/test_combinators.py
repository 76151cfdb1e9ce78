"""The algebra of masks, and what masks prepare."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from graphmask import masks
from graphmask.masks import GlobalMask, GRFMask, PowerSeriesMask, ScaledMask, SumMask, WalkMask
from graphmask.masks.base import Structure
from graphmask.operators import GlobalOperator, MaskOperator
from graphmask.testing import check_mask, example_topologies
from graphmask.topology import Topology
from graphmask.walks import ResampledWalks


def walk(hops: int, heads: int = 1) -> WalkMask:
    return WalkMask(hops, heads, sampler=ResampledWalks(budget=64, hops=hops))


def test_operators_of_python_build_combinations() -> None:
    mask, ones = WalkMask(hops=1), GlobalMask()
    for combined, expected in (
        (mask + ones, SumMask),
        (mask - ones, SumMask),
        (-mask, ScaledMask),
        (2 * ones, ScaledMask),
        (ones * 2, ScaledMask),
        (torch.ones(2) * ones, ScaledMask),
        (ones * torch.ones(2), ScaledMask),
        (mask * ones, masks.HadamardMask),
        (mask @ ones, masks.ProductMask),
        (mask.mT, masks.TransposedMask),
    ):
        assert type(combined) is expected


def test_preparing_again_changes_nothing() -> None:
    mask = WalkMask(2, sampler=ResampledWalks(budget=3, hops=2))
    topology = mask.prepare(example_topologies()["ragged"])

    def structure() -> tuple[object, ...]:
        pattern = topology.walks.pattern
        return pattern.mT, pattern.row_order, topology.blocks

    before = structure()
    assert mask.prepare(topology) is topology
    assert all(old is new for old, new in zip(before, structure(), strict=True))
    assert GlobalMask().prepare(topology) is topology


class CustomMask(masks.TopologicalMask):
    """A user's mask: one method."""

    def _operator(self, topology: Topology) -> MaskOperator:
        return GlobalOperator(topology)


def test_users_can_write_masks() -> None:
    check_mask(CustomMask())


@pytest.mark.parametrize(
    "terms", [(walk(2), walk(4)), (walk(4), walk(2)), (GRFMask(2), walk(5)), (walk(5), GRFMask(2))]
)
def test_terms_share_walks_that_are_long_enough_for_all(terms: tuple) -> None:
    total = SumMask(GlobalMask(), *terms)
    topology = total.prepare(example_topologies()["weighted"])
    expected = sum(term.target(topology).to_dense() for term in terms) + 1
    assert_close(total(topology).to_dense(), expected)


def test_combinations_demand_the_most_walk_sets_and_hops() -> None:
    for mask, sets in (
        (masks.HeadwiseMask([GRFMask(2), walk(5, heads=3), GlobalMask()]), 2),
        (0.5 * (GRFMask(2) + walk(5)) + GlobalMask(), 2),
        (walk(2, heads=3) * (GlobalMask() + walk(5)), 1),
    ):
        assert mask.walk_demand is not None
        assert (mask.walk_demand.sets, mask.walk_demand.sampler.hops) == (sets, 5)
    assert (2.0 * GlobalMask() + PowerSeriesMask()).walk_demand is None


def test_masks_of_one_head_combine_with_masks_of_several() -> None:
    assert (GlobalMask() + walk(2, heads=3)).heads == 3
    assert (GlobalMask() * walk(2, heads=3)).heads == 3
    assert (torch.ones(4) * GlobalMask()).heads == 4
    assert (0.5 * walk(2, heads=3)).heads == 3


def test_heads_of_several_masks_add_up() -> None:
    mask = masks.HeadwiseMask([walk(2, heads=3), GlobalMask(), PowerSeriesMask(hops=1, heads=2)])
    assert mask.heads == 6
    assert repr(masks.HeadwiseMask([GlobalMask()])) == "HeadwiseMask([GlobalMask()])"
    topology = mask.prepare(example_topologies()["weighted"])
    dense = mask(topology).to_dense()
    for part, start in zip(mask.masks, (0, 3, 4), strict=True):
        assert_close(dense[start : start + part.heads], part(topology).to_dense())
    total = (0.5 * mask + GlobalMask() @ mask)(topology)
    assert_close(total.to_dense(), 0.5 * dense + dense.sum(1, keepdim=True))


def test_scales_are_learned_if_they_are_parameters() -> None:
    learned = ScaledMask(GlobalMask(), torch.nn.Parameter(torch.tensor([0.5])))
    buffer = ScaledMask(GlobalMask(), torch.tensor([0.5, 0.2]))
    number = ScaledMask(GlobalMask(), 0.5)
    assert [len(list(mask.parameters())) for mask in (learned, buffer, number)] == [1, 0, 0]
    assert [len(mask.state_dict()) for mask in (learned, buffer, number)] == [1, 1, 0]
    assert buffer.double().scale.dtype == torch.float64
    learned.scale.data.fill_(3.0)
    learned.reset_parameters()
    assert learned.scale.item() == 0.5


def test_combinations_prepare_their_masks() -> None:
    class Reader(GlobalMask):
        def _structure(self, topology: Topology) -> Structure:
            prepared.append(self)
            return super()._structure(topology)

    prepared: list[GlobalMask] = []
    first, second = Reader(), Reader()
    (2.0 * (first @ second.mT)).prepare(example_topologies()["pair"])
    assert prepared == [first, second]


def test_entrywise_products_prepare_the_support_of_their_entries() -> None:
    mask = walk(2) * PowerSeriesMask(1)
    topology = mask.prepare(example_topologies()["weighted"])
    support, entries = mask._structure(topology).support, mask(topology).entries()
    assert support is not None
    assert entries is not None
    assert support.col is entries.pattern.col
