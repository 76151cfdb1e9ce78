from __future__ import annotations

import pytest
import torch

from graphmask.masks import (
    GlobalMask,
    ScaledMask,
    SumMask,
    TopologicalMask,
    WalkMask,
)
from graphmask.operators import GlobalOperator, MaskOperator
from graphmask.testing import check_mask, example_topologies
from graphmask.topology import Topology
from graphmask.walks import ResampledWalks


def test_a_mask_is_abstract() -> None:
    with pytest.raises(TypeError, match="_operator"):
        TopologicalMask()


def test_algebra_is_spelled_as_in_formulas() -> None:
    walk, wide = WalkMask(hops=1), GlobalMask()
    assert isinstance(walk + wide, SumMask)
    assert isinstance(2 * wide, ScaledMask)
    assert isinstance(wide * 2, ScaledMask)
    assert isinstance(torch.ones(2) * wide, ScaledMask)
    assert isinstance(wide * torch.ones(2), ScaledMask)


def test_what_reads_no_walks_is_ready() -> None:
    topology = example_topologies()["ring"]
    assert GlobalMask().prepare(topology) is topology
    assert GlobalMask().walk_demand is None


def test_preparing_again_changes_nothing() -> None:
    mask = WalkMask(2, sampler=ResampledWalks(budget=3, hops=2))
    topology = mask.prepare(example_topologies()["ragged"])
    kept = {**topology.__dict__, **topology.walks.__dict__}
    assert mask.prepare(topology) is topology
    assert all(
        {**topology.__dict__, **topology.walks.__dict__}[name] is value
        for name, value in kept.items()
    )


class Identity(TopologicalMask):
    """What a user may write: one file, one method."""

    def _operator(self, topology: Topology) -> MaskOperator:
        return GlobalOperator(topology)


def test_a_mask_can_be_written() -> None:
    check_mask(Identity())
