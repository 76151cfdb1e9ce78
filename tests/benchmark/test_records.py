from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graphmask.benchmark import Measurement, Status, write_csv, write_json
from graphmask.benchmark.bodies import BodyTimes
from graphmask.benchmark.comparisons import Errors, Paired
from graphmask.benchmark.results import summarize_growth

RECORDS = [
    Measurement(
        "walk",
        "graphmask",
        64,
        edges=320,
        forward=(0.5, 0.25),
        both=(1.0, 2.0, 4.0),
        peak=2.0,
        entries=640,
    ),
    Paired(
        "gps",
        "torus",
        64,
        320,
        "walk",
        "gps",
        0.02,
        (1.0, 2.0),
        (4.0, 4.0),
        640,
        None,
        errors=Errors(0.1, 0.2, 9, 8, 20, 0.1),
    ),
    BodyTimes("torus", 64, 640, "spmm", "gather", (1.0,), (2.0,), (0.5,), (0.25,)),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_rows_survive_a_table(record: Any, tmp_path: Path) -> None:
    write_csv(tmp_path / "found.csv", [record, record], "abacus")
    rows = list(csv.DictReader((tmp_path / "found.csv").read_text().splitlines()))
    expected = {name: "" if cell is None else str(cell) for name, cell in record.row().items()}
    assert rows == [expected | {"machine": "abacus"}] * 2


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_json_holds_every_round(record: Any, tmp_path: Path) -> None:
    settings, machine = {"nodes": (64,), "limit": math.inf}, {"cpu": "abacus"}
    write_json(tmp_path / "found.json", [record], [record.row()], settings, machine)
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["machine"] == machine
    assert found["settings"] == {"nodes": [64], "limit": None}
    assert found["summaries"] == [record.row()]
    (measurement,) = found["measurements"]
    for name in record.__dataclass_fields__:
        value = getattr(record, name)
        if isinstance(value, Errors):
            assert measurement[name] == value._asdict()
        else:
            assert measurement[name] == (list(value) if isinstance(value, tuple) else value)


def test_json_names_a_status(tmp_path: Path) -> None:
    write_json(tmp_path / "found.json", [Measurement("walk", "graphmask", 64, status=Status.TIME)])
    assert (
        json.loads((tmp_path / "found.json").read_text())["measurements"][0]["status"]
        == "time limit"
    )


@pytest.mark.parametrize("write", [write_csv, write_json])
def test_nothing_is_no_file(write: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`records` must be at least one"):
        write(tmp_path / "found", [])
    assert not (tmp_path / "found").exists()


def test_growth_is_fitted_over_the_larger_half_and_over_all() -> None:
    # Flat, and linear from 256 on.
    run = [
        Measurement("walk", "graphmask", n, both=(max(n, 256) * 1e-6,), peak=n / 2**20)
        for n in (64, 128, 256, 512)
    ]
    found = {each["quantity"]: each for each in summarize_growth(run)}
    both = found["Forward + backward"]
    assert both["exponent"] == pytest.approx(1)
    assert 0 < both["exponent_of_all_sizes"] < 0.5
    assert (both["largest_nodes"], both["value_there"]) == (512, pytest.approx(0.512))
    assert found["Peak memory per node"]["value_there"] == pytest.approx(1)
    assert "Forward" not in found
