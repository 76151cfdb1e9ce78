from __future__ import annotations

import pytest
import torch

from graphmask.masks import GlobalMask, PowerSeriesMask, ScaledMask, SumMask, TopologicalMask, WalkMask
from graphmask.operators import GlobalOperator, MaskOperator
from graphmask.testing import check_mask, example_topologies
from graphmask.topology import Topology


def test_a_mask_is_abstract() -> None:
    with pytest.raises(TypeError, match="_operator"):
        TopologicalMask()


@pytest.mark.parametrize("argument", [torch.tensor([[0], [1]]), None, "graph"], ids=["edges", "none", "text"])
@pytest.mark.parametrize("mask", [GlobalMask(), PowerSeriesMask(), WalkMask()], ids=repr)
def test_a_mask_reads_a_topology(mask: TopologicalMask, argument: object) -> None:
    with pytest.raises(TypeError, match="`topology` must be a Topology"):
        mask(argument)


@pytest.mark.parametrize(("heads", "error"), [(0, ValueError), (1.0, TypeError), (True, TypeError), ("2", TypeError)])
@pytest.mark.parametrize("kind", [PowerSeriesMask, WalkMask])
def test_heads_are_counted(kind: type, heads: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="`heads`"):
        kind(heads=heads)


def test_algebra_is_spelled_as_in_formulas() -> None:
    walk, wide = WalkMask(hops=1), GlobalMask()
    assert isinstance(walk + wide, SumMask)
    assert isinstance(2 * wide, ScaledMask)
    assert isinstance(wide * 2, ScaledMask)
    assert isinstance(torch.ones(2) * wide, ScaledMask)
    assert isinstance(wide * torch.ones(2), ScaledMask)


@pytest.mark.parametrize("other", [1, "mask", None, torch.ones(1)], ids=repr)
def test_only_masks_add(other: object) -> None:
    with pytest.raises(TypeError):
        GlobalMask() + other


@pytest.mark.parametrize("scale", ["2", None, [1.0]], ids=repr)
def test_only_numbers_scale(scale: object) -> None:
    with pytest.raises(TypeError):
        GlobalMask() * scale


def test_what_reads_no_walks_is_ready() -> None:
    topology = example_topologies()["ring"]
    assert GlobalMask().prepare(topology) is topology
    assert GlobalMask().walk_demand is None


class Identity(TopologicalMask):
    """What a user may write: one file, one method."""

    def _operator(self, topology: Topology) -> MaskOperator:
        return GlobalOperator(topology)


def test_a_mask_can_be_written() -> None:
    check_mask(Identity())
