"""Files that are replaced whole: a stop at any point leaves the former content or the new one."""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

# Hidden files that can be written beside one target at a time and are used again; more have names
# of their own.
_PLACES = 8


class _UnchangedError(Exception):
    """Ends a block in which nothing was written."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path to write to, beside ``path`` and of the same suffix, which takes its place at the end.

    An exception within the block, such as a full disk, removes what was written and leaves ``path``
    as it was; so does a killed process, which leaves a hidden file behind, the place of the next
    writer. A file of a living process is locked, and left alone. ``~`` expands, links are
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
    aside, lock = _claim_place(target)
    try:
        mode = (target if target.exists() else aside).stat().st_mode
        yield aside
        aside.chmod(mode)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    finally:
        if lock is not None:
            os.close(lock)


def _claim_place(target: Path) -> tuple[Path, int | None]:
    """An empty hidden file beside the target, and its open lock where there are locks."""
    for number in range(_PLACES):
        aside = target.with_name(f".{target.stem[:100]}-{number}{target.suffix}")
        if (lock := _lock(aside)) is not None:
            return aside, lock
    aside = target.with_name(f".{target.stem[:100]}-{secrets.token_hex(8)}{target.suffix}")
    aside.touch(exist_ok=False)
    return aside, None


def _lock(path: Path) -> int | None:
    """Lock a new file, or empty one that no process holds; None for others.

    Raises:
        OSError: in a folder that is absent or may not be written to.
    """
    if fcntl is None:
        return None
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError:
        if not os.path.lexists(path):
            raise
        return None  # not ours
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found, opened = os.lstat(path), os.fstat(file)
        # Its writer may have finished meanwhile: then the file is no longer here.
        if os.path.samestat(found, opened) and opened.st_nlink == 1:
            os.ftruncate(file, 0)
            return file
    except OSError:
        pass
    os.close(file)
    return None


@contextmanager
def locking(folder: Path) -> Iterator[bool]:
    """Lock a folder, so that one process writes it; whether it is locked.

    False where there are no locks, as on some file systems that machines share.

    Raises:
        BlockingIOError: while another has locked it.
    """
    if fcntl is None:
        yield False
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        yield _try_lock(file)
    finally:
        os.close(file)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def check_replaceable(path: str | Path) -> None:
    """Raise the OSError that :func:`replacing` would; nothing is written."""
    with suppress(_UnchangedError), replacing(path):
        raise _UnchangedError


def write_text(path: str | Path, text: str) -> None:
    """Write a text, in UTF-8, to a file that is replaced whole."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")
