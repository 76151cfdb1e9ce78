"""What the commands of the benchmarks share in reading their options."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
import typer
from rich.console import Console

from graphmask._checks import check_integer, value_error
from graphmask._console import make_console, split
from graphmask._machine import check_device, describe_machine, summarize
from graphmask.extras import require

from .page import Report, page_path
from .records import Record, write_csv, write_json

# As shells tell of an interrupt at the keyboard.
INTERRUPTED = 130

T = TypeVar("T")


def split_sizes(text: str) -> list[int]:
    """Integers with commas between them.

    Raises:
        ValueError: for anything else.
    """
    try:
        return [int(size) for size in split(text)]
    except ValueError:
        raise value_error(
            "nodes", "integers with commas between them, such as 1024,4096", text
        ) from None


def given(**values: Any) -> dict[str, Any]:
    """Those that are not :obj:`None`: defaults are stated once, where they are read."""
    return {name: value for name, value in values.items() if value is not None}


def check_files(
    csv: Path | None, plot: Path | None, json: Path | None = None, html: Path | None = None
) -> None:
    """Refuse files that cannot be written, and pictures without matplotlib, before hours are spent."""
    for name, path in (("csv", csv), ("json", json), ("plot", plot), ("html", html)):
        if path is not None:
            _check_writable(name, path)
    if plot is not None:
        require("matplotlib.figure", extra="viz")
    if html is not None:
        require("plotly.graph_objects", extra="viz")


def _check_writable(name: str, path: Path) -> None:
    target = path if path.exists() else path.parent
    if path.is_dir() or not path.parent.is_dir() or not os.access(target, os.W_OK):
        raise value_error(name, "a file in a folder that exists and can be written", str(path))


@dataclass(frozen=True)
class Common:
    """What every benchmark is told, and where it writes what it finds.

    Args:
        device: ``"cpu"`` or a CUDA device.
        threads: of torch, or :obj:`None` for torch's own choice.
        seed: of all random numbers.
        csv: a file for the table, or :obj:`None`.
        json: a file for all that was found, or :obj:`None`.
        html: a file for the page, or :obj:`None` for one beside the other files.
    """

    device: str = "cpu"
    threads: int | None = None
    seed: int = 0
    csv: Path | None = None
    json: Path | None = None
    html: Path | None = None

    def __post_init__(self) -> None:
        if self.threads is not None:
            check_integer("threads", self.threads, 1)
        check_device(self.device)
        check_files(self.csv, None, self.json, self.html)

    @cached_property
    def machine(self) -> dict[str, str]:
        """As it is before anything is measured."""
        return describe_machine(self.threads)

    def report(self, title: str, plot: Path | None = None) -> Report:
        """What prints, and then writes the page."""
        return Report(make_console(), page_path(self.html, self.json, self.csv, plot), title)

    def write(
        self,
        records: Sequence[Record],
        settings: Mapping[str, Any],
        summaries: Sequence[Any] | None = None,
    ) -> None:
        """Write the files, if there is anything to write.

        Args:
            records: rows of the table.
            settings: what was asked for beside the arguments of this class.
            summaries: in the JSON file. (default: :obj:`None`, the rows of the table)
        """
        if self.csv is not None and records:
            write_csv(self.csv, records, summarize(self.machine))
        if self.json is not None and records:
            rows = [each.row() for each in records] if summaries is None else summaries
            told = {"device": self.device, "threads": self.threads, "seed": self.seed, **settings}
            write_json(self.json, records, rows, told, self.machine)


def collect(
    run: Callable[[Callable[[str], object]], Iterable[T]], keep: Callable[[list[T]], object]
) -> tuple[list[T], bool]:
    """What a run yields, and whether it came to its end.

    Args:
        run: given what to tell its progress.
        keep: has all that was found after each find, so that an interrupt at the keyboard loses
            nothing.
    """
    found: list[T] = []
    with Console(stderr=True).status("starting") as status:
        try:
            for each in run(status.update):
                found.append(each)
                keep(found)
        except KeyboardInterrupt:
            typer.echo("interrupted: the rest is missing", err=True)
            return found, False
    return found, True


@contextmanager
def limited(threads: int | None) -> Iterator[None]:
    """That many threads of torch, and then as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
