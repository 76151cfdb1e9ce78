"""Files of datasets: found, downloaded, named by what they hold."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from torch_geometric.data import download_url

from ._base import Folder


def existing(path: Folder) -> Path:
    """The file of this name.

    Raises:
        FileNotFoundError: If there is none.
    """
    found = Path(path).expanduser()
    if not found.is_file():
        raise FileNotFoundError(f"There is no file {found}")
    return found


def fetched(path: Path, url: str) -> Path:
    """A file, downloaded if it is not there, and never half.

    Raises:
        ConnectionError: If it cannot be downloaded.
    """
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                os.replace(download_url(url, folder), path)
        except OSError as error:
            raise ConnectionError(
                f"The download of {url} failed ({error}): try again with a network, or put {path.name} into {path.parent} "
                "by hand"
            ) from error
    return path


def fingerprint(path: Path, *settings: object) -> str:
    """A name of a file's content and of settings.

    A cache that bears it is never one of something else.
    """
    content = hashlib.sha256(path.read_bytes())
    content.update(repr(settings).encode())
    return f"{path.name.partition('.')[0]}_{content.hexdigest()[:16]}"
