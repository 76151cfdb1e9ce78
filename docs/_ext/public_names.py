"""Collects public names from the exports of the packages, so that the reference is complete."""

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
        f"graphmask.{module.name}"
        for module in pkgutil.iter_modules(graphmask.__path__)
        if module.ispkg
    ]
    return [
        *MODULES_IN_ONE_FILE,
        *(name for name in packages if not name.startswith("graphmask._")),
        "graphmask.datasets",
    ]


def public_names(module: ModuleType) -> list[str]:
    """The names in ``__all__``, or else the public names that a module defines or imports."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__, key=str.lower)
    names = (name for name, value in vars(module).items() if _is_exported(name, value))
    return sorted(names, key=str.lower)


def _is_exported(name: str, value: object) -> bool:
    ours = str(getattr(value, "__module__", "")).startswith("graphmask")
    return ours and not name.startswith("_") and not inspect.ismodule(value)


def sections(name: str) -> dict[str, list[str]]:
    """The public names of a module: classes, functions and constants."""
    module = importlib.import_module(name)
    parts: dict[str, list[str]] = {"Classes": [], "Functions": [], "Constants": []}
    for public in public_names(module):
        value = getattr(module, public)
        if inspect.isclass(value):
            parts["Classes"].append(public)
        else:
            parts["Functions" if callable(value) else "Constants"].append(public)
    return {title: names for title, names in parts.items() if names}
