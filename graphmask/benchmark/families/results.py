"""What a run finds of each family: how its costs grow, beside how its definition does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from graphmask.benchmark.results import QUANTITIES, Measurement, Status, by_contender, fit_exponent

from .families import BASE, Family


class FamilyCosts(NamedTuple):
    """A family over all sizes.

    Times are those of the fastest rounds: what else a machine does only adds to them.

    Args:
        family: its name.
        ground: the kind of graph.
        definition: multiply-adds of the mask's product, as a formula.
        defined: exponent of those multiply-adds over the larger half of the sizes.
        exponent: of the time of a forward and backward call, over the larger half of the sizes.
        exponent_of_all: the same over all sizes.
        memory: exponent of the peak of memory, over the larger half of the sizes.
        nodes: the largest size that was measured; 0 for none.
        seconds: of a forward and backward call there.
        ratio: to the same call under GlobalMask, where that was measured there, too.
        peak: MiB there.
        prepare: seconds there of what is made once per graph.
        prepare_exponent: of those seconds, over the larger half of the sizes.
        note: why larger sizes were not measured.
    """

    family: str
    ground: str
    definition: str
    defined: float
    exponent: float
    exponent_of_all: float
    memory: float
    nodes: int
    seconds: float | None = None
    ratio: float | None = None
    peak: float | None = None
    prepare: float | None = None
    prepare_exponent: float = float("nan")
    note: str = ""


def summarize(measurements: Sequence[Measurement], families: Sequence[Family]) -> list[FamilyCosts]:
    """One row per family, in their order.

    Example:
        >>> from graphmask.benchmark.families import find_families
        >>> runs = [Measurement("walk", "graphmask", n, both=(1e-6 * n,), multiply_adds=64 * n) for n in (64, 128, 256)]
        >>> (found,) = summarize(runs, find_families(["walk"]))
        >>> found.definition, round(found.defined, 9), round(found.exponent, 9), found.nodes
        ('N p', 1.0, 1.0, 256)
    """
    groups = by_contender(measurements)
    base = _fastest(groups.get(BASE, ()))
    return [
        _summarize(family, groups[family.name], base)
        for family in families
        if family.name in groups
    ]


def _fastest(group: Sequence[Measurement]) -> dict[int, float]:
    """Seconds of a forward and backward call by number of nodes."""
    return {each.nodes: min(each.both) for each in group if each.both}


def _summarize(family: Family, group: Sequence[Measurement], base: dict[int, float]) -> FamilyCosts:
    measured = [each for each in group if each.status is Status.MEASURED]
    largest = max(measured, key=lambda each: each.nodes, default=group[0])
    both = _fastest(measured)
    seconds, rival = both.get(largest.nodes), base.get(largest.nodes)
    peak, prepare = (QUANTITIES[name].values(measured) for name in ("peak", "prepare"))
    work = {each.nodes: each.multiply_adds for each in measured if each.multiply_adds}
    return FamilyCosts(
        family.name,
        family.ground.name,
        family.make(largest.nodes).cost,
        fit_exponent(work),
        fit_exponent(both),
        fit_exponent(both, share=1.0),
        fit_exponent(peak),
        largest.nodes if measured else 0,
        seconds,
        seconds / rival if seconds and rival else None,
        largest.peak,
        largest.prepare,
        fit_exponent(prepare),
        next((each.note for each in group if each.note), ""),
    )
