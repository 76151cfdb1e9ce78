"""What the commands of the benchmarks share in reading their options."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import typer

from graphmask._checks import refuse

from .extras import require

# As shells tell of an interrupt at the keyboard.
INTERRUPTED = 130

T = TypeVar("T")


def split(text: str) -> list[str]:
    """Names with commas between them."""
    return [part.strip() for part in text.split(",")]


def checked(options: str, make: Callable[[], T]) -> T:
    """What is made from options; a refusal becomes the command line's own kind of error."""
    try:
        return make()
    except (ValueError, TypeError, ImportError, OSError) as error:
        raise typer.BadParameter(f"{error}", param_hint=options) from error


def check_files(csv: Path | None, plot: Path | None) -> None:
    """Refuse files that cannot be written, and pictures without matplotlib, before hours are spent."""
    for name, path in (("csv", csv), ("plot", plot)):
        if path is not None:
            _check_writable(name, path)
    if plot is not None:
        require("matplotlib.figure", extra="viz")


def _check_writable(name: str, path: Path) -> None:
    target = path if path.exists() else path.parent
    if path.is_dir() or not path.parent.is_dir() or not os.access(target, os.W_OK):
        raise refuse(name, "a file in a folder that exists and can be written", str(path))
