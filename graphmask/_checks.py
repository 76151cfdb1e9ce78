"""Checks of arguments, and one template for their errors: the argument, expected, got."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from numbers import Integral, Real
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch._C._functorch import TransformType, get_interpreter_stack

T = TypeVar("T")

# What indices of nodes must be, up to the number that follows.
NODE_IDS = "node ids from 0 to N - 1 = "


def value_error(name: str, expected: str, got: Any) -> ValueError:
    """The error for an argument of the right type with a wrong value."""
    return ValueError(f"`{name}` must be {expected}, got {describe(got)}")


def type_error(name: str, expected: str, got: Any) -> TypeError:
    """The error for an argument of a wrong type."""
    kind = describe(got) if isinstance(got, Tensor) else type(got).__name__
    return TypeError(f"`{name}` must be {expected}, got {kind}")


def dtype_error(name: str, expected: str, got: Tensor) -> TypeError:
    """The error for a tensor of a wrong dtype."""
    return TypeError(f"`{name}` must be {expected}, got dtype {got.dtype}")


def check_no_function_transforms() -> None:
    """Refuse ``torch.func.grad`` and its kind, whose tensors compiled code cannot read.

    ``torch.vmap`` is right.

    Raises:
        NotImplementedError: inside of these.
    """
    levels = None if torch.compiler.is_compiling() else get_interpreter_stack()
    if levels is not None and any(level.key() == TransformType.Grad for level in levels):
        raise NotImplementedError(
            "graphmask does not run inside of torch.func.grad, vjp, jacrev and hessian: use "
            "torch.autograd.grad, torch.autograd.functional.vjp, jacobian and hessian"
        )


def describe(value: Any) -> str:
    """A short name of a value: shape and dtype of a tensor, the value itself otherwise."""
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {list(value.shape)}"
    return value if isinstance(value, str) else repr(value)


def check_integer(name: str, value: Any, low: int) -> int:
    """An integer that is at least ``low``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise type_error(name, "an integer", value)
    if value < low:
        raise value_error(name, f"at least {low}", value)
    return int(value)  # those of numpy, too


def check_number(name: str, value: float, low: float, high: float = inf) -> float:
    """A number with ``low <= value < high``."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise type_error(name, "a number", value)
    if not low <= value < high:
        raise value_error(name, f"in [{low}, {high})", value)
    return float(value)


def check_probability(name: str, value: float) -> float:
    """A number with ``0 <= value < 1``."""
    return check_number(name, value, 0, 1)


def check_open(name: str, value: float, high: float = inf) -> float:
    """A number with ``0 < value < high``."""
    if not 0 < check_number(name, value, -inf) < high:
        raise value_error(name, "positive" if high == inf else f"between 0 and {high}", value)
    return float(value)


def is_integral(value: Any) -> bool:
    """True for a tensor of integers."""
    return isinstance(value, Tensor) and not (
        value.is_floating_point() or value.is_complex() or value.dtype == torch.bool
    )


class Deferred(Generic[T]):
    """A check of values of tensors; :attr:`result` is set when they have been read."""

    result: T

    def __init__(self, check: Callable[..., T], values: tuple[Tensor, ...]) -> None:
        self.check, self.values = check, values

    def run(self, *values: int) -> None:
        """Call the check with the values on the host."""
        self.result = self.check(*values)


class DeferredChecks:
    """Checks of values of tensors, read together so that an accelerator is waited for once."""

    def __init__(self) -> None:
        self._checks: list[Deferred[Any]] = []

    def add(self, check: Callable[..., T], *values: Tensor) -> Deferred[T]:
        """Call ``check`` with these integers or truth values when all are read."""
        self._checks.append(Deferred(check, values))
        return self._checks[-1]

    def range(self, name: str, index: Tensor, end: int, expected: str = "from 0 to ") -> None:
        """Integers from 0 to ``end - 1``."""

        def check(low: int, high: int) -> None:
            if index.numel() and not 0 <= low <= high < end:
                wrong = high if high >= end else low
                raise value_error(name, f"{expected}{end - 1}", f"{wrong}")

        self.add(check, *aminmax(index))

    def sign(self, name: str, value: Tensor) -> Deferred[bool]:
        """Finite values; the result tells whether all are non-negative."""

        def check(is_bad: int, has_negative: int) -> bool:
            if is_bad:
                raise_nonfinite(name, value)
            return not has_negative

        low, high = aminmax(value)
        return self.add(check, has_nonfinite(low, high), low < 0)

    def run(self) -> None:
        """Read all values, and call the checks in the order in which they were added."""
        checks, self._checks = self._checks, []
        values = [value.long() for check in checks for value in check.values]
        numbers = iter(torch.stack(values).tolist() if values else ())
        for check in checks:
            check.run(*(next(numbers) for _ in check.values))


def aminmax(value: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest value, in one pass; NaN if any value is, 0 if there are none."""
    if not value.numel():
        return value.new_zeros(()), value.new_zeros(())
    low, high = torch.aminmax(value.detach())
    return low, high


def has_nonfinite(low: Tensor, high: Tensor) -> Tensor:
    """True if values with these extremes hold NaN or infinity."""
    return ~(torch.isfinite(low) & torch.isfinite(high))


def check_finite(name: str, value: Tensor) -> None:
    """A tensor without NaN and infinity."""
    if bool(has_nonfinite(*aminmax(value))):
        raise_nonfinite(name, value)


def raise_nonfinite(name: str, value: Tensor) -> None:
    """Raise the error for a tensor with NaN or infinity."""
    bad = int((~torch.isfinite(value)).sum())
    raise value_error(name, "finite", f"{bad} NaN or infinite of {value.numel()} values")
