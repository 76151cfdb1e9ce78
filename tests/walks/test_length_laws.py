from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from graphmask.testing import check_sampler, example_topologies
from graphmask.walks import (
    Antithetic,
    FixedLength,
    Geometric,
    IIDWalks,
    LengthLaw,
    Poisson,
    RepellingWalks,
    Systematic,
    UniformLength,
)


class Bounded(LengthLaw):
    """A law of a user: one hop, and more with a chance of 0.4 each."""

    def survival(self, hops: int) -> torch.Tensor:
        return torch.tensor([1.0, *(0.4**t for t in range(hops))])


# Each beside the law of scipy that it is.
LAWS = {
    "geometric": (Geometric(0.3), stats.geom(0.3, loc=-1)),
    "poisson": (Poisson(2.5), stats.poisson(2.5)),
    "uniform": (UniformLength(6), stats.randint(0, 7)),
    "fixed": (FixedLength(4), stats.rv_discrete(values=([4], [1.0]))),
    "written": (Bounded(), stats.geom(0.6)),
    "antithetic": (Antithetic(Geometric(0.3)), stats.geom(0.3, loc=-1)),
    "antithetic-uniform": (Antithetic(UniformLength(6)), stats.randint(0, 7)),
    "systematic": (Systematic(Poisson(2.5)), stats.poisson(2.5)),
}
every_law = pytest.mark.parametrize(("law", "scipy_law"), LAWS.values(), ids=LAWS)


@every_law
def test_survival_is_that_of_the_law(law: LengthLaw, scipy_law: stats.rv_discrete) -> None:
    expected = torch.tensor([scipy_law.sf(t - 1) for t in range(7)])
    assert law.survival(6).dtype == torch.float64
    assert_close(law.survival(6), expected, atol=1e-12, rtol=1e-12)
    assert law.survival(0).tolist() == [1.0]


@every_law
def test_every_walk_has_its_length_by_the_law(law: LengthLaw, scipy_law: stats.rv_discrete) -> None:
    """Each of the walks of a node by itself, over many nodes."""
    lengths = law.lengths(torch.arange(4000), num_walks=5, hops=6, seed=3)
    assert lengths.shape == (4000, 5)
    expected = torch.tensor([*(scipy_law.pmf(t) for t in range(6)), scipy_law.sf(5)]) * 4000
    for walk in lengths.mT:
        counts = torch.bincount(walk, minlength=7)
        assert counts[expected < 1e-9].sum() == 0
        some = expected > 1e-9
        assert (
            some.sum() == 1
            or stats.chisquare(counts[some].numpy(), expected[some].numpy()).pvalue > 1e-4
        )


@every_law
def test_lengths_depend_on_the_seed_and_the_rank_alone(
    law: LengthLaw, scipy_law: stats.rv_discrete
) -> None:
    rank = torch.arange(20)
    lengths = law.lengths(rank, num_walks=5, hops=6, seed=3)
    assert torch.equal(law.lengths(rank[7:9], num_walks=5, hops=6, seed=3), lengths[7:9])
    assert law.lengths(rank, num_walks=5, hops=0, seed=3).max() == 0
    if not isinstance(law, FixedLength):
        assert not torch.equal(law.lengths(rank, num_walks=5, hops=6, seed=4), lengths)


@pytest.mark.parametrize(
    "law", [Geometric(0.1), Geometric(0.45), UniformLength(9), Poisson(4.0)], ids=repr
)
def test_the_walks_of_a_pair_never_halt_before_the_same_hop(law: LengthLaw) -> None:
    """As long as they halt there with a probability of at most 1/2.

    Hop 7 is where lengths are cut.
    """
    hazard = 1 - law.survival(6)[1:] / law.survival(6)[:-1]
    rare = int((hazard > 0.5).nonzero()[0]) if (hazard > 0.5).any() else 6
    lengths = Antithetic(law).lengths(torch.arange(3000), num_walks=5, hops=6, seed=0)
    for first, second in ((0, 1), (2, 3)):
        same = lengths[:, first] == lengths[:, second]
        assert not (same & (lengths[:, first] < rare)).any()
        assert (lengths[:, first] < rare).any()


@pytest.mark.parametrize("num_walks", [1, 2, 7])
@pytest.mark.parametrize("law", [Geometric(0.3), Poisson(2.0), FixedLength(5)], ids=repr)
def test_systematic_lengths_share_out_the_law(law: LengthLaw, num_walks: int) -> None:
    """Of n walks n P(L >= t) reach hop t, rounded up or down."""
    lengths = Systematic(law).lengths(torch.arange(500), num_walks=num_walks, hops=5, seed=0)
    for hop in range(1, 6):
        expected = num_walks * float(law.survival(5)[hop])
        count = (lengths >= hop).sum(1)
        assert ((count - expected).abs() < 1).all()


def test_walks_that_need_not_end_never_do() -> None:
    for law in (
        Geometric(0.0),
        FixedLength(5),
        Antithetic(Geometric(0.0)),
        Systematic(FixedLength(5)),
    ):
        assert (law.lengths(torch.arange(1000), num_walks=3, hops=5, seed=0) == 5).all()


@pytest.mark.parametrize("sampler", [IIDWalks, RepellingWalks])
def test_laws_of_users_are_unbiased(sampler: type) -> None:
    check_sampler(
        sampler(4, hops=3, length_law=Bounded()), example_topologies()["weighted"], draws=200
    )


INDEPENDENT = Geometric(0.3)


@pytest.mark.parametrize(
    ("law", "survives"),
    [
        (INDEPENDENT, lambda q: q * q),
        (Antithetic(INDEPENDENT), None),
        (Systematic(INDEPENDENT), lambda q: max(0.0, 2 * q - 1)),
    ],
    ids=["independent", "antithetic", "systematic"],
)
def test_two_walks_survive_together_by_their_coupling(
    law: LengthLaw, survives: Callable[[float], float] | None
) -> None:
    """Antithetic ones reach hop t with probability (1 - 2 p)^t, systematic ones as rarely as any"""
    lengths = law.lengths(torch.arange(8000), num_walks=2, hops=4, seed=0)
    for hop in range(1, 5):
        both = float((lengths >= hop).all(1).double().mean())
        expected = 0.4**hop if survives is None else survives(0.7**hop)
        assert abs(both - expected) <= 4 * (expected * (1 - expected) / 8000) ** 0.5


@pytest.mark.parametrize(
    ("law", "size"), [(INDEPENDENT, 1), (Antithetic(INDEPENDENT), 2)], ids=["plain", "antithetic"]
)
def test_groups_of_walks_and_nodes_are_independent(law: LengthLaw, size: int) -> None:
    lengths = law.lengths(torch.arange(4000), num_walks=5, hops=6, seed=0).double()
    correlation = torch.corrcoef(lengths.mT)
    group = torch.arange(5) // size
    apart = group.unsqueeze(0) != group.unsqueeze(1)
    assert correlation[apart].abs().max() < 4.5 / 4000**0.5
    neighbours = torch.stack([lengths[1:, 0], lengths[:-1, 0]])
    assert torch.corrcoef(neighbours)[0, 1].abs() < 4 / 4000**0.5


def test_reprs_are_calls() -> None:
    law = Antithetic(Systematic(Geometric(0.1)))
    assert repr(law) == "Antithetic(Systematic(Geometric(p_halt=0.1)))"
    laws = (law, Geometric(0.2), Poisson(2.0), UniformLength(3), FixedLength(4))
    assert [repr(eval(repr(law))) for law in laws] == [repr(law) for law in laws]


def test_laws_that_just_reach_the_last_hop_are_accepted() -> None:
    assert IIDWalks(hops=2, length_law=FixedLength(2)).hops == 2
    assert IIDWalks(hops=0, length_law=FixedLength(0)).hops == 0
