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
    """What a user may write: one hop, and more with a chance of 0.4 each."""

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
every_law = pytest.mark.parametrize(("law", "known"), LAWS.values(), ids=LAWS)


@every_law
def test_survival_is_that_of_the_law(law: LengthLaw, known: stats.rv_discrete) -> None:
    expected = torch.tensor([known.sf(t - 1) for t in range(7)])
    assert law.survival(6).dtype == torch.float64
    assert_close(law.survival(6), expected, atol=1e-12, rtol=1e-12)
    assert law.survival(0).tolist() == [1.0]


@every_law
def test_every_walk_has_its_length_by_the_law(law: LengthLaw, known: stats.rv_discrete) -> None:
    """Each of the walks of a node by itself, over many nodes."""
    lengths = law.lengths(torch.arange(4000), num_walks=5, hops=6, seed=3)
    assert lengths.shape == (4000, 5)
    expected = torch.tensor([*(known.pmf(t) for t in range(6)), known.sf(5)]) * 4000
    for walk in lengths.mT:
        found = torch.bincount(walk, minlength=7)
        assert found[expected < 1e-9].sum() == 0
        some = expected > 1e-9
        assert (
            some.sum() == 1
            or stats.chisquare(found[some].numpy(), expected[some].numpy()).pvalue > 1e-4
        )


@every_law
def test_lengths_depend_on_seed_and_place_alone(law: LengthLaw, known: stats.rv_discrete) -> None:
    place = torch.arange(20)
    lengths = law.lengths(place, num_walks=5, hops=6, seed=3)
    assert torch.equal(law.lengths(place[7:9], num_walks=5, hops=6, seed=3), lengths[7:9])
    assert law.lengths(place, num_walks=5, hops=0, seed=3).max() == 0
    if not isinstance(law, FixedLength):
        assert not torch.equal(law.lengths(place, num_walks=5, hops=6, seed=4), lengths)


def test_plain_lengths_are_independent() -> None:
    lengths = Geometric(0.4).lengths(torch.arange(4000), num_walks=4, hops=6, seed=3).double()
    assert (torch.corrcoef(lengths.mT) - torch.eye(4)).abs().max() < 4 / 4000**0.5


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


def test_pairs_survive_together_as_often_as_they_can() -> None:
    """Both reach hop t with probability (1 - 2 p)^t; independent ones with (1 - p)^2t."""
    lengths = Antithetic(Geometric(0.2)).lengths(torch.arange(8000), num_walks=2, hops=4, seed=0)
    for hop in range(1, 5):
        both = float((lengths >= hop).all(1).double().mean())
        expected = 0.6**hop
        assert abs(both - expected) < 4 * (expected * (1 - expected) / 8000) ** 0.5


def test_pairs_are_independent_of_each_other() -> None:
    lengths = (
        Antithetic(Geometric(0.4)).lengths(torch.arange(6000), num_walks=5, hops=5, seed=0).double()
    )
    correlation = torch.corrcoef(lengths.mT)
    assert correlation[0, 1] < -0.2
    assert correlation[2, 3] < -0.2
    assert correlation[:2, 2:].abs().max() < 4 / 6000**0.5
    assert correlation[4, :4].abs().max() < 4 / 6000**0.5


@pytest.mark.parametrize("num_walks", [1, 2, 7])
@pytest.mark.parametrize("law", [Geometric(0.3), Poisson(2.0), FixedLength(5)], ids=repr)
def test_systematic_lengths_share_out_the_law(law: LengthLaw, num_walks: int) -> None:
    """Of n walks n P(L >= t) reach hop t, rounded up or down."""
    lengths = Systematic(law).lengths(torch.arange(500), num_walks=num_walks, hops=5, seed=0)
    for hop in range(1, 6):
        expected = num_walks * float(law.survival(5)[hop])
        count = (lengths >= hop).sum(1)
        assert ((count - expected).abs() < 1).all()


def test_two_walks_survive_together_as_rarely_as_they_can() -> None:
    """Both reach hop t with probability max(0, 2 P(L >= t) - 1).

    No coupling of two lengths allows less.
    """
    lengths = Systematic(Geometric(0.2)).lengths(torch.arange(8000), num_walks=2, hops=5, seed=0)
    for hop in range(1, 6):
        both = float((lengths >= hop).all(1).double().mean())
        expected = max(0.0, 2 * 0.8**hop - 1)
        assert abs(both - expected) <= 4 * (expected * (1 - expected) / 8000) ** 0.5


def test_nodes_are_independent() -> None:
    lengths = (
        Systematic(Geometric(0.3))
        .lengths(torch.arange(4000), num_walks=1, hops=9, seed=0)
        .squeeze(1)
        .double()
    )
    assert (
        abs(float(torch.corrcoef(torch.stack([lengths[1:], lengths[:-1]]))[0, 1])) < 4 / 4000**0.5
    )


def test_walks_that_need_not_end_never_do() -> None:
    for law in (
        Geometric(0.0),
        FixedLength(5),
        Antithetic(Geometric(0.0)),
        Systematic(FixedLength(5)),
    ):
        assert (law.lengths(torch.arange(1000), num_walks=3, hops=5, seed=0) == 5).all()


@pytest.mark.parametrize("kind", [IIDWalks, RepellingWalks])
def test_laws_of_users_are_unbiased(kind: type) -> None:
    check_sampler(
        kind(4, hops=3, length_law=Bounded()), example_topologies()["weighted"], draws=200
    )


class Broken(LengthLaw):
    def __init__(self, *survival: float) -> None:
        self.numbers = survival

    def survival(self, hops: int) -> torch.Tensor:
        return torch.tensor(self.numbers)


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: Geometric(1.0), ValueError, "`p_halt`"),
    (lambda: Poisson(0.0), ValueError, "`rate` must be positive, got 0"),
    (lambda: Poisson(-1.0), ValueError, "`rate`"),
    (lambda: Poisson("1"), TypeError, "`rate`"),
    (lambda: UniformLength(-1), ValueError, "`longest` must be at least 0"),
    (lambda: FixedLength(2.0), TypeError, "`length` must be an integer"),
    (lambda: Antithetic(0.1), TypeError, "`law` must be a LengthLaw"),
    (lambda: Systematic(Geometric), TypeError, "`law` must be a LengthLaw"),
    (
        lambda: IIDWalks(hops=3, length_law=FixedLength(2)),
        ValueError,
        r"`length_law` must be one whose walks reach hop 3 .*hops=2.*, got "
        r"FixedLength\(length=2\), .* P\(L >= 3\) = 0",
    ),
    (
        lambda: RepellingWalks(hops=4, length_law=Antithetic(UniformLength(3))),
        ValueError,
        "reach hop 4 .*hops=3",
    ),
    (lambda: IIDWalks(hops=40, length_law=Poisson(1.0)), ValueError, "reach hop 40 .*hops=17"),
    (lambda: IIDWalks(hops=2, length_law=Broken(1.0, 0.5)), ValueError, "falls from 1, 3 numbers"),
    (lambda: IIDWalks(hops=2, length_law=Broken(1.0, 0.5, 0.6)), ValueError, "falls from 1"),
    (lambda: IIDWalks(hops=2, length_law=Broken(0.9, 0.5, 0.4)), ValueError, "falls from 1"),
    (
        lambda: IIDWalks(hops=2, length_law=Broken(1.0, float("nan"), 0.4)),
        ValueError,
        "falls from 1",
    ),
    (lambda: IIDWalks(hops=2, length_law=Broken(1.0, 0.4, -0.1)), ValueError, "falls from 1"),
]


@pytest.mark.parametrize(("call", "error", "expected"), REFUSED)
def test_what_does_not_fit_is_refused(
    call: Callable[[], object], error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        call()


def test_laws_that_just_reach_the_last_hop_are_served() -> None:
    assert IIDWalks(hops=2, length_law=FixedLength(2)).hops == 2
    assert IIDWalks(hops=0, length_law=FixedLength(0)).hops == 0


def test_repr() -> None:
    laws = (
        Geometric(0.2),
        Poisson(2.0),
        UniformLength(3),
        FixedLength(4),
        Antithetic(Systematic(Geometric(0.1))),
    )
    assert [repr(law) for law in laws] == [
        "Geometric(p_halt=0.2)",
        "Poisson(rate=2.0)",
        "UniformLength(longest=3)",
        "FixedLength(length=4)",
        "Antithetic(Systematic(Geometric(p_halt=0.1)))",
    ]
