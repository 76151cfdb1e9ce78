from __future__ import annotations

import pytest
import torch

from graphmask.masks import (
    GlobalMask,
    HadamardMask,
    ProductMask,
    ScaledMask,
    SumMask,
    TopologicalMask,
    TransposedMask,
    WalkMask,
)
from graphmask.operators import GlobalOperator, MaskOperator
from graphmask.testing import check_mask, example_topologies
from graphmask.topology import Topology
from graphmask.walks import ResampledWalks


def test_a_mask_is_abstract() -> None:
    with pytest.raises(TypeError, match="_operator"):
        TopologicalMask()


def test_what_reads_no_walks_is_ready() -> None:
    topology = example_topologies()["ring"]
    assert GlobalMask().prepare(topology) is topology
    assert GlobalMask().walk_demand is None


def test_algebra_is_spelled_as_in_formulas() -> None:
    walk, ones = WalkMask(hops=1), GlobalMask()
    for mask, expected in (
        (walk + ones, SumMask),
        (walk - ones, SumMask),
        (-walk, ScaledMask),
        (2 * ones, ScaledMask),
        (ones * 2, ScaledMask),
        (torch.ones(2) * ones, ScaledMask),
        (ones * torch.ones(2), ScaledMask),
        (walk * ones, HadamardMask),
        (walk @ ones, ProductMask),
        (walk.mT, TransposedMask),
    ):
        assert type(mask) is expected


def test_preparing_again_changes_nothing() -> None:
    mask = WalkMask(2, sampler=ResampledWalks(budget=3, hops=2))
    topology = mask.prepare(example_topologies()["ragged"])
    pattern = topology.walks.pattern
    derived = pattern.mT, pattern.row_order, topology.blocks
    assert mask.prepare(topology) is topology
    again = topology.walks.pattern
    now = again.mT, again.row_order, topology.blocks
    assert all(a is b for a, b in zip(derived, now, strict=True))


class Identity(TopologicalMask):
    """What a user may write: one file, one method."""

    def _operator(self, topology: Topology) -> MaskOperator:
        return GlobalOperator(topology)


def test_a_mask_can_be_written() -> None:
    check_mask(Identity())
