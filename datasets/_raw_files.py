"""Files of datasets: found or downloaded, read, and named by their content."""

from __future__ import annotations

import codecs
import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from torch_geometric.data import download_url

from graphmask._atomic import replacing
from graphmask._tables import to_int64

Folder = str | os.PathLike[str]

# Raised by numpy, zipfile and our checks on files that are cut off or hold something else.
READ_ERRORS = (
    OSError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


class TruncatedError(ValueError):
    """A file that ends before all that it announces."""


def check_file(path: Folder, hint: str = "") -> Path:
    """Return the path of a file that must be there.

    Raises:
        FileNotFoundError: if it is not.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"The file {path} is missing{hint}")
    return path


def check_folder(path: Folder, layout: str) -> Path:
    """Return the path of a folder that must be there, before PyG makes one for the cache.

    Raises:
        FileNotFoundError: if it is not.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(f"The folder {path} is missing: `root` must hold {layout}")
    return path


def find_files(folder: Folder, names: Sequence[str], url: str, download: bool) -> list[Path]:
    """Return the paths of files in a folder, downloaded if they are missing and shall be.

    Raises:
        ConnectionError: if a download fails.
        FileNotFoundError: if files are missing and ``download`` is false.
    """
    folder = Path(folder).expanduser()
    missing = [name for name in names if not (folder / name).is_file()]
    if missing and not download:
        raise missing_files(missing, folder, url)
    for name in missing:
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Moved when complete: an interrupted download must not leave half a file.
            with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
                os.replace(download_url(f"{url}/{name}", temporary), path)
        except OSError as error:
            raise ConnectionError(
                f"The download of {url}/{name} failed ({error}): "
                f"try again with a network, or put {path.name} into {path.parent}"
            ) from error
    return [folder / name for name in names]


def missing_files(names: Sequence[str], folder: Folder, url: str) -> FileNotFoundError:
    """Return the error for files that are missing and shall not be downloaded."""
    listed = ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
    return FileNotFoundError(
        f"{listed} missing in the folder {folder}: put the files there, "
        f"or pass `download=True` to download them from {url}"
    )


def extract(archive: Path, folder: Path) -> None:
    """Unpack a .zip file, all of whose members must lie below the folder.

    Raises:
        zipfile.BadZipFile: if the archive is damaged, or a member lies elsewhere.
    """
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            parts = Path(name.replace("\\", "/")).parts
            if ".." in parts or Path(*parts).is_absolute():
                raise zipfile.BadZipFile(f"its member {name} lies outside of it")
        file.extractall(folder)


def files_with(folder: Path, *endings: str) -> list[Path]:
    """Return the files of a folder with one of these endings, in capitals or not, by name.

    Hidden files do not count; a folder that is missing has none.
    """
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [
        path
        for path in paths
        if path.suffix.lower() in endings and path.name[0] != "." and path.is_file()
    ]


def check_bodies(paths: Sequence[Path]) -> None:
    """Check that no two files are one body in two formats.

    Raises:
        ValueError: if names of a folder differ in their endings alone.
    """
    by_name: dict[Path, Path] = {}
    for path in paths:
        other = by_name.setdefault(path.with_suffix(""), path)
        if other != path:
            raise ValueError(
                f"{other} and {path.name} are one body in two formats: remove one, or rename it"
            )


def files_of_classes(
    folder: Path, class_names: Sequence[str], split: str, ending: str, remedy: str
) -> list[tuple[int, Path]]:
    """Return the label and path of the files ``<class>/<split>/*<ending>``, class by class.

    Raises:
        FileNotFoundError: if a class has no such file.
    """
    files = []
    for label, name in enumerate(class_names):
        paths = files_with(folder / name / split, ending)
        check_bodies(paths)
        if not paths:
            raise FileNotFoundError(f"No {ending} file in {folder / name / split}: {remedy}")
        files += [(label, path) for path in paths]
    return files


def class_files(folder: Path, class_names: Sequence[str], split: str, ending: str) -> list[Path]:
    """Return the files ``<class>/<split>/*<ending>``, as far as there are any."""
    return [path for name in class_names for path in files_with(folder / name / split, ending)]


def check_labels(labels: np.ndarray, count: int, num_classes: int) -> np.ndarray:
    """Return classes [count] as int64.

    Raises:
        ValueError: if they are no whole numbers from 0 to ``num_classes`` - 1, or of another shape.
    """
    if labels.shape != (count,):
        raise ValueError(f"labels of shape {list(labels.shape)}, expected [{count}]")
    labels = to_int64("labels", labels)
    if count and (labels.min() < 0 or labels.max() >= num_classes):
        expected = f"expected 0 to {num_classes - 1}"
        raise ValueError(f"labels {labels.min()} to {labels.max()}, {expected}")
    return labels


def read_text(path: Path) -> str:
    """Read a text of numbers in UTF-8, UTF-16 with its mark, or an ASCII superset.

    Other characters can only stand in comments and names, where they do no harm.

    Raises:
        ValueError: if the file is no text.
    """
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    if b"\0" in content:
        raise ValueError("it holds zero bytes: save it as text in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def write_aside(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file beside its place and move it there when it is complete and on the disk.

    Whatever ends the process, the file is the earlier one or the new one, and of two processes that
    write it at once one wins.
    """
    with replacing(path) as aside, open(aside, "wb") as file:
        write(file)


def fingerprint(path: Path, *settings: object) -> str:
    """Name the content of a file and settings, so that a cache of that name fits both."""
    content = hashlib.sha256(path.read_bytes())
    content.update(repr(settings).encode())
    return f"{path.name.partition('.')[0]}_{content.hexdigest()[:16]}"


def damaged(path: Folder, problem: object, remedy: str) -> ValueError:
    """Return the error for a file that is there but cannot be used."""
    return ValueError(f"The file {os.fspath(path)} is damaged ({problem}): {remedy}")


@contextmanager
def reading(path: Folder, remedy: str) -> Iterator[None]:
    """Raise the error for a damaged file if the code inside fails to read it."""
    try:
        yield
    except READ_ERRORS as error:
        raise damaged(path, error, remedy) from error
