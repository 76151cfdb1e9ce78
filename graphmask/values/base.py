"""The base class of value maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from graphmask._checks import type_error
from graphmask.config import ConfigMixin
from graphmask.topology import Topology


class Decoded(NamedTuple):
    """The result of decoding sums.

    Attributes:
        sums: ``[N, H, d + c]``, which the normalizer divides.
        ratios: ``[N, H, r]``, which it leaves as they are: they have divided by sums of their own.
            :obj:`None` for none.
    """

    sums: Tensor
    ratios: Tensor | None = None


class Encoded(NamedTuple):
    """Values to be summed, and the map from their sums to the output.

    Attributes:
        values: ``[N, H, d + e]``, the d channels of the values first, then those of the map.
        decode: from sums ``[N, H, d + e]``. (default: as they are)
    """

    values: Tensor
    decode: Callable[[Tensor], Decoded] = Decoded


class ValueMap(ConfigMixin, nn.Module, ABC):
    r"""A linear map of values before attention sums them, and one of the sums after.

    .. math::
        \text{out}_i = D_i \Big(\sum_j w_{ij}\, E_j(v_j)\Big) \Big/ z_i,
        \qquad w_{ij} = M_{ij}\, k(q_i, k_j)

    A subclass implements ``forward``, and :meth:`out_channels` where the output has more channels
    than the values.

    Attributes:
        needs_nonnegative: whether the weights w must not be negative.
    """

    needs_nonnegative: bool = False

    @abstractmethod
    def forward(self, v: Tensor, topology: Topology) -> Encoded:
        """Encode ``v [N, H, d]``, in float32 or wider, and return how to decode its sums.

        Sums may come in a wider type. Channels of v stay the first ones.
        """

    def out_channels(self, channels: int) -> int:
        """Channels of the output per head, for values of ``channels``."""
        return channels

    def reset_parameters(self) -> None:
        """Reset all learnable parameters; maps without parameters do nothing."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


def check_value_map(values: ValueMap) -> ValueMap:
    """Check that an argument is a value map."""
    if not isinstance(values, ValueMap):
        raise type_error("values", "a ValueMap, such as RelativeValues()", values)
    return values
