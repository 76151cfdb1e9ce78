"""Several value maps as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphmask._checks import value_error
from graphmask.topology import Topology

from .base import Decoded, Encoded, ValueMap, check_value_map


class Compose(ValueMap):
    """Value maps one after the other: each encodes the values that the one before encoded.

    A map changes the channels of values alone; those that it adds are summed beside them. Sums are
    decoded by the last map first, and the outputs that maps add stand in their order.

    Args:
        maps: the maps, in the order of encoding.

    Raises:
        TypeError: where one of them is no map.
        ValueError: for none.

    Cost: that of the maps.

    Example:
        >>> import graphmask as gm
        >>> values = gm.values
        >>> values.Compose([values.RotaryValues(heads=2, channels=4), values.RelativeValues()])
        Compose(RotaryValues(heads=2, channels=4, dim=3), RelativeValues())
    """

    def __init__(self, maps: Sequence[ValueMap]) -> None:
        super().__init__()
        self.maps = nn.ModuleList([check_value_map(each) for each in maps])
        if not len(self.maps):
            raise value_error("maps", "value maps", "none")
        self.needs_nonnegative = any(each.needs_nonnegative for each in maps)

    def reset_parameters(self) -> None:
        for each in self.maps:
            each.reset_parameters()  # type: ignore[operator]

    def out_channels(self, channels: int) -> int:
        maps: Iterable[Any] = self.maps
        return channels + sum(each.out_channels(channels) - channels for each in maps)

    def forward(self, v: Tensor, topology: Topology) -> Encoded:
        width, decoders, added = v.shape[-1], [], []
        for each in self.maps:
            encoded = each(v, topology)
            v, more = encoded.values[..., :width], encoded.values[..., width:]
            decoders.append(encoded.decode)
            added.append(more)
        widths = [width, *(more.shape[-1] for more in added)]
        return Encoded(torch.cat([v, *added], -1), lambda sums: _decode(decoders, sums, widths))

    def extra_repr(self) -> str:
        return ", ".join(map(repr, self.maps))


def _decode(
    decoders: list[Callable[[Tensor], Decoded]], sums: Tensor, widths: list[int]
) -> Decoded:
    """Decode by the last map first; outputs that maps add are put back into their order."""
    value, *added = sums.split(widths, -1)
    outputs: list[Tensor] = []
    ratios: list[Tensor] = []
    for decode, more in zip(reversed(decoders), reversed(added), strict=True):
        decoded = decode(torch.cat([value, more], -1))
        value, output = decoded.sums[..., : widths[0]], decoded.sums[..., widths[0] :]
        outputs.insert(0, output)
        if decoded.ratios is not None:
            ratios.insert(0, decoded.ratios)
    return Decoded(torch.cat([value, *outputs], -1), torch.cat(ratios, -1) if ratios else None)
