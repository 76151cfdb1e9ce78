"""One template for every refusal: the argument, what was expected, what came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def value_error(name: str, expected: str, got: Any) -> ValueError:
    """The error for an argument of the right type with a wrong value."""
    return ValueError(f"`{name}` must be {expected}, got {describe(got)}")


def type_error(name: str, expected: str, got: Any) -> TypeError:
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
        raise type_error(name, "an integer", value)
    if value < low:
        raise value_error(name, f"at least {low}", value)
    return value


class DeferredChecks:
    """Facts about values of tensors, wanted by several checks and read together.

    An accelerator is waited for once.
    """

    def __init__(self) -> None:
        self._asked: list[tuple[Callable[..., None], list[Tensor]]] = []

    def add(self, check: Callable[..., None], *facts: Tensor) -> None:
        """Have ``check`` called with these facts, single integers or truth values, when they are read."""
        self._asked.append((check, list(facts)))

    def run(self) -> None:
        """Read all facts, and call the checks in the order in which they asked."""
        asked, self._asked = self._asked, []
        facts = [fact.long() for _, some in asked for fact in some]
        known = iter(torch.stack(facts).tolist() if facts else ())
        for check, some in asked:
            check(*(next(known) for _ in some))


def aminmax(value: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest value, found in one pass.

    NaN where a value is, 0 where there are none.
    """
    if not value.numel():
        return value.new_zeros(()), value.new_zeros(())
    low, high = torch.aminmax(value.detach())
    return low, high


def has_nonfinite(low: Tensor, high: Tensor) -> Tensor:
    """Whether values of these extremes hold NaN or infinity."""
    return ~(torch.isfinite(low) & torch.isfinite(high))


def check_finite(name: str, value: Tensor) -> None:
    """A tensor without NaN and infinity."""
    if bool(has_nonfinite(*aminmax(value))):
        raise_nonfinite(name, value)


def raise_nonfinite(name: str, value: Tensor) -> None:
    """Raise the error for a tensor with NaN or infinity."""
    bad = int((~torch.isfinite(value)).sum())
    raise value_error(name, "finite", f"{bad} NaN or infinite of {value.numel()} values")


def check_number(name: str, value: float, low: float, high: float = float("inf")) -> float:
    """A number with ``low <= value < high``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise type_error(name, "a number", value)
    if not low <= value < high:
        raise value_error(name, f"in [{low}, {high})", value)
    return float(value)


def check_probability(name: str, value: float) -> float:
    """A number with ``0 <= value < 1``."""
    return check_number(name, value, 0, 1)
