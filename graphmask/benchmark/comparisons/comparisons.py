"""What is compared with what, and the ratio aimed at. To add a comparison, extend COMPARISONS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphmask._console import find_named

from . import sides
from .sides import Side


@dataclass(frozen=True)
class Comparison:
    """A pair of sides and a target.

    Args:
        name: as in tables and on the command line.
        ours: the side whose time is divided.
        theirs: the side that it is divided by.
        most: the largest ratio that meets the target.
        per_entry: whether times are those per stored mask entry. (default: :obj:`False`)
        most_error: the largest ratio of the relative Frobenius errors of both masks that meets the
            target, where errors are compared, too. (default: :obj:`None`)
        batched: whether sides run on a batch of molecules, not on large graphs. (default:
            :obj:`False`)
    """

    name: str
    ours: Side
    theirs: Side
    most: float
    per_entry: bool = False
    most_error: float | None = None
    batched: bool = False

    @property
    def about(self) -> str:
        """Both sides, in one line."""
        return f"{self.ours.about}; over {self.theirs.about}" + (
            ", both per mask entry" if self.per_entry else ""
        )


COMPARISONS: tuple[Comparison, ...] = (
    Comparison("performer", sides.LAYER, sides.PERFORMER, most=1.0),
    Comparison("gps", sides.LAYER, sides.GPS, most=1 / 50),
    Comparison("published", sides.DIFFUSION, sides.PUBLISHED, most=1 / 5, most_error=1 / 10),
    Comparison("entry", sides.LAYER, sides.CONV, most=1 / 8, per_entry=True),
    Comparison("step", sides.MASKED_STEP, sides.UNMASKED_STEP, most=1.5),
    Comparison("molecules", sides.NEW_BATCH, sides.DENSE_BATCH, most=1 / 2, batched=True),
    Comparison("molecules-known", sides.KNOWN_BATCH, sides.DENSE_BATCH, most=1 / 2, batched=True),
)


def find_comparisons(names: Sequence[str]) -> tuple[Comparison, ...]:
    """Comparisons by name, in the order asked for.

    Raises:
        ValueError: for an unknown name; it lists the known ones.

    Example:
        >>> [comparison.theirs.name for comparison in find_comparisons(["step", "gps"])]
        ['global-step', 'gps']
    """
    return find_named("only", names, COMPARISONS)
