"""Cached structure: derived once from frozen tensors, for use in training and inference alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar, overload

import torch

T = TypeVar("T")


class structure(cached_property, Generic[T]):  # noqa: N801 - used as a decorator, like cached_property
    """A cached property computed outside inference mode.

    A tensor made under ``torch.inference_mode`` can never be saved for a backward pass: cached there during validation, it
    would break the next training step on the same object.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        def outside_inference(owner: Any) -> T:
            with torch.inference_mode(False):
                return function(owner)

        super().__init__(outside_inference)
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: Any = None) -> structure[T]: ...
    @overload
    def __get__(self, instance: object, owner: Any = None) -> T: ...
    def __get__(self, instance: object | None, owner: Any = None) -> Any:
        return super().__get__(instance, owner)
