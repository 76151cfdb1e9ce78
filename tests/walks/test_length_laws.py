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
        r"`length_law` must be one whose walks reach hop 3 .*hops=2.*, got FixedLength\(length=2\), .* P\(L >= 3\) = 0",
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
