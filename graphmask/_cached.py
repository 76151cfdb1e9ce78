"""Cached structure: derived once from frozen tensors, for use in training and inference alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

import torch

T = TypeVar("T")


class cached(Generic[T]):  # noqa: N801
    """A property computed at first use, outside inference mode, and kept in the instance.

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
        # Found there at the next access: a descriptor without __set__ gives way to the instance's
        # own attributes.
        with torch.inference_mode(False):
            instance.__dict__[self.name] = self.function(instance)
        return instance.__dict__[self.name]
