from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest

from graphmask.benchmark import write_csv
from graphmask.benchmark.estimators import (
    ESTIMATORS,
    Curve,
    Mean,
    Point,
    Sample,
    compare,
    summarize,
)
from graphmask.benchmark.estimators.comparison import error_at

pytest.importorskip("rich")
pytest.importorskip("matplotlib")

from graphmask._console import make_console
from graphmask.benchmark.estimators.plot import write_plot
from graphmask.benchmark.estimators.report import (
    format_error,
    format_mean,
    format_ratio,
    print_report,
)

CHOSEN = [
    each for each in ESTIMATORS if each.name in ("iid", "iid-symmetric", "resampled", "truncated")
]


def point(
    estimator: str,
    entries: float,
    error: float,
    pairs: float | None = None,
    support: float = 1000.0,
) -> Point:
    def sure(value: float) -> Mean:
        return Mean(value, value / 10)

    return Point(
        graph="sphere",
        nodes=64,
        kernel="heat",
        estimator=estimator,
        setting=entries,
        sets=1 if pairs is None else 2,
        repeats=3,
        entries=sure(entries),
        pairs=sure(entries if pairs is None else pairs),
        support=support,
        error=sure(error),
        off_diagonal=sure(2 * error),
        diagonal=sure(error / 2),
        truncation=0.0 if pairs is None else 0.25,
        seconds=sure(0.001 * entries),
    )


# At 60 entries: iid 0.2, iid-symmetric 0.1 by one factor and 0.4 by pairs, resampled 0.01.
POINTS = [
    point("iid", 30, 0.4),
    point("iid", 120, 0.1),
    point("iid-symmetric", 15, 0.4, pairs=60),
    point("iid-symmetric", 60, 0.1, pairs=240),
    point("resampled", 60, 0.01),
    point("resampled", 900, 1e-8),
    point("truncated", 80, 0.1),
]


def test_comparison_reads_errors_at_equal_entries() -> None:
    (found,) = compare(POINTS, 60)
    assert found.entries == 60
    assert found.errors == {
        Curve("iid"): pytest.approx(0.2),
        Curve("iid-symmetric"): pytest.approx(0.1),
        Curve("iid-symmetric", by_pairs=True): pytest.approx(0.4),
        Curve("resampled"): pytest.approx(0.01),
        Curve("truncated"): None,
    }
    assert found.ratio(by_pairs=False) == pytest.approx(10)
    assert found.ratio(by_pairs=True) == pytest.approx(20)
    assert found.symmetric_ratio(by_pairs=False) is None


def test_symmetric_forms_are_compared_with_each_other() -> None:
    (found,) = compare(
        [
            *POINTS,
            point("resampled-symmetric", 60, 0.005, pairs=120),
            point("resampled-symmetric", 15, 0.02, pairs=30),
        ],
        60,
    )
    assert found.symmetric_ratio(by_pairs=False) == pytest.approx(20)
    assert found.symmetric_ratio(by_pairs=True) == pytest.approx(40)


def test_small_masks_are_compared_at_half_of_their_pairs() -> None:
    (found,) = compare([replace(each, support=100.0) for each in POINTS], 60)
    assert found.entries == 50


def test_graphs_and_kernels_are_compared_apart() -> None:
    others = [replace(each, kernel="cosine") for each in POINTS] + [
        replace(each, graph="karate") for each in POINTS[:2]
    ]
    found = compare([*POINTS, *others], 60)
    assert [(each.graph, each.kernel) for each in found] == [
        ("sphere", "heat"),
        ("sphere", "cosine"),
        ("karate", "heat"),
    ]
    assert found[2].errors[Curve("resampled")] is None
    assert found[2].ratio(by_pairs=False) is None


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(30, 0.4), (120, 0.1)], 0.2),
        ([(60, 0.3), (120, 0.1)], 0.3),
        ([(30, 1e-9)], 0.0),  # exact already with fewer
        ([(30, 0.4), (120, 1e-9)], 0.4),  # nothing is interpolated towards exactness
        ([(30, 0.4)], None),  # nothing as dear
        ([(80, 0.4)], None),  # nothing as cheap
        ([(120, 0.1), (30, 0.4)], 0.2),  # in any order
    ],
)
def test_errors_are_interpolated_in_logarithms(
    points: list[tuple[float, float]], expected: float | None
) -> None:
    found = error_at([point("iid", *each) for each in points], Curve("iid"), 60)
    assert found == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("iid", "resampled", "expected"),
    [(0.2, 1e-9, math.inf), (1e-9, 0.1, 0.0), (1e-9, 1e-9, math.nan), (0.2, 0.1, 2.0)],
)
def test_ratios_tell_of_exact_sides(iid: float, resampled: float, expected: float) -> None:
    (found,) = compare([point("iid", 60, iid), point("resampled", 60, resampled)], 60)
    assert found.ratio(by_pairs=False) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (12.34, "12.3"),
        (math.inf, "exact"),
        (0.0, "iid exact"),
        (math.nan, "both exact"),
        (None, "-"),
    ],
)
def test_ratios_as_text(ratio: float | None, text: str) -> None:
    assert format_ratio(ratio) == text


def test_errors_as_text() -> None:
    assert [format_error(each) for each in (0.01234, 0.0, None)] == ["0.0123", "exact", "-"]
    assert [
        format_mean(each) for each in (Mean(0.5, 0.01), Mean(0.5, math.nan), Mean(1e-9, 0.0))
    ] == [
        "0.5 ± 0.01",
        "0.5",
        "exact",
    ]


def sample(seed: int, error: float, setting: float = 4) -> Sample:
    return Sample(
        "er",
        20,
        "heat",
        "iid",
        setting,
        seed,
        1,
        8 + seed,
        8 + seed,
        18,
        error,
        error,
        error,
        0.0,
        1.0,
    )


def test_samples_are_averaged_with_their_standard_error() -> None:
    first, second = summarize(
        [sample(0, 1.0), sample(1, 2.0), sample(2, 3.0), sample(0, 0.5, setting=8)]
    )
    assert first.repeats == 3
    assert first.error == pytest.approx((2.0, 1 / math.sqrt(3)))
    assert first.entries.value == 9
    assert (second.setting, second.repeats) == (8, 1)
    assert math.isnan(second.error.error)


def test_files_hold_means_and_standard_errors(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "errors.csv",
        summarize([sample(0, 1.0), sample(1, 3.0), sample(0, 0.5, setting=8)]),
        "abacus",
    )
    rows = list(csv.DictReader((tmp_path / "errors.csv").read_text().splitlines()))
    assert [(row["setting"], row["repeats"], row["error"], row["error_se"]) for row in rows] == [
        ("4", "2", "2.0", "1.0"),
        ("8", "1", "0.5", ""),
    ]
    assert {row["machine"] for row in rows} == {"abacus"}
    with pytest.raises(ValueError, match="`records` must be at least one"):
        write_csv(tmp_path / "errors.csv", [])


@pytest.mark.parametrize("full", [False, True])
def test_report_shows_errors_ratios_and_what_they_mean(
    full: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    print_report(make_console(), POINTS, compare(POINTS, 60), CHOSEN, full)
    output = capsys.readouterr().out
    lines = [line.split() for line in output.splitlines()]
    assert ["sphere", "heat", "60", "0.2", "0.1", "0.01", "-", "10", "-"] in lines
    assert ["sphere", "heat", "60", "0.4", "20", "-"] in lines
    assert "truncated*" in output
    assert "not squared" in output
    assert "by up to 0.25 (iid-symmetric, heat, sphere)" in output
    assert ("0.4 ± 0.04" in output) == full


def test_report_without_products_has_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    points = [each for each in POINTS if each.estimator == "resampled"]
    print_report(make_console(), points, compare(points, 60), CHOSEN[2:3], full=False)
    output = capsys.readouterr().out
    assert "pairs of the product" not in output
    assert "beyond K hops" not in output


@pytest.mark.parametrize("points", [POINTS, POINTS[:1], []], ids=["some", "one", "none"])
def test_picture_is_drawn_whatever_was_measured(points: list[Point], tmp_path: Path) -> None:
    write_plot(tmp_path / "errors.png", points, "heat", "abacus")
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")
