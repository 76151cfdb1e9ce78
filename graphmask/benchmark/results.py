"""What a run finds: one measurement per contender and size, exponents fitted on them, and their CSV file."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

from graphmask._checks import refuse

# Below a page nothing can be told, and a logarithm needs a positive number.
_SMALLEST = 2**-8


class Status(str, Enum):
    """How a measurement ended."""

    MEASURED = "measured"
    TIME = "time limit"
    MEMORY = "memory limit"
    FAILED = "failed"


@dataclass(frozen=True)
class Measurement:
    """One contender at one size.

    Args:
        contender: its name.
        library: who ships it.
        nodes: N.
        edges: E.
        status: whether it was measured, or what cut it.
        note: why it was cut.
        forward: seconds of a forward call without autograd, one per round; none for who was cut off.
        both: seconds of a forward and a backward call, one per round; none for who was cut off.
        peak: MiB above the baseline during the first forward and backward call, with all that the contender holds.
        entries: stored by the mask, or :obj:`None` where there are none.
        prepare: seconds to make what is made once per graph, such as walks; :obj:`None` where nothing is.
        prepare_peak: MiB above the baseline while making it.
        first: seconds of the first forward and backward call, which also builds what later calls find ready.
    """

    contender: str
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
        """Stored by the mask."""
        return None if self.entries is None else self.entries / self.nodes

    @property
    def spread(self) -> float:
        """Slowest over fastest round of the forward and backward call, minus 1; 0 for fewer than two rounds."""
        return max(self.both) / min(self.both) - 1 if len(self.both) > 1 else 0.0


class Quantity(NamedTuple):
    """A column of results: ``unit`` and ``scale`` turn its values into what people read."""

    title: str
    unit: str
    scale: float
    of: Callable[[Measurement], float | None]

    def values(self, measurements: Iterable[Measurement]) -> dict[int, float]:
        """Scaled values by number of nodes, where there are any."""
        found = ((each.nodes, self.of(each)) for each in measurements)
        return {nodes: value * self.scale for nodes, value in found if value is not None}


QUANTITIES = {
    "forward": Quantity("Forward", "ms", 1e3, lambda each: each.forward_seconds),
    "both": Quantity("Forward + backward", "ms", 1e3, lambda each: each.both_seconds),
    "peak": Quantity("Peak memory above the baseline", "MiB", 1, lambda each: each.peak),
    "prepare": Quantity("Made once per graph: walks, topology or bias", "ms", 1e3, lambda each: each.prepare),
}


def fit_exponent(values: dict[int, float]) -> float:
    """The slope of log(value) against log(nodes) by least squares, over the larger half of the sizes, at least two.

    Args:
        values: by number of nodes.

    Returns:
        The exponent; NaN for fewer than two sizes.

    Example:
        >>> from graphmask.benchmark import fit_exponent
        >>> round(fit_exponent({n: 3e-9 * n**2 for n in (64, 128, 256, 512)}), 9)
        2.0
    """
    sizes = sorted(values)[-max(2, math.ceil(len(values) / 2)) :]
    if len(sizes) < 2:
        return math.nan
    x = [math.log(size) for size in sizes]
    y = [math.log(max(values[size], _SMALLEST if values[size] == 0 else 0)) for size in sizes]
    mean_x, mean_y = fmean(x), fmean(y)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return slope / sum((a - mean_x) ** 2 for a in x)


def extrapolate(values: dict[int, float], nodes: int) -> float | None:
    """The power law through the last two sizes, read at a larger one; :obj:`None` where there are not two.

    Its exponent is kept between 0 and 3, so that one noisy value does not cut a contender off.

    Example:
        >>> from graphmask.benchmark.results import extrapolate
        >>> round(extrapolate({100: 1.0, 200: 4.0}, 400), 9)
        16.0
    """
    if len(values) < 2:
        return None
    (small, low), (large, high) = sorted(values.items())[-2:]
    slope = math.log(max(high, _SMALLEST) / max(low, _SMALLEST)) / math.log(large / small)
    return high * (nodes / large) ** min(max(slope, 0), 3)


def by_contender(measurements: Sequence[Measurement]) -> dict[str, list[Measurement]]:
    """Measurements of each contender, in order of appearance."""
    groups: dict[str, list[Measurement]] = {}
    for each in measurements:
        groups.setdefault(each.contender, []).append(each)
    return groups


def write_csv(path: str | Path, measurements: Sequence[Measurement], machine: str = "") -> None:
    """One row per contender and size; times in seconds, memory in MiB, empty where nothing was measured.

    Args:
        path: of the file, written anew.
        measurements: the rows.
        machine: repeated in every row, so that files of several machines can be joined.

    Raises:
        ValueError: for no measurements.
        OSError: where the file cannot be written.

    Example:
        >>> import tempfile, pathlib
        >>> from graphmask.benchmark import Measurement, write_csv
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "costs.csv"
        >>> write_csv(path, [Measurement("walk", "graphmask", nodes=64, forward=(0.5, 0.25, 0.125))])
        >>> path.read_text().splitlines()[1].split(",")[:8]
        ['walk', 'graphmask', '64', '', 'measured', '', '3', '0.25']
    """
    if not measurements:
        raise refuse("measurements", "at least one", measurements)
    rows = [_row(each, machine) for each in measurements]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _row(each: Measurement, machine: str) -> dict[str, Any]:
    return {
        "contender": each.contender,
        "library": each.library,
        "nodes": each.nodes,
        "edges": each.edges,
        "status": each.status.value,
        "note": each.note,
        "rounds": len(each.both) or len(each.forward),
        "forward_s": each.forward_seconds,
        "forward_backward_s": each.both_seconds,
        "fastest_forward_backward_s": min(each.both, default=None),
        "slowest_forward_backward_s": max(each.both, default=None),
        "first_call_s": each.first,
        "peak_mib": each.peak,
        "entries_per_node": each.entries_per_node,
        "prepare_s": each.prepare,
        "prepare_peak_mib": each.prepare_peak,
        "machine": machine,
    }
