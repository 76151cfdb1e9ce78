"""What a run finds: one measurement per contender and size, and exponents fitted on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import fmean, median
from typing import Any, NamedTuple

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
        forward: seconds of a forward call without autograd, one per round; none for who was cut
            off.
        both: seconds of a forward and a backward call, one per round; none for who was cut off.
        peak: MiB above the baseline during the first forward and backward call, with all that the
            contender holds.
        entries: stored by the mask, or :obj:`None` where there are none.
        prepare: seconds to make what is made once per graph, such as walks; :obj:`None` where
            nothing is.
        prepare_peak: MiB above the baseline while making it.
        first: seconds of the first forward and backward call, which also builds what later calls
            find ready.
        multiply_adds: of the mask's product with one column per head, by its definition;
            :obj:`None` where not told.
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
        """Stored by the mask."""
        return None if self.entries is None else self.entries / self.nodes

    @property
    def bytes_per_node(self) -> float | None:
        """At the peak."""
        return None if self.peak is None else self.peak * 2**20 / self.nodes

    @property
    def spread(self) -> float:
        """Slowest over fastest round of the forward and backward call, minus 1.

        0 for fewer than two rounds.
        """
        return max(self.both) / min(self.both) - 1 if len(self.both) > 1 else 0.0

    def row(self) -> dict[str, Any]:
        """As in a table: times in seconds, memory in MiB."""
        return {
            "contender": self.contender,
            "library": self.library,
            "nodes": self.nodes,
            "edges": self.edges,
            "status": self.status.value,
            "note": self.note,
            "rounds": len(self.both) or len(self.forward),
            "forward_s": self.forward_seconds,
            "forward_backward_s": self.both_seconds,
            "fastest_forward_backward_s": min(self.both, default=None),
            "slowest_forward_backward_s": max(self.both, default=None),
            "first_call_s": self.first,
            "peak_mib": self.peak,
            "entries_per_node": self.entries_per_node,
            "prepare_s": self.prepare,
            "prepare_peak_mib": self.prepare_peak,
            "multiply_adds": self.multiply_adds,
        }


class Quantity(NamedTuple):
    """A column of results: ``unit`` and ``scale`` turn its values into what people read.

    ``per_node`` tells of one that does not grow with the nodes.
    """

    title: str
    unit: str
    scale: float
    of: Callable[[Measurement], float | None]
    per_node: bool = False

    def values(self, measurements: Iterable[Measurement]) -> dict[int, float]:
        """Scaled values by number of nodes, where there are any."""
        found = ((each.nodes, self.of(each)) for each in measurements)
        return {nodes: value * self.scale for nodes, value in found if value is not None}


QUANTITIES = {
    "forward": Quantity("Forward", "ms", 1e3, lambda each: each.forward_seconds),
    "both": Quantity("Forward + backward", "ms", 1e3, lambda each: each.both_seconds),
    "peak": Quantity("Peak memory above the baseline", "MiB", 1, lambda each: each.peak),
    "prepare": Quantity(
        "Made once per graph: walks, topology or bias", "ms", 1e3, lambda each: each.prepare
    ),
    "first": Quantity("First forward + backward call", "ms", 1e3, lambda each: each.first),
    "share": Quantity(
        "Peak memory per node", "bytes", 1, lambda each: each.bytes_per_node, per_node=True
    ),
}


def fit_exponent(values: dict[int, float], share: float = 0.5) -> float:
    """The slope of log(value) against log(nodes) by least squares, over the larger half of the sizes, at least two.

    Args:
        values: by number of nodes.
        share: of the sizes, the largest ones, that count. (default: :obj:`0.5`)

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
    x = [math.log(size) for size in sizes]
    y = [math.log(max(values[size], _SMALLEST if values[size] == 0 else 0)) for size in sizes]
    mean_x, mean_y = fmean(x), fmean(y)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return slope / sum((a - mean_x) ** 2 for a in x)


def extrapolate(values: dict[int, float], nodes: int) -> float | None:
    """The power law through the last two sizes, read at a larger one.

    :obj:`None` where there are not two.

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


def summarize_growth(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    """For each contender and quantity the exponents of its growth, and its value at the largest size.

    Example:
        >>> from graphmask.benchmark import Measurement
        >>> found = summarize_growth([Measurement("walk", "graphmask", nodes=n, both=(1e-6 * n,)) for n in (64, 128, 256)])
        >>> found[0]["quantity"], round(found[0]["exponent"], 9), found[0]["largest_nodes"]
        ('Forward + backward', 1.0, 256)
    """
    found = []
    for contender, group in by_contender(measurements).items():
        for quantity in QUANTITIES.values():
            values = quantity.values(group)
            if values:
                found.append(
                    {
                        "contender": contender,
                        "quantity": quantity.title,
                        "unit": quantity.unit,
                        "exponent": fit_exponent(values),
                        "exponent_of_all_sizes": fit_exponent(values, share=1.0),
                        "largest_nodes": max(values),
                        "value_there": values[max(values)],
                    }
                )
    return found
