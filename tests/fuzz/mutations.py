"""Damage, and what files of other programs look like: bytes, texts and arrays that were altered."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np

from .campaign import Draw

_NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1e39",
    "1e400",
    "99999999999",
    "1.5",
    "abc",
    "",
    "7e",
    "0x1",
)
_SEPARATORS = (" ", "\t", ",", ";", "|", "  ", ", ")
_ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "latin-1", "utf-32")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


class Marker:
    """Creates a folder when it is unpickled."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.mkdir, (self.folder,)


def mutate(draw: Draw, content: bytes, marker: str) -> tuple[str, bytes]:
    """Return the name of a mutation and the mutated content of a file."""
    if draw.chance(0.02):
        return "pickle", pickle.dumps(Marker(marker))
    kinds = [_flip, _truncate, _repeat, _erase, _append, _empty]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        kind = draw.choice(kinds)
        return kind.__name__, kind(draw, content)
    texts = [_line, _line, _number, _number, _number, _separator, _comma, _encoding, _ending, _word]
    kind = draw.choice([*kinds, *2 * texts])
    if kind in kinds:
        return kind.__name__, kind(draw, content)
    mutated = kind(draw, text)
    return kind.__name__, mutated if isinstance(mutated, bytes) else mutated.encode("utf-8")


def _flip(draw: Draw, content: bytes) -> bytes:
    altered = bytearray(content)
    for _ in range(draw.integer(1, 4) if content else 0):
        altered[draw.integer(0, len(content) - 1)] = draw.integer(0, 255)
    return bytes(altered)


def _truncate(draw: Draw, content: bytes) -> bytes:
    return content[: draw.integer(0, len(content))]


def _repeat(draw: Draw, content: bytes) -> bytes:
    a, b = sorted(draw.integer(0, len(content)) for _ in range(2))
    return content[:b] + content[a:]


def _erase(draw: Draw, content: bytes) -> bytes:
    a, b = sorted(draw.integer(0, len(content)) for _ in range(2))
    return content[:a] + b"\0" * (b - a) * draw.integer(0, 1) + content[b:]


def _append(draw: Draw, content: bytes) -> bytes:
    return content + draw.choice([b"\0", b"\n\n", b"garbage\n", b"\xff\xfe", b"# end\n", content])


def _empty(draw: Draw, content: bytes) -> bytes:
    return draw.choice([b"", b"\n", b" ", b"\xef\xbb\xbf"])


def _line(draw: Draw, text: str) -> str:
    """A line twice, removed, moved, cut or longer than the others."""
    lines = text.splitlines() or [""]
    place, other = (draw.integer(0, len(lines) - 1) for _ in range(2))
    line = lines[place]
    parts = re.split(r"([\s,;]+)", line)
    cut = "".join(parts[:-2])
    more = [line + end for end in (" 1", ",1", " # note", " \t")]
    other_lines = [[lines[other]], [cut], [""], ["# " + line], [" " + line], *([x] for x in more)]
    lines[place : place + 1] = draw.choice([[line, line], [], ["", line], *other_lines])
    return "\n".join(lines) + "\n"


def _number(draw: Draw, text: str) -> str:
    found = list(_NUMBER.finditer(text))
    if not found:
        return text
    hit = draw.choice(found)
    other = draw.choice(found).group()
    longer = hit.group() + draw.choice(["0", "1", ".5", "e9"])
    value = draw.choice([*_NUMBERS, other, other, longer, str(draw.integer(-3, 12))])
    return text[: hit.start()] + value + text[hit.end() :]


def _separator(draw: Draw, text: str) -> str:
    old, new = draw.choice(_SEPARATORS), draw.choice(_SEPARATORS)
    count = draw.choice([-1, 1, 3])
    return text.replace(old, new, count)


def _comma(draw: Draw, text: str) -> str:
    """Decimal commas, and separators that do not clash with them."""
    return re.sub(r"(\d)\.(\d)", r"\1,\2", text.replace(",", ";") if draw.chance(0.5) else text)


def _encoding(draw: Draw, text: str) -> bytes:
    name = draw.choice(["", "é", "Ω"])
    return text.replace("e", name or "e", 1).encode(draw.choice(_ENCODINGS), "replace")


def _ending(draw: Draw, text: str) -> str:
    return text.replace("\n", draw.choice(["\r\n", "\r", "\n\n", " \n", "\u2028", "\x0b\n"]))


def _word(draw: Draw, text: str) -> str:
    words = re.findall(r"[A-Za-z_]+", text)
    if not words:
        return "name\n" + text
    word = draw.choice(words)
    return text.replace(
        word, draw.choice([word.lower(), word.upper(), "", "x" + word, '"' + word, word + "\0"]), 1
    )


def mutate_arrays(draw: Draw, arrays: dict[str, Any], marker: str) -> tuple[str, dict[str, Any]]:
    """Return the name of a mutation and arrays of which one is altered, or absent."""
    altered = {name: np.array(value) for name, value in arrays.items() if value is not None}
    name = draw.choice(altered)
    kind = draw.choice(["number", "number", "dtype", "rows", "shape", "name", "absent", "object"])
    value = altered.pop(name)
    if kind == "number" and value.size:
        place = draw.integer(0, value.size - 1)
        value = value.astype(draw.choice([value.dtype, np.float64, np.float32]))
        numbers = [-1, 0, 1e9, np.nan, np.inf, -np.inf, 1e38, 1.5, 255, 2**40]
        value.flat[place] = draw.choice(numbers if value.dtype.kind == "f" else [0, 1, 2, 100])
    elif kind == "dtype":
        types: list[Any] = [
            np.float16,
            np.float64,
            np.int8,
            np.uint64,
            bool,
            complex,
            "U8",
            ">f4",
            ">i8",
        ]
        value = value.astype(draw.choice(types))
    elif kind == "rows":
        value = draw.choice([value[:0], value[1:], value[:-1], np.concatenate([value, value])])
    elif kind == "shape":
        value = draw.choice(
            [value.T, value[None], value.reshape(-1), value[..., :-1], value[..., None]]
        )
    elif kind == "object":
        value = np.array([Marker(marker)] * max(1, len(value)), object)
    if kind != "absent":
        altered["x" + name if kind == "name" else name] = value
    return f"{kind} of {name}", altered
