from __future__ import annotations

import pytest
import torch

from graphmask.walks import FixedLength, Geometric, LengthLaw, Poisson, Systematic


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
