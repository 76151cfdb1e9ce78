"""A limit on what the making of a model from a file may allocate."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ._checks import value_error

# The least limit of integers in a file: constructors may make lists of this length.
_LARGEST_COUNT = 2**16

# Names of integers that nothing is made of: seeds and limits.
_COUNTLESS = re.compile("seed$|max_")


class Bound(TorchDispatchMode):
    """Limits what is allocated within a block to what a model with these tensors may need.

    No tensor has more than 4 n + ``slack`` numbers and all have no more than 16 times as many, of
    n that these T tensors hold, in at most 64 T + ``slack`` / 512 calls.

    Raises:
        ValueError: before more is allocated.

    Example:
        >>> import torch
        >>> from graphmask._allocation import Bound
        >>> with Bound([torch.ones(3)], slack=100):
        ...     torch.empty(10**9)
        Traceback (most recent call last):
        ...
        ValueError: more is made than weights of 1 tensors and 3 numbers need
    """

    def __init__(self, tensors: Iterable[Tensor], slack: int) -> None:
        super().__init__()
        sizes = [tensor.numel() for tensor in tensors]
        self.tensors, self.held = len(sizes), sum(sizes)
        self.largest = 4 * self.held + slack
        self.left, self.calls = 16 * self.largest, 64 * self.tensors + slack // 512

    def check(self, config: Mapping[str, Any]) -> None:
        """Refuse integers beyond what lists and loops of constructors may count up to."""
        largest, items = max(self.held, _LARGEST_COUNT), list(config.items())
        while items:
            name, value = items.pop()
            if isinstance(value, dict) and "tensor" not in value:
                items += value.items()
            elif isinstance(value, list):
                items += ((name, item) for item in value)
            elif isinstance(value, int) and abs(value) > largest and not _COUNTLESS.match(name):
                expected = f"at most {largest:,}, by the size of the weights"
                raise value_error(name, expected, value)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        schema, kwargs = func._schema, kwargs or {}
        names = [argument.name for argument in schema.arguments]
        self.calls -= 1
        if "device" in names:  # of a function that makes a tensor
            self._spend(_numbers({**dict(zip(names, args, strict=False)), **kwargs}))
        result = func(*args, **kwargs)
        if all(value.alias_info is None for value in schema.returns):
            values = result if isinstance(result, (tuple, list)) else (result,)
            self._spend(sum(value.numel() for value in values if isinstance(value, Tensor)))
        return result

    def _spend(self, count: int) -> None:
        self.left -= count
        if count > self.largest or self.left < 0 or self.calls < 0:
            held = f"{self.tensors:,} tensors and {self.held:,} numbers"
            raise ValueError(f"more is made than weights of {held} need")


def _numbers(values: Mapping[str, Any]) -> int:
    """Count the numbers that a function which makes a tensor is asked for."""
    if "end" in values and "steps" not in values:
        span = values["end"] - values.get("start", 0)
        return max(0, math.ceil(span / values.get("step", 1)))
    sizes = (values[name] for name in ("size", "steps", "n", "m") if name in values)
    return math.prod(math.prod(x) if isinstance(x, (tuple, list)) else x for x in sizes)
