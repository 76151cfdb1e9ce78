"""Docstrings hold formulas as plain text.

There a bar is an absolute value, never a substitution of reStructuredText.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sphinx.application import Sphinx

LITERAL = re.compile(r"(``.*?``|:\w+:`.*?`|`.*?`)")
# "K. (default: 8)" would begin a list, by letters.
LETTER = re.compile(r"^(\s*:\w+ [^:]+: )(\w\.\s)")
BLOCK = re.compile(r"\s*(\.\. |.*::$)")


def prepare(
    _app: Sphinx, what: str, _name: str, thing: Any, _options: Any, lines: list[str]
) -> None:
    """Make a docstring fit for reStructuredText.

    Constants, which have none of their own, tell what they hold.
    """
    lines[:] = [_constant(thing), ""] if what == "data" else list(_with_formulas(lines))


def _constant(thing: Any) -> str:
    keys = (
        f" with the keys {', '.join(f'``{key}``' for key in thing)}"
        if isinstance(thing, Mapping)
        else ""
    )
    return f"A {type(thing).__name__}{keys}."


def _with_formulas(lines: list[str]) -> Iterator[str]:
    block: int | None = None  # the indentation of the directive or literal block that we are in
    for line in lines:
        indentation = len(line) - len(line.lstrip())
        if block is not None and line.strip() and indentation <= block:
            block = None
        if block is not None or line.lstrip().startswith(">>>"):
            yield line
            continue
        if BLOCK.match(line):
            block = indentation
        parts = LITERAL.split(line)
        parts[0] = LETTER.sub(r"\1\\\2", parts[0])
        # A product's dot would end the first sentence, which is all that tables show.
        yield "".join(
            part if LITERAL.fullmatch(part) else part.replace("|", "\\|") for part in parts
        ).replace(" . ", " · ")


def setup(app: Sphinx) -> dict[str, bool]:
    """Listen to autodoc, after napoleon."""
    app.connect("autodoc-process-docstring", prepare, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
