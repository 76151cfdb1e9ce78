"""Structure derived from immutable values: computed at first use, and kept as long as its owner.

One rule holds everywhere: what is kept depends on fields that never change, is not differentiated,
and serves training and inference alike. A :class:`cached` property belongs to its object. Objects
that share what is derived, such as topologies of one graph with different walks, hold one
:class:`Derived` between them, where their cached properties and :meth:`Derived.get` keep all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar, overload

import torch

T = TypeVar("T")


class Derived:
    """Structure that several objects share: cached properties as attributes, the rest by key.

    Attributes, since ``torch.compile`` guards each that it reads by itself, but the order of all
    keys of a dictionary.
    """

    def __init__(self) -> None:
        self.results: dict[tuple[Hashable, ...], Any] = {}

    def get(self, make: Callable[..., T], owner: Any, *arguments: Hashable) -> T:
        """``make(owner, *arguments)``, computed at first use."""
        key = (make, *arguments)
        if key not in self.results:
            with torch.inference_mode(False), torch.no_grad():
                self.results[key] = make(owner, *arguments)
        return self.results[key]


class cached(Generic[T]):  # noqa: N801
    """A property computed at first use, outside inference mode, and kept.

    In the object itself, or in its ``_derived`` where it has one.

    A tensor made under ``torch.inference_mode`` can never be saved for a backward pass: kept from a
    validation step, it would break the next training step on the same object. And
    ``functools.cached_property`` takes a lock before Python 3.12, which ``torch.compile`` cannot
    follow.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> cached[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        store = getattr(instance, "_derived", instance)
        # An object without a store gets here once: a descriptor without __set__ gives way to the
        # attributes of the instance.
        if store is instance or not hasattr(store, self.name):
            with torch.inference_mode(False):
                value = self.function(instance)
            # Past the guard of frozen dataclasses, whose fields stay as they are.
            object.__setattr__(store, self.name, value)
        return getattr(store, self.name)
