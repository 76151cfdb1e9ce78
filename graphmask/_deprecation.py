"""Old public names, which keep working for one release with a warning."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)


def deprecated_alias(package: str, **new_names: str) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` for renamed objects: ``Old="New"``."""

    def getattr_of_module(name: str) -> Any:
        if name not in new_names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        warn_deprecated(f"{package}.{name}", f"{package}.{new_names[name]}")
        return getattr(sys.modules[package], new_names[name])

    return getattr_of_module


def deprecated_arguments(**new_names: str) -> Callable[[Class], Class]:
    """Decorate a class whose constructor arguments were renamed: ``old="new"``."""

    def decorate(cls: Class) -> Class:
        init = cls.__init__  # type: ignore[misc]

        @wraps(init)
        def translated(self: Any, *args: Any, **kwargs: Any) -> None:
            for old, new in new_names.items():
                if old in kwargs:
                    warn_deprecated(f"{cls.__name__}({old}=...)", f"{cls.__name__}({new}=...)")
                    if new in kwargs:
                        raise TypeError(f"`{old}` is the old name of `{new}`: give one of them")
                    kwargs[new] = kwargs.pop(old)
            init(self, *args, **kwargs)

        cls.__init__ = translated  # type: ignore[misc]
        return cls

    return decorate


def warn_deprecated(old: str, new: str) -> None:
    """Warn the caller of a public function about one of its old names."""
    warnings.warn(
        f"{old} is deprecated and will go in the next release: use {new}",
        DeprecationWarning,
        stacklevel=3,
    )
