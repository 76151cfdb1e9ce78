"""Files of results: a CSV table with a row per record, and JSON with all that was found and where."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from graphmask._checks import value_error


class Record(Protocol):
    """Something found, which knows its row in a table."""

    def row(self) -> dict[str, Any]:
        """Cells by column; :obj:`None` where there is nothing."""


def write_csv(path: str | Path, records: Sequence[Record], machine: str = "") -> None:
    """One row per record; cells are empty where there is nothing.

    Args:
        path: of the file, written anew.
        records: the rows, all of the same columns.
        machine: repeated in every row, so that files of several machines can be joined.

    Raises:
        ValueError: for no records.
        OSError: where the file cannot be written.

    Example:
        >>> import tempfile, pathlib
        >>> from graphmask.benchmark import Measurement, write_csv
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "costs.csv"
        >>> write_csv(path, [Measurement("walk", "graphmask", nodes=64, forward=(0.5, 0.25, 0.125))])
        >>> path.read_text().splitlines()[1].split(",")[:8]
        ['walk', 'graphmask', '64', '', 'measured', '', '3', '0.25']
    """
    rows = [each.row() | {"machine": machine} for each in _some(records)]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_json(
    path: str | Path,
    records: Sequence[Any],
    summaries: Sequence[Any] = (),
    settings: Mapping[str, Any] | None = None,
    machine: Mapping[str, str] | None = None,
) -> None:
    """All of a run: ``machine``, ``settings``, ``measurements`` with every round, and ``summaries``, what tables show.

    Args:
        path: of the file, written anew.
        records: the measurements, dataclasses.
        summaries: of several measurements each, dataclasses or mappings.
        settings: what was asked for.
        machine: see :func:`graphmask.benchmark.describe_machine`.

    NaN and infinity, which JSON does not know, become ``null``.

    Raises:
        ValueError: for no records.
        OSError: where the file cannot be written.

    Example:
        >>> import json, tempfile, pathlib
        >>> from graphmask.benchmark import Measurement, write_json
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "costs.json"
        >>> write_json(path, [Measurement("walk", "graphmask", nodes=64, forward=(0.5, 0.25))], settings={"threads": 2})
        >>> json.loads(path.read_text())["measurements"][0]["forward"]
        [0.5, 0.25]
    """
    whole = {
        "machine": machine or {},
        "settings": settings or {},
        "measurements": _some(records),
        "summaries": summaries,
    }
    Path(path).write_text(
        json.dumps(to_plain(whole), indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )


def to_plain(value: Any) -> Any:
    """What JSON can hold: dataclasses and named tuples as objects, ``None`` for what is not finite, texts of everything else.

    Example:
        >>> to_plain({"slope": float("nan"), "sizes": (64, 128)})
        {'slope': None, 'sizes': [64, 128]}
    """
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): to_plain(each) for key, each in value.items()}
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if hasattr(value, "_asdict"):
        return to_plain(value._asdict())
    return [to_plain(each) for each in value] if isinstance(value, Sequence) else str(value)


def _some(records: Sequence[Any]) -> Sequence[Any]:
    if not records:
        raise value_error("records", "at least one", records)
    return records
