"""The counter-based generator against a plain one, and against chance."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from graphmask._random import seed_from, stream, uniform

WORD = 2**64 - 1


def split_mix(seed: int, *counters: int) -> float:
    """The finaliser of SplitMix64 in unsigned integers, once per counter."""
    state = seed
    for counter in counters:
        state = (state + counter * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) & WORD
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & WORD
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & WORD
        state ^= state >> 31
    return (state >> 11) * 2.0**-53


@pytest.mark.parametrize("seed", [0, 1, 2**62 - 1])
def test_numbers_are_those_of_split_mix(seed: int) -> None:
    actual = uniform(seed, 3, torch.arange(50), torch.tensor(2**40))
    assert actual.dtype == torch.float64
    assert actual.tolist() == [split_mix(seed, 3, number, 2**40) for number in range(50)]


def test_counters_broadcast_and_have_a_place() -> None:
    row, col = torch.arange(3).unsqueeze(1), torch.arange(4)
    table = uniform(7, row, col)
    assert table.shape == (3, 4)
    assert table[2, 1] == uniform(7, 2, 1) == uniform(7, torch.tensor(2), 1)
    assert table[2, 1] != table[1, 2]


def test_streams_count_in_what_they_were_made_of() -> None:
    row, col = torch.arange(3).unsqueeze(1), torch.arange(4)
    assert torch.equal(uniform(stream(7, 2, row), col, 5), uniform(7, 2, row, col, 5))
    assert torch.equal(uniform(stream(7), row), uniform(7, row))


def test_integer_widths_agree() -> None:
    assert_close(
        uniform(1, torch.arange(9, dtype=torch.int32)), uniform(1, torch.arange(9)), rtol=0, atol=0
    )


NEIGHBOURS = {
    "next-seed": lambda i: (uniform(1, i), uniform(2, i)),
    "next-number": lambda i: (uniform(1, i), uniform(1, i + 1)),
    "next-hop": lambda i: (uniform(1, 1, i), uniform(1, 2, i)),
    "next-purpose": lambda i: (uniform(1, 3, 0, i), uniform(1, 3, 1, i)),
    "hop-and-seed": lambda i: (uniform(1, 2, i), uniform(2, 1, i)),
    "swapped": lambda i: (uniform(1, i, i + 1), uniform(1, i + 1, i)),
}


@pytest.mark.parametrize("draw", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_neighbouring_draws_are_uniform_and_independent(draw: object) -> None:
    first, second = draw(torch.arange(20_000))
    for each in (first, second):
        assert ((each >= 0) & (each < 1)).all()
        assert stats.kstest(each.numpy(), "uniform").pvalue > 1e-4
    cells = torch.bincount((first * 8).long() * 8 + (second * 8).long(), minlength=64)
    assert stats.chisquare(cells.numpy()).pvalue > 1e-4


def test_seeds_come_from_the_generator_or_the_system(generator: torch.Generator) -> None:
    drawn = [seed_from(generator) for _ in range(3)]
    assert len(set(drawn)) == 3
    assert drawn[0] == seed_from(torch.Generator().manual_seed(0))
    assert all(0 <= seed < 2**62 for seed in (*drawn, seed_from(None)))
    assert seed_from(None) != seed_from(None)
