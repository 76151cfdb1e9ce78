"""Recipes: what a mask, sampler or feature map was made from, kept with it, so that it can be written down and made again."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, partial, wraps
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

# Larger tensors are data, not arguments to be written down.
_MAX_NUMBERS = 4096

_PLAIN = (bool, int, float, str, type(None))


class Recipe(NamedTuple):
    """A class, and the arguments of its constructor by name."""

    kind: type
    arguments: dict[str, Any]


class Numbers(NamedTuple):
    """A tensor's values, and whether they are learned."""

    values: list[Any]
    dtype: str
    learned: bool


class Unknown(NamedTuple):
    """What cannot be written down, described for the error that says so."""

    what: str


class Recorded:
    """Remembers the arguments of its construction, whatever its subclasses' constructors are."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in cls.__dict__:
            cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]


def recipe_of(made: Recorded) -> Recipe:
    """How this was made."""
    return Recipe(type(made), made.__dict__.get("_made_from", {}))


def _recording(init: Callable[..., None]) -> Callable[..., None]:
    @wraps(init)
    def recorded(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if not torch.compiler.is_compiling():  # what is made there serves one call
            # The constructor that was called ends last, after those that it called.
            self.__dict__["_made_from"] = _named(init, args, kwargs)

    return recorded


def _named(
    init: Callable[..., None], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Arguments of a constructor by name."""
    _, *given = _signature(init).bind(None, *args, **kwargs).arguments.items()
    return {name: note(value) for name, value in given}


@cache
def _signature(init: Callable[..., None]) -> inspect.Signature:
    return inspect.signature(init)


def note(value: Any) -> Any:
    """An argument as plain data, recipes, classes and partial classes.

    Nothing that changes or cannot be pickled.
    """
    if isinstance(value, _PLAIN) or inspect.isclass(value):
        return value
    if isinstance(value, Recorded):
        return recipe_of(value)
    if isinstance(value, Tensor) and value.numel() <= _MAX_NUMBERS:
        return Numbers(value.detach().tolist(), str(value.dtype), isinstance(value, nn.Parameter))
    if type(value) in (list, tuple):
        return type(value)(map(note, value))
    if type(value) is dict:
        return {key: note(each) for key, each in value.items()}
    if isinstance(value, partial) and inspect.isclass(value.func):
        return partial(value.func, *map(note, value.args), **note(value.keywords))
    if isinstance(value, torch.Size):
        return tuple(value)
    return Unknown(f"{type(value).__name__} {getattr(value, '__name__', '')}".strip())
