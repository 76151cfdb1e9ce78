from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

pytest.importorskip("typer")
pytest.importorskip("rich")

from typer.testing import CliRunner

from graphmask import cli, reference
from graphmask.benchmark.estimators import GRAPHS
from graphmask.benchmark.estimators.concentration import (
    Tail,
    bound,
    bound_distance,
    measure_tails,
    size,
)

REGULAR = next(graph for graph in GRAPHS if graph.name == "regular").make(0)


def test_the_size_is_the_series_of_the_largest_step() -> None:
    """On a regular graph W d is one, so that each hop multiplies by 1 / (1 - p_halt)."""
    assert math.isclose(
        size(REGULAR, torch.tensor([1.0, -0.5, 0.25]), p_halt=0.5), 1 + 0.5 * 2 + 0.25 * 4
    )


def test_the_bound_is_that_of_the_theorem() -> None:
    allowed = float(bound(torch.tensor([0.7]), 5, c=1.2))
    assert math.isclose(allowed, 2 * math.exp(-(0.7**2) * 5**3 / (2 * 9**2 * 1.2**4)), rel_tol=1e-6)
    assert math.isclose(
        float(bound(torch.tensor([bound_distance(0.03, 5, 1.2)]), 5, 1.2)), 0.03, rel_tol=1e-5
    )


def test_no_pair_is_off_more_often_than_the_theorem_allows() -> None:
    few, many = measure_tails(REGULAR, reference.diffusion(0.5, 5), walks=[2, 8], draws=60)
    assert few.holds
    assert many.holds
    assert (few.frequency <= few.worst).all()
    assert (few.worst.diff() <= 0).all()
    assert few.worst[0] == 1
    assert many.exceeded(0.1)[0] < few.exceeded(0.1)[0] < few.exceeded(0.1)[1]


def test_tails_are_counted_over_draws_and_pairs() -> None:
    """With p_halt = 0 and one hop from a node of one neighbour nothing is random.

    No distance is exceeded.
    """
    pair = GRAPHS[0].make(0)
    (tail,) = measure_tails(pair, torch.tensor([1.0]), walks=[3], draws=4)
    assert float(tail.worst.max()) == float(tail.frequency.max()) == 0


def test_a_broken_bound_is_told() -> None:
    ones = torch.ones(3)
    assert not Tail(1, ones, ones, ones, torch.tensor([2.0, 1.0, 0.9])).holds


def test_the_command_prints_and_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "tails.png"
    arguments = [
        "--graph",
        "er-20",
        "--walks",
        "2,4",
        "--draws",
        "20",
        "--hops",
        "3",
        "--plot",
        str(picture),
    ]
    result = CliRunner().invoke(cli.load_app(), ["bench", "concentration", *arguments])
    assert result.exit_code == 0, result.output
    assert result.output.count("yes") == 2
    assert picture.stat().st_size > 10_000
    wrong = CliRunner().invoke(cli.load_app(), ["bench", "concentration", "--graph", "er-21"])
    assert wrong.exit_code == 2
    assert "er-20" in wrong.output
