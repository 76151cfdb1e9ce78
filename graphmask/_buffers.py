"""Buffers of masks and feature maps: tables that keep their digits."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from typing_extensions import Self

from .kernels.products import is_half


class SingleBuffers(nn.Module):
    """A module whose buffers stay in single precision where its parameters become half.

    Half of the digits of frequencies and projections would move phases, and be lost for good.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        wide = {name: x for name, x in self._buffers.items() if x is not None and not is_half(x)}
        super()._apply(fn, recurse)
        for name, x in wide.items():
            moved = self._buffers[name]
            if moved is not None and is_half(moved):
                self._buffers[name] = x.float().to(moved.device)
        return self
