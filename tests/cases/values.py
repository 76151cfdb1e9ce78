"""Value maps of two heads of four channels, and positions in space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphmask import reference, values
from graphmask.testing import example_topologies
from graphmask.testing.graphs import replace
from graphmask.topology import Topology


@dataclass(frozen=True)
class ValueCase:
    """A map of values: its name, how to make it, and its definition.

    Args:
        name: of the case.
        make: makes the map.
        reference: the output ``[N, H, c]`` of a map, weights ``[H, N, N]``, values ``[N, H, d]``
            and positions about the mean of their graph.
        turn: turns outputs by a matrix Q ``[D, D]``, as positions are turned. (default:
            :obj:`None`, where outputs depend on the axes otherwise)
    """

    name: str
    make: Callable[[], values.ValueMap]
    reference: Callable[[Any, Tensor, Tensor, Tensor], Tensor]
    turn: Callable[[Tensor, Tensor], Tensor] | None = None

    def __str__(self) -> str:
        return self.name


def with_positions(topology: Topology, far: float = 0.0) -> Topology:
    """The topology with positions in space, where it has none."""
    if topology.pos is not None and topology.pos.shape[1] == 3:
        return topology
    generator = torch.Generator().manual_seed(3)
    pos = torch.rand(topology.num_nodes, 3, generator=generator, dtype=torch.float64)
    return replace(topology, pos=pos + far)


def placed() -> dict[str, Topology]:
    """The example graphs with positions."""
    return {name: with_positions(graph) for name, graph in example_topologies().items()}


def _rotary() -> values.RotaryValues:
    return values.RotaryValues(2, 4, highest=3.0)


def _turned(rotary: values.RotaryValues, weight: Tensor, v: Tensor, pos: Tensor) -> Tensor:
    return reference.rotary_values(weight, v, pos, rotary.frequency)


def _turned_differences(each: Any, weight: Tensor, v: Tensor, pos: Tensor) -> Tensor:
    rotary = next(one for one in each.maps if isinstance(one, values.RotaryValues))
    total = weight.double().sum(-1).mT.unsqueeze(-1)
    return _turned(rotary, weight, v, pos) - total * v


def _moments(each: values.Moments, weight: Tensor, v: Tensor, pos: Tensor) -> Tensor:
    return reference.moments(weight, v, pos, each.order, each.channels)


def _turn_moments(out: Tensor, Q: Tensor) -> Tensor:
    """Turn the moments of order 2 and of two channels."""
    value, first, second, outer = out.split([4, 3, 6, 6], -1)
    rows, cols = torch.triu_indices(3, 3)
    square = out.new_zeros(*out.shape[:2], 3, 3)
    square[..., rows, cols] = second
    square[..., cols, rows] = second
    turned = (Q @ square @ Q.mT)[..., rows, cols], (Q @ outer.unflatten(-1, (3, 2))).flatten(-2)
    return torch.cat([value, first @ Q.mT, *turned], -1)


def _stay(out: Tensor, Q: Tensor) -> Tensor:
    return out


def _invariants(each: values.MomentInvariants, weight: Tensor, v: Tensor, pos: Tensor) -> Tensor:
    plain = torch.einsum("hij,jhd->ihd", weight.double(), v.double())
    return torch.cat([plain, reference.moment_invariants(weight, pos, each.epsilon)], -1)


def _all(each: values.Compose, weight: Tensor, v: Tensor, pos: Tensor) -> Tensor:
    """Of moments, rotary and relative values, and invariants."""
    moments, _, _, invariants = each.maps
    parts = [
        _turned_differences(each, weight, v, pos),
        _moments(moments, weight, v, pos)[..., 4:],
        _invariants(invariants, weight, v, pos)[..., 4:],
    ]
    return torch.cat(parts, -1)


VALUES = (
    ValueCase("rotary", _rotary, _turned),
    ValueCase(
        "relative",
        values.RelativeValues,
        lambda _, weight, v, pos: reference.relative_values(weight, v),
        _stay,
    ),
    ValueCase(
        "rotary-relative",
        lambda: values.Compose([_rotary(), values.RelativeValues()]),
        _turned_differences,
    ),
    ValueCase(
        "relative-rotary",
        lambda: values.Compose([values.RelativeValues(), _rotary()]),
        _turned_differences,
    ),
    ValueCase("moments", lambda: values.Moments(channels=3), _moments),
    ValueCase("moments-two", lambda: values.Moments(order=2, channels=2), _moments, _turn_moments),
    ValueCase("invariants", lambda: values.MomentInvariants(epsilon=1e-2), _invariants, _stay),
    ValueCase(
        "all",
        lambda: values.Compose(
            [
                values.Moments(channels=1),
                _rotary(),
                values.RelativeValues(),
                values.MomentInvariants(epsilon=1e-2),
            ]
        ),
        _all,
    ),
)
