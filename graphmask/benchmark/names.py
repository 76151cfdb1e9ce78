"""Things that are chosen by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from graphmask._checks import refuse


class Named(Protocol):
    """What has a name."""

    @property
    def name(self) -> str:
        """As in tables and on the command line."""


T = TypeVar("T", bound=Named)


def find_named(argument: str, names: Iterable[str], known: Sequence[T]) -> tuple[T, ...]:
    """Things by name, in the order asked for.

    Args:
        argument: what the names were given as.
        names: of things.
        known: all things there are.

    Raises:
        ValueError: for an unknown name; it lists the known ones.

    Example:
        >>> from graphmask.benchmark.contenders import CONTENDERS
        >>> find_named("contenders", ["sdpa"], CONTENDERS)[0].library
        'torch'
    """
    by_name = {each.name: each for each in known}
    chosen = tuple(names)
    for name in chosen:
        if name not in by_name:
            raise refuse(argument, f"among {', '.join(by_name)}", name or "an empty name")
    return tuple(by_name[name] for name in chosen)
