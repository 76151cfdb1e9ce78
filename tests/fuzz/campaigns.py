"""All campaigns by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import edits, files, forward, gradient, kill, state


class Campaign(NamedTuple):
    """A function of a seed that raises where the library is wrong; its usual number of cases."""

    case: Callable[[int], None]
    cases: int


CAMPAIGNS = {
    module.__name__.rpartition(".")[2]: Campaign(module.case, module.CASES)
    for module in (edits, files, forward, gradient, kill, state)
}
