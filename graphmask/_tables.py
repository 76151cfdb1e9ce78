"""Tables of text: CSV files, edge lists and SMILES, read cell by cell as they stand.

Rows come from the standard library's ``csv`` in its strict mode. A reader of data frames is no
substitute: it pads short rows, shifts long ones and joins ``"a"b``, without a word.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NUMBERS = re.compile(rf"{_NUMBER.pattern}([;,\s]+{_NUMBER.pattern})+", re.ASCII)
_NAMELESS = re.compile(r"(Unnamed: [\d.]+)?")
_RECORD = re.compile(r'([^"\r\n]|"[^"]*")*')
_QUOTED_WORDS = re.compile(r'"[^"]*"([ \t]+"[^"]*")+[ \t]*')
# The first line of a table for Excel.
_EXCEL = re.compile(r'\s*"?sep=(.)"?[ \t]*(?=[\r\n])', re.IGNORECASE)
# From here on numbers round to infinity in float32.
_FLOAT32_END = 2.0**128 - 2.0**103
_SEPARATOR_NAMES = {"\t": "tabs", ";": "semicolons", ",": "commas", " ": "blanks"}


class Row(NamedTuple):
    """Cells of a row, and the number of the line in which it begins, from 1."""

    line: int
    cells: list[str]


@contextmanager
def naming(file: object) -> Iterator[None]:
    """Name the file in the errors of the code inside."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error


def check_not_placeholder(raw: bytes) -> None:
    """Refuse what stands in the place of a file: a pointer of Git LFS, or a page of a server.

    Raises:
        ValueError: if the content begins as one of these does.
    """
    if raw.startswith(b"version https://git-lfs.github.com/spec/"):
        raise ValueError("it is a pointer of Git LFS, not the file: fetch it by `git lfs pull`")
    if raw[:256].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise ValueError("it is a page of the web, not the file: download it again")


def read_bytes(path: Path) -> bytes:
    """Content of a file, unpacked if it is compressed by gzip.

    Raises:
        ValueError: if the compressed file is damaged, or is no data at all.
    """
    raw = path.read_bytes()
    check_not_placeholder(raw)
    if not raw.startswith(b"\x1f\x8b"):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"it cannot be unpacked ({error}): restore the file") from error


def read_text(path: Path) -> str:
    """Text of a file, which may be compressed by gzip; see :func:`decode`."""
    return decode(read_bytes(path))


def decode(raw: bytes) -> str:
    """Text in UTF-8, or in UTF-16 with a byte-order mark.

    Raises:
        ValueError: for another encoding.
    """
    is_utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = raw.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = f"line {line} is not in UTF-8 (byte 0x{raw[error.start]:02x})"
        raise ValueError(f"{problem}: save the file as UTF-8") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"line {line} has a zero byte: save the file as text in UTF-8")
    # Files that were joined have marks in their middle.
    return text.replace("\ufeff", "")


def read_rows(text: str, separators: str = "\t;,", comments: tuple[str, ...] = ()) -> list[Row]:
    """Rows of equally many cells; blank rows and an empty column at the end are left out.

    Cells are stripped of blanks around them. Cells in double quotes may hold separators and line
    breaks. A first line ``sep=;``, as for Excel, names the separator. A heading that is one cell
    shorter than all rows, as R's ``write.table`` writes it, begins with a nameless column.

    Args:
        text: of the file.
        separators: to choose from; the first that the first row has, and by which all rows have as
            many cells as that. A blank stands for any number of blanks and tabs, and is chosen
            between quoted words in any case.
        comments: beginnings of lines that are left out.

    Raises:
        ValueError: for rows of different lengths and for quotes without an end, with the line.
    """
    if match := _EXCEL.match(text):
        text, separators = text[match.end() :], match[1]
        if separators not in _SEPARATOR_NAMES:
            expected = ", ".join(_SEPARATOR_NAMES.values())
            raise ValueError(f"line 1 names the separator {separators!r}: expected {expected}")
    record = _first_record(text, comments)
    bare = re.sub(r'"[^"]*"', "", record)
    present = [mark for mark in separators if mark in bare or (mark == " " and "\t" in bare)]
    if not present and not match and _QUOTED_WORDS.fullmatch(record):
        present = [" "]
    problems = []
    for separator in present or separators[-1:]:
        try:
            rows = list(_records(text, separator, comments))
            return _check_lengths(_name_rows(rows, text, separator), separator)
        except ValueError as error:
            problems.append(error)
    raise problems[0]


def _first_record(text: str, comments: tuple[str, ...]) -> str:
    start = 0
    for line in io.StringIO(text, newline=""):
        if line.strip() and not line.lstrip().startswith(comments):
            match = _RECORD.match(text, start)
            return match[0] if match else ""
        start += len(line)
    return ""


def _name_rows(rows: list[Row], text: str, separator: str) -> list[Row]:
    """Begin the heading with a nameless cell where R's ``write.table`` left out that of row names.

    Rows and heading then begin with quotes, and row names differ. Between commas, which may stand
    in decimals, they also have to be numbers in order.
    """
    if len(rows) < 2 or any(len(row.cells) != len(rows[0].cells) + 1 for row in rows[1:]):
        return rows
    lines, names = list(io.StringIO(text, newline="")), [row.cells[0] for row in rows[1:]]
    if not all(lines[row.line - 1].lstrip().startswith('"') for row in rows):
        return rows
    is_named = len(set(names)) == len(names)
    if separator == "," and is_named:
        numbers = [int(name) if name.isdecimal() else -1 for name in names]
        is_named = numbers[0] >= 0 and numbers == sorted(numbers)
    heading = Row(rows[0].line, ["", *rows[0].cells])
    return [heading, *rows[1:]] if is_named else rows


def _check_lengths(rows: list[Row], separator: str) -> list[Row]:
    for row in rows:
        if len(row.cells) != len(rows[0].cells):
            raise ValueError(
                f"line {row.line} has {len(row.cells)} cells between {_SEPARATOR_NAMES[separator]},"
                f" line {rows[0].line} has {len(rows[0].cells)}: correct the row; cells that hold "
                "a separator stand in double quotes, and numbers have decimal points"
            )
    while rows and len(rows[0].cells) > 1 and not any(row.cells[-1] for row in rows):
        rows = [Row(row.line, row.cells[:-1]) for row in rows]
    return rows


def _records(text: str, separator: str, comments: tuple[str, ...]) -> Iterator[Row]:
    count, begins = 0, True

    def lines() -> Iterator[str]:
        nonlocal count, begins
        for line in io.StringIO(text, newline=""):
            count += 1
            # A line within quotes is no comment.
            if not (begins and line.lstrip().startswith(comments)):
                begins = False
                yield line.replace("\t", " ") if separator == " " else line

    reader = csv.reader(lines(), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        while True:
            begins, before = True, reader.line_num
            cells = [cell.strip() for cell in next(reader)]
            line = count - (reader.line_num - before) + 1
            if separator == " ":
                cells = [cell for cell in cells if cell]
            if any(cells):
                yield Row(line, cells)
    except StopIteration:
        return
    except csv.Error as error:
        raise ValueError(f"line {count} cannot be read ({error}): check its quotes") from error


def parse_number(text: str) -> float:
    """Parse a finite number that fits into float32.

    Raises:
        ValueError: for any other text.
    """
    if not _NUMBER.fullmatch(text):
        remedy = ": write decimal points" if _NUMBERS.fullmatch(text) else ""
        raise ValueError(f"{text!r} is not a finite number{remedy}")
    if abs(value := float(text)) >= _FLOAT32_END:
        raise ValueError(f"{text} is not finite in float32: change its unit")
    return value


def is_number(text: str) -> bool:
    """True for a text that is a finite number."""
    return _NUMBER.fullmatch(text) is not None


def holds_several_numbers(text: str) -> bool:
    """True for numbers with separators, or a comma for a decimal point, between them."""
    return _NUMBERS.fullmatch(text) is not None


def to_float32(name: str, values: np.ndarray) -> np.ndarray:
    """Convert real numbers to float32.

    Raises:
        ValueError: for other values, and for those that are not finite in float32.
    """
    if values.dtype.kind not in "fiub":
        raise ValueError(f"`{name}` must be real numbers, got dtype {values.dtype}")
    # Written so that NaN is refused, too.
    if (bad := ~(np.abs(values.astype(np.float64)) < _FLOAT32_END)).any():
        place = np.argwhere(bad)[0].tolist()
        raise ValueError(f"`{name}` must be finite in float32, got {values[bad][0]} at {place}")
    return values.astype(np.float32)


def to_int64(name: str, values: np.ndarray) -> np.ndarray:
    """Convert integers, of any dtype, to int64.

    Raises:
        ValueError: for other values.
    """
    if values.dtype.kind in "iuf":
        with np.errstate(invalid="ignore"):
            integers = values.astype(np.int64)
        if (integers == values).all():
            return integers
    raise ValueError(f"`{name}` must be integers below 2^63, got dtype {values.dtype}")


def find_named_columns(rows: Sequence[Row]) -> list[int]:
    """Columns that the first row names; those without a name at the left hold row numbers.

    Raises:
        ValueError: for a cell below no name elsewhere, as behind a row that is too long.
    """
    named = [i for i, name in enumerate(rows[0].cells) if not _NAMELESS.fullmatch(name)]
    others = [i for i in range(min(named, default=0), len(rows[0].cells)) if i not in named]
    for row in rows[1:]:
        if any(row.cells[column] for column in others):
            raise ValueError(f"line {row.line} has a cell in a column without a name: name it")
    return named


def check_heading_once(rows: Sequence[Row]) -> None:
    """Raise an error if the first row occurs again, as in files that were joined."""
    for row in rows[1:]:
        if row.cells == rows[0].cells:
            raise ValueError(f"line {row.line} repeats the heading: remove it")
