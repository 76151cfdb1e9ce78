"""Graphs of equal size, whose nodes are the places of a grid in row-major order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphmask._checks import check_integer, type_error, value_error
from graphmask.topology import Topology


@dataclass(frozen=True, eq=False)
class BySize:
    """The graphs of a batch, those of equal size side by side.

    Within a graph nodes keep their order.

    Attributes:
        shapes: how many graphs B there are of each size P, sizes ascending, none of them 0.
        order: ``[N]``, the nodes one graph after the other, or :obj:`None` where they are so
            already.
        place: ``[N]``, where each node is then.
    """

    shapes: tuple[tuple[int, int], ...]
    order: Tensor | None
    place: Tensor | None

    def split(self, x: Tensor) -> list[Tensor]:
        """``[H, N, C]`` as ``[H, B, P, C]`` for each size P."""
        x = x if self.order is None else x.index_select(1, self.order)
        parts = x.split([graphs * size for graphs, size in self.shapes], 1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """``[H, N, C]`` from ``[H, B, P, C]`` for each size P."""
        flat = (
            torch.cat([part.flatten(1, 2) for part in parts], 1)
            if len(parts) > 1
            else parts[0].flatten(1, 2)
        )
        return flat if self.place is None else flat.index_select(1, self.place)


def by_size(topology: Topology) -> BySize:
    """The graphs of a batch by their sizes; kept by ``topology.derive(by_size)``."""
    if topology.batch is None:
        shapes = ((1, topology.num_nodes),) if topology.num_nodes else ()
        return BySize(shapes, None, None)
    sizes = topology.graph_sizes
    size, graphs = torch.unique(sizes[sizes > 0], return_counts=True)
    rank = torch.argsort(torch.argsort(sizes, stable=True))
    order = torch.argsort(rank[topology.batch], stable=True)
    return BySize(
        tuple(zip(graphs.tolist(), size.tolist(), strict=True)), order, torch.argsort(order)
    )


def grids_of(topology: Topology, shape: Sequence[int], extra: int = 0) -> BySize:
    """The graphs of a topology, each of them a grid of this shape with ``extra`` nodes more.

    Raises:
        ValueError: where any graph has another number of nodes.
    """
    found = topology.derive(by_size)
    size = math.prod(shape) + extra
    if [each for _, each in found.shapes] != [size]:
        grid = " x ".join(map(str, shape)) + (f" + {extra}" if extra else "")
        kind = f"of graphs of {grid} = {size} nodes each, as `shape` says"
        raise value_error("topology", kind, f"graphs of {[each for _, each in found.shapes]} nodes")
    return found


def check_shape(shape: int | Sequence[int], dimensions: Sequence[int] = ()) -> tuple[int, ...]:
    """The lengths of the axes of a grid, each at least 1."""
    if isinstance(shape, int):
        shape = (shape,)
    if not isinstance(shape, Sequence) or isinstance(shape, str):
        raise type_error("shape", "the lengths of the axes of a grid, such as (14, 14)", shape)
    if not shape or (dimensions and len(shape) not in dimensions):
        raise value_error(
            "shape", f"of {' or '.join(map(str, dimensions)) or 'at least 1'} axes", tuple(shape)
        )
    return tuple(check_integer("shape", length, 1) for length in shape)


def coordinates(rank: Tensor, shape: Sequence[int]) -> list[Tensor]:
    """The coordinates on each axis of places in row-major order."""
    return list(torch.unravel_index(rank, tuple(shape)))


def spread_blocks(topology: Topology, block: Tensor) -> Tensor:
    """The block-diagonal ``[H, N, N]`` with the same block ``[H, P, P]`` for every graph."""
    rank, batch = topology.local_index, topology.batch
    whole = block[:, rank][:, :, rank]
    return whole if batch is None else whole * (batch.unsqueeze(1) == batch.unsqueeze(0))
