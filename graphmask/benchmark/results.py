"""Measurements, their quantities and exponents, and the files that hold them."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from operator import attrgetter
from pathlib import Path
from statistics import linear_regression, median
from typing import Any, NamedTuple

from graphmask._atomic import replacing, write_text
from graphmask._checks import value_error
from graphmask._deprecation import deprecated_arguments

# Memory is counted in pages of at least this many MiB, and a logarithm needs a positive number.
_SMALLEST = 2**-8


class Status(str, Enum):
    """The end of a measurement."""

    MEASURED = "measured"
    TIME = "time limit"
    MEMORY = "memory limit"
    FAILED = "failed"


@deprecated_arguments(contender="implementation")
@dataclass(frozen=True)
class Measurement:
    """One implementation at one size.

    Args:
        implementation, library: its name, and the library that ships it.
        nodes, edges: N and E.
        status, note: whether it was measured, or which limit cut it off and why.
        forward: seconds of a forward call without autograd, one per round; empty if cut off.
        both: seconds of a forward and a backward call, one per round; empty if cut off.
        peak: MiB above the baseline during the first forward and backward call.
        entries: stored by the mask, or :obj:`None` without one.
        prepare, prepare_peak: seconds to build what is built once per graph, such as walks, and MiB
            above the baseline meanwhile.
        first: seconds of the first forward and backward call, which may compile.
        multiply_adds: of the mask's product with one column per head, by its definition.
    """

    implementation: str
    library: str
    nodes: int
    edges: int | None = None
    status: Status = Status.MEASURED
    note: str = ""
    forward: tuple[float, ...] = ()
    both: tuple[float, ...] = ()
    peak: float | None = None
    entries: int | None = None
    prepare: float | None = None
    prepare_peak: float | None = None
    first: float | None = None
    multiply_adds: float | None = None

    @property
    def forward_seconds(self) -> float | None:
        """Median over the rounds."""
        return median(self.forward) if self.forward else None

    @property
    def both_seconds(self) -> float | None:
        """Median over the rounds."""
        return median(self.both) if self.both else None

    @property
    def entries_per_node(self) -> float | None:
        """Entries that the mask stores per node."""
        return None if self.entries is None else self.entries / self.nodes

    @property
    def spread(self) -> float:
        """Slowest over fastest round, minus 1; 0 for fewer than two rounds."""
        return max(self.both) / min(self.both) - 1 if len(self.both) > 1 else 0.0

    def row(self) -> dict[str, Any]:
        """Return the cells of a table row: times in seconds, memory in MiB."""
        columns = (
            "implementation library nodes edges status=status.value note forward_s=forward_seconds "
            "forward_backward_s=both_seconds first_call_s=first peak_mib=peak entries_per_node "
            "prepare_s=prepare prepare_peak_mib=prepare_peak multiply_adds"
        )
        return make_row(self, columns) | {
            "rounds": len(self.both) or len(self.forward),
            "fastest_forward_backward_s": min(self.both, default=None),
            "slowest_forward_backward_s": max(self.both, default=None),
        }


def make_row(record: object, columns: str) -> dict[str, Any]:
    """Collect ``column=attribute``, or ``column`` where the attribute has the same name."""
    row = {}
    for column in columns.split():
        name, _, attribute = column.partition("=")
        row[name] = attrgetter(attribute or name)(record)
    return row


class Quantity(NamedTuple):
    """A measured quantity; ``scale`` converts its values to ``unit``.

    ``per_node`` marks one that should not grow with the nodes.
    """

    title: str
    unit: str
    scale: float
    of: Callable[[Measurement], float | None]
    per_node: bool = False

    def values(self, measurements: Iterable[Measurement]) -> dict[int, float]:
        """Return scaled values by number of nodes, without those that are unknown."""
        values = ((run.nodes, self.of(run)) for run in measurements)
        return {nodes: value * self.scale for nodes, value in values if value is not None}


def _peak_per_node(run: Measurement) -> float | None:
    return run.peak and run.peak / run.nodes


_PREPARED = "Built once per graph: walks, topology or bias"

QUANTITIES = {
    "forward": Quantity("Forward", "ms", 1e3, lambda run: run.forward_seconds),
    "both": Quantity("Forward + backward", "ms", 1e3, lambda run: run.both_seconds),
    "peak": Quantity("Peak memory above the baseline", "MiB", 1, lambda run: run.peak),
    "prepare": Quantity(_PREPARED, "ms", 1e3, lambda run: run.prepare),
    "first": Quantity("First forward + backward call", "ms", 1e3, lambda run: run.first),
    "share": Quantity("Peak memory per node", "bytes", 2**20, _peak_per_node, True),
}


def fit_exponent(values: Mapping[int, float], share: float = 0.5) -> float:
    """Fit the slope of log(value) against log(nodes) by least squares over the largest sizes.

    Args:
        values: by number of nodes.
        share: of the sizes that count, the largest ones and at least two. (default: :obj:`0.5`)

    Returns:
        The exponent; NaN for fewer than two sizes.

    Example:
        >>> from graphmask.benchmark import fit_exponent
        >>> round(fit_exponent({n: 3e-9 * n**2 for n in (64, 128, 256, 512)}), 9)
        2.0
    """
    sizes = sorted(values)[-max(2, math.ceil(len(values) * share)) :]
    if len(sizes) < 2:
        return math.nan
    logarithms = [math.log(values[size] or _SMALLEST) for size in sizes]
    return linear_regression([math.log(size) for size in sizes], logarithms).slope


def extrapolate(values: Mapping[int, float], nodes: int) -> float | None:
    """Evaluate the power law through the last two sizes at a larger one; None without two.

    The exponent is kept between 0 and 3, so that one noisy value cuts no implementation off.
    """
    if len(values) < 2:
        return None
    largest = max(values)
    exponent = fit_exponent(dict(sorted(values.items())[-2:]), share=1.0)
    return values[largest] * (nodes / largest) ** min(max(exponent, 0), 3)


def group_by_name(measurements: Sequence[Measurement]) -> dict[str, list[Measurement]]:
    """Group measurements by name, in order of appearance."""
    names = dict.fromkeys(run.implementation for run in measurements)
    return {name: [run for run in measurements if run.implementation == name] for name in names}


def write_csv(path: str | Path, records: Sequence[Any], machine: str = "") -> None:
    """Write one row per record; unknown cells are empty.

    Args:
        path: of the file, which is overwritten.
        records: mappings with the same cells, or objects whose ``row()`` returns them.
        machine: repeated in every row, so that files of several machines can be joined.

    Raises:
        ValueError: for no records.

    Example:
        >>> from graphmask.benchmark import Measurement, write_csv
        >>> run = Measurement("walk", "graphmask", nodes=64, forward=(0.5, 0.25))
        >>> write_csv("costs.csv", [run])  # doctest: +SKIP
    """
    if not records:
        raise value_error("records", "at least one", records)
    rows = [
        {**(record if isinstance(record, Mapping) else record.row()), "machine": machine}
        for record in records
    ]
    with replacing(path) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_json(
    path: str | Path,
    records: Sequence[Any],
    settings: Mapping[str, Any] | None = None,
    machine: Mapping[str, str] | None = None,
) -> None:
    """Write ``machine``, ``settings``, and ``measurements`` with every round.

    NaN and infinity, which JSON lacks, become ``null``.

    Args:
        path: of the file, which is overwritten.
        records: the measurements, dataclasses.
        settings: of the run.
        machine: see :func:`graphmask.benchmark.describe_machine`.

    Raises:
        ValueError: for no records.
    """
    if not records:
        raise value_error("records", "at least one", records)
    measurements = [asdict(record) for record in records]
    content = {"machine": machine or {}, "settings": settings or {}, "measurements": measurements}
    plain = json.loads(json.dumps(content, default=str), parse_constant=lambda _: None)
    write_text(path, json.dumps(plain, indent=1) + "\n")
