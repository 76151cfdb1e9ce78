"""Optional dependencies, imported where they are used."""

from __future__ import annotations

import re
from importlib import import_module, metadata
from types import ModuleType


class MissingExtraError(ImportError):
    """An optional dependency is absent; the message holds the command that installs it."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module.

    Args:
        module: its dotted name.
        extra: the extra of graphmask that installs it.

    Raises:
        MissingExtraError: where its package is absent.

    Example:
        >>> from graphmask.extras import require
        >>> require("no_such_module", extra="viz")
        Traceback (most recent call last):
        ...
        graphmask.extras.MissingExtraError: this needs no_such_module: pip install "graphmask[viz]"
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        # A module that an installed package lacks is a fault of that package.
        if (error.name or "").partition(".")[0] != package:
            raise
        raise MissingExtraError(
            f'this needs {package}: pip install "graphmask[{extra}]"', name=package
        ) from error


def version_of(package: str) -> str | None:
    """The installed version of a package, or :obj:`None`."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def installed_extras() -> dict[str, dict[str, str | None]]:
    """The packages of each extra of graphmask, with their versions, or :obj:`None` where absent.

    Example:
        >>> from graphmask.extras import installed_extras
        >>> sorted(installed_extras().get("cli", {"typer": None, "rich": None, "psutil": None}))
        ['psutil', 'rich', 'typer']
    """
    extras: dict[str, dict[str, str | None]] = {}
    try:
        requirements = metadata.requires("graphmask") or []
    except metadata.PackageNotFoundError:
        return extras
    for requirement in requirements:
        package = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", requirement)
        # An extra that includes other extras requires graphmask itself.
        if package and extra and package[0] != "graphmask":
            extras.setdefault(extra[1], {})[package[0]] = version_of(package[0])
    return extras
