"""What a comparison finds: times of both sides by rounds, and the ratios of those of one round."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from graphmask.benchmark.statistics import Spread


class Errors(NamedTuple):
    """Relative Frobenius errors of both masks, and the entries per node of each of their factors and of their pairs."""

    ours: float
    theirs: float
    ours_entries: float
    theirs_entries: float
    theirs_pairs: float
    most: float

    @property
    def ratio(self) -> float:
        """Of the errors; 0 where ours is exact."""
        return self.ours / self.theirs if self.theirs else float(self.ours > 0)

    @property
    def met(self) -> bool:
        """Whether the ratio is as small as was aimed at."""
        return self.ratio <= self.most


@dataclass(frozen=True)
class Paired:
    """A comparison on one graph.

    Args:
        comparison: its name.
        graph: its name.
        nodes: N.
        edges: E.
        ours: name of our side.
        theirs: name of the other side.
        target: the largest ratio that meets it.
        ours_seconds: of a call, one per round.
        theirs_seconds: of a call, in the same rounds; none where a side failed.
        ours_entries: that our mask stores, where times are divided by them, or are known.
        theirs_entries: the same of the other side.
        per_entry: whether ratios are those of times per entry.
        errors: of both masks, where they are compared.
        note: why there are no times.
    """

    comparison: str
    graph: str
    nodes: int
    edges: int
    ours: str
    theirs: str
    target: float
    ours_seconds: tuple[float, ...] = ()
    theirs_seconds: tuple[float, ...] = ()
    ours_entries: int | None = None
    theirs_entries: int | None = None
    per_entry: bool = False
    errors: Errors | None = None
    note: str = ""

    @property
    def ratios(self) -> tuple[float, ...]:
        """Of our time over theirs, round by round."""
        share = 1.0
        if self.per_entry and self.ours_entries and self.theirs_entries:
            share = self.theirs_entries / self.ours_entries
        return tuple(
            share * a / b for a, b in zip(self.ours_seconds, self.theirs_seconds, strict=True)
        )

    @property
    def ratio(self) -> Spread | None:
        """The median of the ratios and its quartiles."""
        return Spread.of(self.ratios) if self.ratios else None

    @property
    def met(self) -> bool | None:
        """Whether the median is as small as was aimed at."""
        return None if self.ratio is None else self.ratio.middle <= self.target

    def row(self) -> dict[str, Any]:
        """What a line of the table says."""
        ratio, errors = self.ratio, self.errors
        return {
            "comparison": self.comparison,
            "graph": self.graph,
            "nodes": self.nodes,
            "edges": self.edges,
            "ours": self.ours,
            "theirs": self.theirs,
            "rounds": len(self.ours_seconds),
            "ours_s": median(self.ours_seconds) if ratio else None,
            "theirs_s": median(self.theirs_seconds) if ratio else None,
            "ours_entries_per_node": self.ours_entries and self.ours_entries / self.nodes,
            "theirs_entries_per_node": self.theirs_entries and self.theirs_entries / self.nodes,
            "per_entry": self.per_entry,
            "ratio": ratio and ratio.middle,
            "ratio_low": ratio and ratio.low,
            "ratio_high": ratio and ratio.high,
            "target": self.target,
            "met": self.met,
            "ours_error": errors and errors.ours,
            "theirs_error": errors and errors.theirs,
            "error_ratio": errors and errors.ratio,
            "error_target": errors and errors.most,
            "error_met": errors and errors.met,
            "note": self.note,
        }
