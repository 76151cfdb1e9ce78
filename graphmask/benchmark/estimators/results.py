"""What a study finds: a sample per draw and kernel, and points that average the samples of a setting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, NamedTuple

# Relative errors below this are those of float32, in which walks are stored.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Sample:
    """One draw under one kernel.

    Args:
        graph: its name.
        nodes: N.
        kernel: its name.
        estimator: its name.
        setting: walks per node, budget, or tolerance.
        seed: of the draw.
        sets: independent sets of walks, of one factor each.
        entries: stored per row; of each factor where there are several.
        pairs: that a row of the mask connects: ``entries``, or those of the product.
        support: pairs that a row of the exact mask connects.
        error: relative Frobenius error, of all entries.
        off_diagonal: the same of off-diagonal entries.
        diagonal: the same of diagonal entries.
        truncation: relative Frobenius distance of what is estimated from the series cut at K hops:
            other than 0 for products, whose factors are cut.
        seconds: to draw all sets for all nodes.
    """

    graph: str
    nodes: int
    kernel: str
    estimator: str
    setting: float
    seed: int
    sets: int
    entries: float
    pairs: float
    support: float
    error: float
    off_diagonal: float
    diagonal: float
    truncation: float
    seconds: float


class Mean(NamedTuple):
    """A mean over draws, and its standard error, NaN for one draw."""

    value: float
    error: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """The mean of some values."""
        return cls(
            fmean(values), stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        )


@dataclass(frozen=True)
class Point:
    """An estimator at one setting, on one graph and kernel, over several draws.

    Fields as in :class:`Sample`.
    """

    graph: str
    nodes: int
    kernel: str
    estimator: str
    setting: float
    sets: int
    repeats: int
    entries: Mean
    pairs: Mean
    support: float
    error: Mean
    off_diagonal: Mean
    diagonal: Mean
    truncation: float
    seconds: Mean

    @property
    def exact(self) -> bool:
        """Whether the error is rounding."""
        return self.error.value < ROUNDING

    def row(self) -> dict[str, Any]:
        """As in a table: means, and their standard errors in columns that end in ``_se``, empty for one draw."""
        row: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, Mean):
                row |= {
                    name: value.value,
                    f"{name}_se": None if math.isnan(value.error) else value.error,
                }
            else:
                row[name] = value
        return row


def summarize(samples: Iterable[Sample]) -> list[Point]:
    """The points of samples, in order of first appearance.

    Example:
        >>> numbers = dict(entries=8, pairs=8, support=9, off_diagonal=0, diagonal=0, truncation=0, seconds=1)
        >>> samples = [Sample("er", 20, "heat", "iid", 4, seed, 1, error=error, **numbers) for seed, error in ((0, 1), (1, 3))]
        >>> summarize(samples)[0].error
        Mean(value=2.0, error=1.0)
    """
    groups: dict[tuple[str, str, str, float], list[Sample]] = {}
    for sample in samples:
        groups.setdefault(
            (sample.graph, sample.kernel, sample.estimator, sample.setting), []
        ).append(sample)
    return [_average(group) for group in groups.values()]


def _average(group: Sequence[Sample]) -> Point:
    shared = {name: getattr(group[0], name) for name in _SHARED}
    means: dict[str, Any] = {
        name: Mean.of([getattr(sample, name) for sample in group]) for name in _AVERAGED
    }
    return Point(**shared, repeats=len(group), **means)


_AVERAGED = ("entries", "pairs", "error", "off_diagonal", "diagonal", "seconds")
_SHARED = ("graph", "nodes", "kernel", "estimator", "setting", "sets", "support", "truncation")
