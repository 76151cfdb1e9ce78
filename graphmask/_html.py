"""Short tables for notebooks."""

from __future__ import annotations

import html
from collections.abc import Mapping

from torch import Tensor

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def html_table(title: str, facts: Mapping[str, object]) -> str:
    """A table of two columns; whatever stands in the facts is text, and no HTML.

    Example:
        >>> from graphmask._html import html_table
        >>> "a &lt; b" in html_table("x", {"order": "a < b"})
        True
    """
    lines = "".join(
        f'<tr><td style="text-align:left"><b>{html.escape(str(name))}</b></td>'
        f'<td style="text-align:left">{html.escape(str(value))}</td></tr>'
        for name, value in facts.items()
    )
    return (
        f"<table><caption><code>{html.escape(title)}</code></caption><tbody>{lines}</tbody></table>"
    )


def format_bytes(number: float) -> str:
    """Bytes in the unit that suits them.

    Example:
        >>> from graphmask._html import format_bytes
        >>> format_bytes(12), format_bytes(3 * 2**20)
        ('12 bytes', '3 MiB')
    """
    power = 0
    while number >= 1024 and power < len(_UNITS) - 1:
        number, power = number / 1024, power + 1
    return f"{number:.3g} {_UNITS[power]}"


def nbytes(*tensors: Tensor | None) -> int:
    """Bytes of some tensors."""
    return sum(each.numel() * each.element_size() for each in tensors if each is not None)
