"""Short tables for notebooks."""

from __future__ import annotations

import html
from collections.abc import Mapping

from torch import Tensor

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def html_table(title: str, rows: Mapping[str, object]) -> str:
    """A table of two columns; names and values are escaped."""
    lines = "".join(
        f'<tr><td style="text-align:left"><b>{html.escape(str(name))}</b></td>'
        f'<td style="text-align:left">{html.escape(str(value))}</td></tr>'
        for name, value in rows.items()
    )
    return (
        f"<table><caption><code>{html.escape(title)}</code></caption><tbody>{lines}</tbody></table>"
    )


def format_bytes(count: float) -> str:
    """Bytes in a unit of their size: 12 bytes, 3 MiB."""
    power = 0
    while count >= 1024 and power < len(_UNITS) - 1:
        count, power = count / 1024, power + 1
    return f"{count:.3g} {_UNITS[power]}"


def nbytes(*tensors: Tensor | None) -> int:
    """Bytes of tensors."""
    return sum(x.numel() * x.element_size() for x in tensors if x is not None)
