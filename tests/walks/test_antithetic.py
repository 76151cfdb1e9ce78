from __future__ import annotations

import pytest
import torch

from graphmask.walks import (
    Antithetic,
    AntitheticWalks,
    Geometric,
    LengthLaw,
    Poisson,
    UniformLength,
)


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


def test_repr() -> None:
    assert (
        repr(AntitheticWalks(4, 0.2, 3))
        == "AntitheticWalks(num_walks=4, hops=3, length_law=Antithetic(Geometric(p_halt=0.2)))"
    )
