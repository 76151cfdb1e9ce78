"""Options, tables and files that all studies share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from graphmask._console import empty_table, find_named, format_number, make_console, split
from graphmask._machine import describe_machine, summarize
from graphmask.benchmark import write_csv

T = TypeVar("T")

Row = dict[str, Any]


class Study(argparse.ArgumentParser):
    """Options of a study: its own, and those that all studies have.

    Args:
        doc: the docstring of the script, whose first line is shown by ``--help``.
        smoke: values of options that make the study end in seconds.
    """

    def __init__(self, doc: str | None, smoke: Mapping[str, Any]) -> None:
        super().__init__(description=(doc or "").partition("\n")[0])
        self._smoke = smoke
        self.add_argument("--seed", type=int, default=0)
        self.add_argument("--threads", type=int, help="CPU threads (torch's choice)")
        self.add_argument("--csv", type=Path, help="write all results to this table")
        self.add_argument("--smoke", action="store_true", help="tiny settings, ends in seconds")

    def parse(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """Parse the command line, ``--smoke`` first, and set the number of threads."""
        words = sys.argv[1:] if arguments is None else arguments
        if "--smoke" in words:
            self.set_defaults(**self._smoke)
        options = self.parse_args(words)
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        return options

    def collect(self, rows: Iterable[Row], options: argparse.Namespace) -> list[Row]:
        """Collect rows, written after each one so that an interrupt loses nothing."""
        results: list[Row] = []
        machine = summarize(describe_machine(options.threads))
        try:
            for row in rows:
                results.append(row)
                if options.csv is not None:
                    write_csv(options.csv, results, machine)
        except KeyboardInterrupt:
            print("interrupted: the rest is missing", file=sys.stderr)
        print(machine)
        return results


def choose(items: Sequence[T]) -> Callable[[str], Sequence[T]]:
    """Make the type of an option that selects by names, such as ``walk,grf``."""

    def parse(text: str) -> Sequence[T]:
        try:
            return find_named("names", split(text), items)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def numbers(convert: Callable[[str], T]) -> Callable[[str], list[T]]:
    """Make the type of an option that lists numbers, such as ``64,128``."""

    def parse(text: str) -> list[T]:
        return [convert(word) for word in split(text)]

    parse.__name__ = f"list of {getattr(convert, '__name__', 'values')}"
    return parse


def progress(text: str) -> None:
    """Show the present step on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print rows of the same columns."""
    table = empty_table(title)
    table.padding = (0, 1, 0, 0)
    for name in rows[0]:
        text = any(isinstance(row[name], str) for row in rows)
        # Headings wrap at spaces.
        heading = name.replace("-", " ").replace("_", " ")
        table.add_column(heading, justify="left" if text else "right", no_wrap=text)
    for row in rows:
        table.add_row(*(map(format_value, row.values())))
    make_console().print(table)


def format_value(value: Any) -> str:
    """Format a cell: three digits for numbers, a dash for None and NaN.

    Example:
        >>> format_value(0.012345), format_value(1234567.0), format_value(None)
        ('0.0123', '1.2e+06', '-')
    """
    if value is None or value != value:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (int, float)):
        return str(value)
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3g}" if abs(value) < 1 else f"{value:.2g}"
    return format_number(value)
