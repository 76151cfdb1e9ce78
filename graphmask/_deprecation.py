"""Former names of arguments, accepted for one release with a warning."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def renamed_arguments(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Accept keyword arguments under their former names: ``@renamed_arguments(radius="r")``.

    Raises:
        TypeError: if a call gives an argument under both of its names.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old in names.keys() & kwargs.keys():
                if names[old] in kwargs:
                    raise TypeError(f"got `{old}` and `{names[old]}`, its new name: give one")
                warnings.warn(
                    f"the argument `{old}` is now called `{names[old]}`",
                    DeprecationWarning,
                    stacklevel=2,
                )
                kwargs[names[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate
