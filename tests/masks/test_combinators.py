from __future__ import annotations

from collections.abc import Callable

import cases
import pytest
import torch
from torch.testing import assert_close

from graphmask import attention, reference
from graphmask.masks import (
    Diffusion,
    Free,
    GlobalMask,
    GRFMask,
    PowerSeriesMask,
    ScaledMask,
    SumMask,
    WalkMask,
    symmetrize,
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


REPRS = [
    (0.5 * GlobalMask(), "0.5 * GlobalMask()"),
    (GlobalMask() + walk(2), "GlobalMask() + WalkMask(hops=2, heads=1, alpha=Free)"),
    (2 * (GlobalMask() + GlobalMask()), "2 * (GlobalMask() + GlobalMask())"),
    (torch.tensor([1.0, 2.0]) * GlobalMask(), "[1.0, 2.0] * GlobalMask()"),
    (GlobalMask() - GlobalMask(), "GlobalMask() + -1 * GlobalMask()"),
    ((GlobalMask() + GlobalMask()) @ GlobalMask(), "(GlobalMask() + GlobalMask()) @ GlobalMask()"),
    ((GlobalMask() + GlobalMask()).mT, "(GlobalMask() + GlobalMask()).mT"),
    (2 * symmetrize(GlobalMask()), "2 * symmetrize(GlobalMask())"),
]


@pytest.mark.parametrize(("mask", "expected"), REPRS)
def test_reprs_are_formulas(mask: SumMask, expected: str) -> None:
    assert repr(mask) == expected


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: SumMask(), "`masks` must be at least one"),
    (
        lambda: walk(2, heads=2) + walk(2, heads=3),
        r"`masks` must be of the same number of heads.*\[2, 3\]",
    ),
    (lambda: torch.ones(2) * walk(2, heads=3), "`scale` must be a number or of shape"),
    (
        lambda: walk(2, normalization="rw") + walk(2),
        "`masks` must be on walks of the same normalisation",
    ),
    (
        lambda: GlobalMask() @ walk(2, heads=2) @ walk(2, heads=3),
        "`masks` must be of the same number of heads",
    ),
    (
        lambda: GlobalMask() + 0.5 * (walk(2, normalization=None) + GRFMask(2)),
        "`masks`.*same normalisation",
    ),
]


@pytest.mark.parametrize(("make", "expected"), REFUSED)
def test_what_does_not_fit_is_refused(make: Callable[[], object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        make()


NO_MASKS: list[Callable[[], object]] = [
    lambda: GlobalMask() + 1.0,
    lambda: GlobalMask() @ torch.ones(3),
    lambda: GlobalMask() - "GlobalMask()",
    lambda: symmetrize(torch.ones(3, 3)),
]


@pytest.mark.parametrize("make", NO_MASKS)
def test_what_is_no_mask_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match="`masks` must be TopologicalMasks"):
        make()


def test_what_is_combined_prepares_its_parts() -> None:
    class Reader(GlobalMask):
        def _structure(self, topology: Topology) -> Structure:
            seen.append(self)
            return super()._structure(topology)

    seen: list[GlobalMask] = []
    first, second = Reader(), Reader()
    (2.0 * (first @ second.mT)).prepare(example_topologies()["pair"])
    assert seen == [first, second]


def test_costs_add() -> None:
    mask = (GlobalMask() + walk(2)) @ walk(3) + symmetrize(PowerSeriesMask())
    assert str(mask).endswith(": O(N + N p + K E) per column")


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
