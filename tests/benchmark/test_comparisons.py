from __future__ import annotations

import csv
import json
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch

from graphmask.benchmark import Problem
from graphmask.benchmark.comparisons import (
    COMPARISONS,
    Comparison,
    Errors,
    Estimate,
    Match,
    Paired,
    Side,
    Timed,
    find_comparisons,
    run,
)
from graphmask.benchmark.comparisons.study import judge
from graphmask.benchmark.scenes import Molecules as MoleculeProblem
from graphmask.benchmark.scenes import Scene, random_molecules

FEW = Scene(
    "3 molecules", "", lambda _, seed, device: MoleculeProblem(random_molecules(3), seed, device)
)


def side(
    name: str, call: Callable[[], object] = lambda: None, entries: int | None = None, **given: Any
) -> Side:
    return Side(name, f"the side {name}", lambda problem: Timed(call, entries), **given)


def fail() -> None:
    raise RuntimeError("out of\nsteam")


def test_sides_run_in_turn() -> None:
    log: list[str] = []
    comparison = Comparison(
        "ab", side("a", lambda: log.append("a")), side("b", lambda: log.append("b")), most=1.0
    )
    (found,) = run(Match([comparison], nodes=[64], rounds=2))
    assert (found.comparison, found.graph, found.nodes, found.ours, found.theirs) == (
        "ab",
        "torus",
        64,
        "a",
        "b",
    )
    assert len(found.ours_seconds) == len(found.theirs_seconds) == len(found.ratios) == 2
    assert log[:4] == ["a", "a", "b", "b"]  # warm-ups
    assert [name for name, _ in groupby(log[4:])] == ["a", "b", "a", "b"]


def test_a_side_is_made_once_on_a_graph() -> None:
    made: list[int] = []

    def make(problem: Problem) -> Timed:
        made.append(problem.num_nodes)
        return Timed(lambda: None)

    shared = Side("shared", "", make)
    comparisons = [Comparison(str(number), shared, side("b"), most=1.0) for number in range(3)]
    assert len(list(run(Match(comparisons, nodes=[64, 32], rounds=1)))) == 6
    assert made == [64, 32]


def test_a_failure_is_told_and_the_run_goes_on() -> None:
    comparisons = [
        Comparison("bad", side("a"), side("b", fail), most=1.0),
        Comparison("good", side("a"), side("c"), most=1.0),
    ]
    bad, good = run(Match(comparisons, nodes=[64], rounds=1))
    assert (bad.note, bad.ratio, bad.met) == ("RuntimeError: out of steam", None, None)
    assert good.ratio is not None


def test_batched_comparisons_run_on_the_molecules_alone() -> None:
    comparisons = [
        Comparison("batch", side("a"), side("b"), most=1.0, batched=True),
        Comparison("large", side("a"), side("b"), most=1.0),
    ]
    found = list(run(Match(comparisons, nodes=[32, 64], molecules=FEW, rounds=1)))
    assert [(each.comparison, each.graph) for each in found] == [
        ("large", "torus"),
        ("large", "torus"),
        ("batch", "3 molecules"),
    ]


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda comparison: comparison.name)
def test_every_comparison_runs_and_leaves_the_random_state_alone(comparison: Comparison) -> None:
    state = torch.get_rng_state()
    (found,) = run(Match([comparison], nodes=[96], molecules=FEW, rounds=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert found.note == ""
    assert len(found.ratios) == 1
    assert found.met is not None
    assert comparison.about
    if comparison.per_entry:
        assert found.ours_entries
        assert found.theirs_entries
    assert (found.errors is None) == (comparison.most_error is None)


def paired(**given: Any) -> Paired:
    return Paired(
        **{
            "comparison": "x",
            "graph": "torus",
            "nodes": 10,
            "edges": 40,
            "ours": "a",
            "theirs": "b",
            "target": 0.5,
            "ours_seconds": (1.0, 2.0, 9.0),
            "theirs_seconds": (4.0, 4.0, 10.0),
        }
        | given
    )


def test_ratios_are_those_of_one_round() -> None:
    found = paired()
    assert found.ratios == (0.25, 0.5, 0.9)
    assert found.ratio == (0.5, 0.375, 0.7)
    assert found.met is True
    assert paired(target=0.49).met is False


def test_ratios_per_entry_divide_by_what_each_mask_stores() -> None:
    assert paired(ours_entries=640, theirs_entries=64, per_entry=True).ratios == pytest.approx(
        (0.025, 0.05, 0.09)
    )
    assert paired(ours_entries=640, theirs_entries=64).ratios == (0.25, 0.5, 0.9)


@pytest.mark.parametrize(
    ("ours", "theirs", "ratio", "met"),
    [(0.01, 0.2, 0.05, True), (0.1, 0.2, 0.5, False), (0, 0, 0, True), (0.1, 0, 1, False)],
)
def test_errors_have_a_target_of_their_own(
    ours: float, theirs: float, ratio: float, met: bool
) -> None:
    errors = Errors(ours, theirs, 64, 33, 140, most=0.1)
    assert (errors.ratio, errors.met) == (pytest.approx(ratio), met)


def test_errors_are_those_of_the_study_of_estimators() -> None:
    # Budgets as large as the graph are exact; independent walks are not.
    exact, rough = judge(
        Problem(60), [Estimate("resampled", 64), Estimate("iid-symmetric", 4)], seed=0
    )
    assert exact.error < 1e-6 < 0.01 < rough.error < 1
    assert rough.pairs > rough.entries
    assert exact.kernel == rough.kernel == "diffusion-1"


def test_unknown_comparison_is_named() -> None:
    with pytest.raises(ValueError, match=r"`only` must be among performer, .*, got gsp"):
        find_comparisons(["gsp"])
    assert len({each.name for each in COMPARISONS}) == len(COMPARISONS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"comparisons": []}, "`comparisons` must be at least one"),
        ({"nodes": []}, "`nodes` must be at least one"),
        ({"nodes": [1]}, "`nodes` must be at least 2, got 1"),
        ({"scenes": []}, "`scenes` must be at least one"),
        ({"rounds": 0}, "`rounds` must be at least 1, got 0"),
        ({"seed": -1}, "`seed` must be at least 0, got -1"),
        ({"time_limit": 0.0}, "`time_limit` must be positive and finite, got 0.0"),
    ],
)
def test_matches_refuse(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Match(**wrong)


def test_report_has_a_line_per_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    from graphmask._console import make_console
    from graphmask.benchmark.comparisons.report import print_report

    found = [
        paired(),
        paired(comparison="y", target=1 / 50, per_entry=True, ours_entries=640, theirs_entries=40),
        paired(comparison="z", ours_seconds=(), theirs_seconds=(), note="RuntimeError: why"),
        paired(comparison="w", errors=Errors(0.01, 0.2, 64, 33, 140, most=0.1)),
    ]
    print_report(make_console(), found, find_comparisons(["performer", "entry"]))
    output = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert "x torus 10 2,000 4,000 0.5 0.375 .. 0.7 <= 1/2 met 3 -" in lines
    assert "y * torus 10 2,000 4,000 0.0312 0.0234 .. 0.0437 <= 1/50 MISSED 3 64 / 4" in lines
    assert "z torus 10 - - - - <= 1/2 failed 0 -" in lines
    assert "z, torus: RuntimeError: why" in lines
    assert (
        "w, torus: 0.5 of the time (<= 1/2, met) at 0.05 of the mask error (<= 1/10, met): 0.01 with 64"
        in " ".join(lines)
    )
    assert "per mask entry" in output


def test_files_hold_the_comparisons(tmp_path: Path) -> None:
    from graphmask.benchmark import write_csv, write_json

    found = [paired(), paired(ours_seconds=(), theirs_seconds=(), note="why")]
    write_csv(tmp_path / "ratios.csv", found, "abacus")
    first, second = csv.DictReader((tmp_path / "ratios.csv").read_text().splitlines())
    assert (first["ratio"], first["ratio_low"], first["met"], first["rounds"]) == (
        "0.5",
        "0.375",
        "True",
        "3",
    )
    assert (second["ratio"], second["met"], second["note"]) == ("", "", "why")
    write_json(tmp_path / "ratios.json", found, [each.row() for each in found])
    whole = json.loads((tmp_path / "ratios.json").read_text())
    assert whole["measurements"][0]["ours_seconds"] == [1, 2, 9]
    assert whole["summaries"][0]["ratio"] == 0.5
