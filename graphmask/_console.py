"""The terminal: options read from the command line, and tables printed to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from ._checks import value_error
from .extras import require

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Columns of a console that is not a terminal, such as a log file.
_LOG_WIDTH = 160

T = TypeVar("T")


def split(text: str) -> list[str]:
    """Split names at commas."""
    return [name.strip() for name in text.split(",")]


def find_named(argument: str, names: Sequence[str], objects: Sequence[T]) -> tuple[T, ...]:
    """Select objects by their ``name``, in the order of the names; others are an error."""
    by_name = {attrgetter("name")(item): item for item in objects}
    for name in names:
        if name not in by_name:
            raise value_error(argument, f"among {', '.join(by_name)}", name or "an empty name")
    return tuple(by_name[name] for name in names)


def checked(options: str, make: Callable[[], T]) -> T:
    """Call ``make``; its errors become the command line's own, about the options it reads."""
    try:
        return make()
    except (ValueError, TypeError, ImportError, OSError) as error:
        raise require("typer", extra="cli").BadParameter(f"{error}", param_hint=options) from error


def make_console() -> Console:
    """Make a console on the standard output, wide if that is a file; names are no markup."""
    module = require("rich.console", extra="cli")
    plain = {"markup": False, "emoji": False}
    console = module.Console(**plain)
    return console if console.is_terminal else module.Console(width=_LOG_WIDTH, **plain)


def empty_table(title: str) -> Table:
    """Make a table without columns and rows."""
    # A Text, since rich reads "[ms]" in a string as markup.
    text = require("rich.text", extra="cli").Text(title, style="bold")
    table = require("rich.table", extra="cli").Table(title=text, title_justify="left")
    table.box = require("rich.box", extra="cli").SIMPLE
    return table


def make_fact_table(title: str, values: Mapping[str, str]) -> Table:
    """Make a table of two columns, names and values."""
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
