"""What is public, found where it is exported, so that no name can be missing from the reference."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType

import graphmask

MODULES_IN_ONE_FILE = ("graphmask", "graphmask.extras")


def public_modules() -> list[str]:
    """The packages that users import names from."""
    packages = [
        f"graphmask.{found.name}"
        for found in pkgutil.iter_modules(graphmask.__path__)
        if found.ispkg
    ]
    return [
        *MODULES_IN_ONE_FILE,
        *(name for name in packages if not name.startswith("graphmask._")),
        "graphmask.datasets",
    ]


def public_names(module: ModuleType) -> list[str]:
    """Of ``__all__``, or else all that a module takes from its own package, or defines, and calls by a public name."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__, key=str.lower)
    return sorted(
        (name for name, thing in vars(module).items() if _exported(name, thing)), key=str.lower
    )


def _exported(name: str, thing: object) -> bool:
    ours = str(getattr(thing, "__module__", "")).startswith("graphmask")
    return ours and not name.startswith("_") and not inspect.ismodule(thing)


def sections(name: str) -> dict[str, list[str]]:
    """The public names of a module: what is a class, what can be called otherwise, and the rest."""
    module = importlib.import_module(name)
    parts: dict[str, list[str]] = {"Classes": [], "Functions": [], "Constants": []}
    for public in public_names(module):
        thing = getattr(module, public)
        part = (
            "Classes" if inspect.isclass(thing) else "Functions" if callable(thing) else "Constants"
        )
        parts[part].append(public)
    return {title: names for title, names in parts.items() if names}
