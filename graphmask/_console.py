"""The terminal: options read from the command line, and tables printed to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from ._checks import value_error
from .extras import require

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Columns of a console that is not a terminal, such as a log file.
_LOG_WIDTH = 160

T = TypeVar("T")


class Named(Protocol):
    """An object with a name, by which a command line selects it."""

    @property
    def name(self) -> str:
        """As in tables and on the command line."""


NamedT = TypeVar("NamedT", bound=Named)


def split(text: str) -> list[str]:
    """Split names at commas.

    Example:
        >>> from graphmask._console import split
        >>> split("walk, global")
        ['walk', 'global']
    """
    return [name.strip() for name in text.split(",")]


def find_named(
    argument: str, names: Iterable[str], objects: Sequence[NamedT]
) -> tuple[NamedT, ...]:
    """Select objects by name, in the order of the names.

    Args:
        argument: the name of the argument, for the error.
        names: of the objects wanted.
        objects: all of them.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    by_name = {item.name: item for item in objects}
    selected = tuple(names)
    for name in selected:
        if name not in by_name:
            raise value_error(argument, f"among {', '.join(by_name)}", name or "an empty name")
    return tuple(by_name[name] for name in selected)


def checked(options: str, make: Callable[[], T]) -> T:
    """Call ``make``; errors about values become the command line's own error.

    Args:
        options: the options that ``make`` reads, for the error.
        make: builds an object from options.

    Raises:
        typer.BadParameter: where ``make`` raises a ValueError, TypeError, ImportError or OSError.
    """
    try:
        return make()
    except (ValueError, TypeError, ImportError, OSError) as error:
        raise require("typer", extra="cli").BadParameter(f"{error}", param_hint=options) from error


def make_console() -> Console:
    """Make a console on the standard output, wide if that is a file; names are no markup.

    Raises:
        MissingExtraError: without rich.
    """
    module = require("rich.console", extra="cli")
    plain = {"markup": False, "emoji": False}
    console = module.Console(**plain)
    return console if console.is_terminal else module.Console(width=_LOG_WIDTH, **plain)


def empty_table(title: str) -> Table:
    """Make a table without columns and rows.

    Raises:
        MissingExtraError: without rich.
    """
    # A Text, since rich reads "[ms]" in a string as markup.
    text = require("rich.text", extra="cli").Text(title, style="bold")
    table = require("rich.table", extra="cli").Table(title=text, title_justify="left")
    table.box = require("rich.box", extra="cli").SIMPLE
    return table


def make_fact_table(title: str, values: Mapping[str, str]) -> Table:
    """Make a table of two columns, names and values.

    Raises:
        MissingExtraError: without rich.
    """
    table = empty_table(title)
    table.show_header = False
    table.add_column("name", no_wrap=True)
    table.add_column("value")
    for name, value in values.items():
        table.add_row(name, value)
    return table


def format_number(value: float) -> str:
    """Format with three significant digits; whole numbers from 100 on with all digits.

    Example:
        >>> from graphmask._console import format_number
        >>> format_number(0.012345), format_number(12345.6)
        ('0.0123', '12,346')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
