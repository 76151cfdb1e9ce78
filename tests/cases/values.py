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
    """

    name: str
    make: Callable[[], values.ValueMap]
    reference: Callable[[Any, Tensor, Tensor, Tensor], Tensor]

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


VALUES = (
    ValueCase("rotary", _rotary, _turned),
    ValueCase(
        "relative",
        values.RelativeValues,
        lambda _, weight, v, pos: reference.relative_values(weight, v),
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
)
