"""Escapes plain-text formulas in docstrings for reStructuredText.

A bar is an absolute value there, never a substitution.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sphinx.application import Sphinx

LITERAL = re.compile(r"(``.*?``|:\w+:`.*?`|`.*?`)")
# "K. (default: 8)" would begin an enumerated list.
LETTER = re.compile(r"^(\s*:\w+ [^:]+: )(\w\.\s)")
BLOCK = re.compile(r"\s*(\.\. |.*::$)")


def prepare(
    _app: Sphinx, what: str, _name: str, value: Any, _options: Any, lines: list[str]
) -> None:
    """Escape the formulas of a docstring; describe constants, which have no docstring."""
    lines[:] = [_constant(value), ""] if what == "data" else list(_with_formulas(lines))


def _constant(value: Any) -> str:
    if not isinstance(value, Mapping):
        return f"A {type(value).__name__}."
    keys = ", ".join(f"``{key}``" for key in value)
    return f"A {type(value).__name__} with the keys {keys}."


def _with_formulas(lines: list[str]) -> Iterator[str]:
    block: int | None = None  # indentation of the current directive or literal block
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
        # The dot of a product would end the first sentence, which tables show.
        yield "".join(
            part if LITERAL.fullmatch(part) else part.replace("|", "\\|") for part in parts
        ).replace(" . ", " · ")


def setup(app: Sphinx) -> dict[str, bool]:
    """Process docstrings after napoleon."""
    app.connect("autodoc-process-docstring", prepare, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
