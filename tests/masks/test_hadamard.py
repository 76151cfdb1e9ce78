from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from graphmask.masks import GlobalMask, HadamardMask, PowerSeriesMask, ScaledMask, WalkMask
from graphmask.testing import example_topologies
from graphmask.walks import ResampledWalks


def walk(hops: int, heads: int = 1) -> WalkMask:
    return WalkMask(hops, heads, sampler=ResampledWalks(hops=hops))


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


def test_formulas_and_costs() -> None:
    mask = (walk(1) + GlobalMask()) * (0.5 * PowerSeriesMask(1))
    assert repr(mask).startswith(
        "(WalkMask(hops=1, heads=1, alpha=Free) + GlobalMask()) * 0.5 * PowerSeriesMask(hops=1"
    )
    assert mask.cost == f"({walk(1).cost} + N) * K E / N"
    assert (GlobalMask() * GlobalMask()).cost == "N"


def test_what_cannot_be_multiplied_is_refused_where_an_operator_is_made() -> None:
    mask = PowerSeriesMask(3) * PowerSeriesMask(2)
    with pytest.raises(ValueError, match=r"`a [*] b` must be of a mask of low rank"):
        mask(example_topologies()["ring"])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="`masks` must be of the same number of heads"):
        walk(2, heads=2) * walk(2, heads=3)
    with pytest.raises(TypeError, match=r"`masks` must be TopologicalMasks.*got int"):
        HadamardMask(walk(2), 2)  # type: ignore[arg-type]


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
