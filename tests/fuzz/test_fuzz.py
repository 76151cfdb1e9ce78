"""A fixed small part of each campaign; a larger one in `make test-full`."""

from __future__ import annotations

import pytest

from fuzz.campaign import kind_of, run
from fuzz.campaigns import CAMPAIGNS

# Cases of the quick part, and of the slow one.
SIZES = {
    "edits": (60, 1_000),
    "files": (120, 2_000),
    "forward": (100, 3_000),
    "gradient": (40, 1_000),
    "kill": (2, 16),
    "state": (15, 300),
}
pytestmark = [pytest.mark.global_rng, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_few_random_cases_hold(name: str) -> None:
    report = run(name, CAMPAIGNS[name].case, range(SIZES[name][0]))
    assert not report.faults, f"{report}"


@pytest.mark.slow
@pytest.mark.parametrize("name", CAMPAIGNS)
def test_many_random_cases_hold(name: str) -> None:
    first, number = 1_000_000, SIZES[name][1]
    report = run(name, CAMPAIGNS[name].case, range(first, first + number))
    assert not report.faults, f"{report}"


def test_faults_are_counted_by_kind_and_repeat_from_their_seed() -> None:
    def case(seed: int) -> None:
        if seed % 2:
            raise ValueError(f"seed {seed} in /some/path is odd")

    report = run("odd", case, range(4))
    assert list(report.faults) == [1, 3]
    assert len({kind_of(text) for text in report.faults.values()}) == 1
    assert "--seed 1 --cases 1" in str(report)
