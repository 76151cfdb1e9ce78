"""Files that are replaced whole: a stop at any point leaves the former content or the new one."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class _UnchangedError(Exception):
    """Ends a block in which nothing was written."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path to write to, beside ``path`` and of the same suffix, which takes its place at the end.

    An exception within the block, such as a full disk, removes what was written and leaves ``path``
    as it was; so does a killed process, which leaves a hidden file behind. ``~`` expands, links are
    followed, permissions are kept. What is no regular file, such as ``/dev/stdout``, is written to
    in place.

    Raises:
        OSError: for a folder, a file that may not be written to, and in a folder that is absent or
            may not.

    Example:
        >>> import os, tempfile
        >>> from graphmask._atomic import replacing
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(os.path.join(folder, "a.txt")) as path:
        ...         _ = path.write_text("whole")
        ...     os.listdir(folder)
        ['a.txt']
    """
    path = Path(path).expanduser()
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    is_stream = path.is_absolute() and path.parts[1:2] in (("dev",), ("proc",))
    if is_stream or (target.exists() and not target.is_file()):
        yield path
        return
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    aside = target.with_name(f".{target.stem[:100]}-{secrets.token_hex(8)}{target.suffix}")
    try:
        aside.touch(exist_ok=False)
        mode = (target if target.exists() else aside).stat().st_mode
        yield aside
        aside.chmod(mode)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)


def check_replaceable(path: str | Path) -> None:
    """Raise the OSError that :func:`replacing` would; nothing is written."""
    with suppress(_UnchangedError), replacing(path):
        raise _UnchangedError


def write_text(path: str | Path, text: str) -> None:
    """Write a text, in UTF-8, to a file that is replaced whole."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")
