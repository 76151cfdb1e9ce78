"""The base class of normalizers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from graphmask._checks import type_error, value_error
from graphmask.config import ConfigMixin
from graphmask.topology import Topology


class Rows(NamedTuple):
    """The rows whose sums a normalizer is given.

    Args:
        topology: the graphs.
        nodes: the nodes of the rows. (default: :obj:`None`, all in order)
        shift: ``[..., N, H, 1]``, where scores were divided by ``e^shift``. (default: :obj:`None`)
    """

    topology: Topology
    nodes: Tensor | None = None
    shift: Tensor | None = None


class Normalizer(ConfigMixin, nn.Module, ABC):
    """Turns sums ``[N, H, d]`` into the output of attention.

    Attributes:
        needs_denominator: whether it reads :math:`z_i`. Attention that does not need them does not
            compute them, and then serves masks of any sign by their products alone.
        is_linear: whether the output is linear in the values, so that attention has rows.
        reads_size: whether the output depends on the size of scores, and not on their ratios alone.
        reads_shift: whether it takes the shift of scores into account where they have one.
    """

    needs_denominator: bool = False
    is_linear: bool = True
    reads_size: bool = False
    reads_shift: bool = False

    @abstractmethod
    def forward(
        self, numerator: Tensor, denominator: Tensor | None, rows: Rows | None = None
    ) -> Tensor:
        """``[..., N, H, d]`` from the sums ``[..., N, H, d]`` and ``[..., N, H, 1]``.

        Args:
            numerator: s.
            denominator: z, for normalizers that need it.
            rows: which rows these are. (default: :obj:`None`, not known)
        """

    def reset_parameters(self) -> None:
        """Reset all learnable parameters; normalizers without parameters do nothing."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


def check_heads(normalizer: Normalizer, heads: int, numerator: Tensor) -> None:
    """Check that sums have the heads of a normalizer."""
    if numerator.shape[-2] != heads:
        raise value_error("normalizer", f"of {numerator.shape[-2]} heads, as q", repr(normalizer))


def check_normalizer(normalizer: Normalizer) -> Normalizer:
    """Check that an argument is a normalizer."""
    if not isinstance(normalizer, Normalizer):
        raise type_error("normalizer", "a Normalizer, such as RowSums()", normalizer)
    return normalizer
