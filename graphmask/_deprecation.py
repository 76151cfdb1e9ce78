"""Old names of public objects, kept for one release."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


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
        warnings.warn(
            f"`{old}` is deprecated: use `{new.__name__}`", DeprecationWarning, stacklevel=2
        )
        return new(*args, **kwargs)

    alias.__name__ = alias.__qualname__ = old
    alias.__doc__ = f"Deprecated alias of :func:`{new.__name__}`."
    return alias
