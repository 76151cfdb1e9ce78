"""Structure derived from values: computed at first use, and kept as long as these stay the same.

One rule holds everywhere: what is kept depends on fields that are written once, is not
differentiated, and serves training and inference alike. A :class:`cached` property belongs to its
object. Objects whose tensors a user may change in place, or which share what is derived, such as
topologies of one graph with different walks, hold a :class:`Derived`, where their cached properties
and :meth:`Derived.get` keep all until a source has another version.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar, overload

import torch
from torch import Tensor

from ._checks import check_no_function_transforms

T = TypeVar("T")


class Derived:
    """Results derived from the values of some tensors: properties as attributes, the rest by key.

    Attributes, since ``torch.compile`` guards each that it reads by itself, but the order of all
    keys of a dictionary.

    Args:
        nonnegative: whether no value is negative.
    """

    def __init__(self, nonnegative: bool) -> None:
        self.nonnegative = nonnegative
        self.results: dict[tuple[Hashable, ...], Any] = {}

    def get(self, make: Callable[..., T], owner: Any, *arguments: Hashable) -> T:
        """``make(owner, *arguments)``, computed at first use."""
        key = (make, *arguments)
        if key not in self.results:
            check_no_function_transforms()
            with torch.inference_mode(False), torch.no_grad():
                self.results[key] = make(owner, *arguments)
        return self.results[key]


class Sources:
    """Tensors that a user may change in place, and what is derived from them as they are.

    Args:
        tensors: the sources.
        nonnegative: whether none of their values is negative, which construction reads.

    Attributes:
        changes: how often :meth:`derived` found each tensor changed.
    """

    def __init__(self, tensors: Sequence[Tensor | None], nonnegative: bool) -> None:
        self.tensors = tensors
        self._derived = Derived(nonnegative)
        self._versions = self._read_versions()
        self.changes = (0,) * len(tensors)

    def derived(self, check: Callable[[], bool]) -> Derived:
        """Return the derived results, new ones where a tensor was changed in place.

        Compiled code does not look for changes.

        Args:
            check: validates changed tensors, and tells whether no value is negative.
        """
        if not torch.compiler.is_compiling():
            versions = self._read_versions()
            if versions != self._versions:
                self.changes = self.count_changes()
                self._derived, self._versions = Derived(check()), versions
        return self._derived

    def count_changes(self) -> tuple[int, ...]:
        """Count the changes in place of each tensor, those since the last look included."""
        differ = map(operator.ne, self._read_versions(), self._versions)
        return tuple(map(operator.add, self.changes, differ))

    def _read_versions(self) -> list[int]:
        """Number of changes in place of each tensor; inference tensors do not count.

        What compiled code makes serves a single call.
        """
        is_compiling = torch.compiler.is_compiling()
        return [
            -1 if is_compiling or tensor is None or tensor.is_inference() else tensor._version
            for tensor in self.tensors
        ]

    def __getstate__(self) -> dict[str, Any]:
        """Copies of tensors have versions of their own."""
        is_current = self._versions == self._read_versions()
        return {**vars(self), "_versions": is_current}

    def __setstate__(self, state: dict[str, Any]) -> None:
        is_current = state.pop("_versions")
        for name, value in state.items():
            setattr(self, name, value)
        self._versions = self._read_versions() if is_current else [-2] * len(self.tensors)


class cached(Generic[T]):  # noqa: N801
    """A property computed at first use, outside inference mode, and kept.

    In the object itself, or with what is derived from its ``_sources`` where it has them.

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
        sources = getattr(instance, "_sources", None)
        store = instance if sources is None else sources.derived(instance._check_again)
        # An object without a store gets here once: a descriptor without __set__ gives way to the
        # attributes of the instance.
        if store is instance or not hasattr(store, self.name):
            with torch.inference_mode(False):
                value = self.function(instance)
            # Past the guard of frozen dataclasses, whose fields stay as they are.
            object.__setattr__(store, self.name, value)
        return getattr(store, self.name)
