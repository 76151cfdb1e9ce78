"""What all normalizers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from graphmask._checks import type_error
from graphmask.config import ConfigMixin


class Normalizer(ConfigMixin, nn.Module, ABC):
    """Turns sums ``[N, H, d]`` into the output of attention.

    Attributes:
        needs_denominator: whether it reads :math:`z_i`. Attention that does not need them does not
            compute them, and then serves masks of any sign by their products alone.
        is_linear: whether the output is linear in the values, so that attention has rows.
    """

    needs_denominator: bool = False
    is_linear: bool = True

    @abstractmethod
    def forward(self, numerator: Tensor, denominator: Tensor | None) -> Tensor:
        """``[..., N, H, d]`` from the sums ``[..., N, H, d]`` and ``[..., N, H, 1]``."""

    def reset_parameters(self) -> None:
        """Reset all learnable parameters; normalizers without parameters do nothing."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


def check_normalizer(normalizer: Normalizer) -> Normalizer:
    """Check that an argument is a normalizer."""
    if not isinstance(normalizer, Normalizer):
        raise type_error("normalizer", "a Normalizer, such as RowSums()", normalizer)
    return normalizer
