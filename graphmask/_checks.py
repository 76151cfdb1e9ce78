"""One template for every refusal: the argument, what was expected, what came."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def refuse(name: str, expected: str, got: Any) -> ValueError:
    """The error for an argument of the right type with a wrong value."""
    return ValueError(f"`{name}` must be {expected}, got {describe(got)}")


def refuse_type(name: str, expected: str, got: Any) -> TypeError:
    """The error for an argument of a wrong type."""
    return TypeError(f"`{name}` must be {expected}, got {type(got).__name__}")


def describe(value: Any) -> str:
    """A short name of a value: shape and dtype of a tensor, the value itself otherwise."""
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {list(value.shape)}"
    return value if isinstance(value, str) else repr(value)


def check_integer(name: str, value: Any, low: int) -> int:
    """An integer that is at least ``low``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse_type(name, "an integer", value)
    if value < low:
        raise refuse(name, f"at least {low}", value)
    return value


def check_finite(name: str, value: Tensor) -> None:
    """A tensor without NaN and infinity."""
    if not torch.isfinite(value).all():
        bad = int((~torch.isfinite(value)).sum())
        raise refuse(name, "finite", f"{bad} NaN or infinite of {value.numel()} values")


def check_number(name: str, value: float, low: float, high: float = float("inf")) -> float:
    """A number with ``low <= value < high``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise refuse_type(name, "a number", value)
    if not low <= value < high:
        raise refuse(name, f"in [{low}, {high})", value)
    return float(value)


def check_probability(name: str, value: float) -> float:
    """A number with ``0 <= value < 1``."""
    return check_number(name, value, 0, 1)
