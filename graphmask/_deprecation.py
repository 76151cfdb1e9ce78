"""Old public names, which keep working for one release with a warning."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any])


def warn_deprecated(old: str, new: str) -> None:
    """Warn the caller of a public function about one of its old names."""
    warnings.warn(f"`{old}` is deprecated: use `{new}`", DeprecationWarning, stacklevel=3)


def deprecated_alias(old: str, new: Callable[P, T]) -> Callable[P, T]:
    """A callable under its old name, which warns and calls the new one.

    Example:
        >>> import warnings
        >>> from graphmask._deprecation import deprecated_alias
        >>> largest = deprecated_alias("largest", max)
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     largest(1, 2)
        2
        >>> str(caught[0].message)
        '`largest` is deprecated: use `max`'
    """

    @wraps(new)
    def alias(*args: P.args, **kwargs: P.kwargs) -> T:
        warn_deprecated(old, new.__name__)
        return new(*args, **kwargs)

    alias.__name__ = alias.__qualname__ = old
    alias.__doc__ = f"Deprecated alias of :func:`{new.__name__}`."
    return alias


def deprecated_attributes(package: str, **new_names: str) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` for renamed objects: ``Old="New"``."""

    def getattr_of_module(name: str) -> Any:
        if name not in new_names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        warn_deprecated(f"{package}.{name}", f"{package}.{new_names[name]}")
        return getattr(sys.modules[package], new_names[name])

    return getattr_of_module


def deprecated_arguments(**new_names: str) -> Callable[[C], C]:
    """Decorate a function, or a class, whose arguments were renamed: ``old="new"``."""

    def decorate(target: C) -> C:
        function = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]

        @wraps(function)
        def translated(*args: Any, **kwargs: Any) -> Any:
            for old, new in new_names.items():
                if old in kwargs:
                    name = target.__name__
                    warn_deprecated(f"{name}({old}=...)", f"{name}({new}=...)")
                    if new in kwargs:
                        raise TypeError(f"`{old}` is the old name of `{new}`: give one of them")
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        if not isinstance(target, type):
            return translated  # type: ignore[return-value]
        target.__init__ = translated  # type: ignore[misc]
        return target

    return decorate
