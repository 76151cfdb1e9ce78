"""Operators whose graphs of one size share a block, such as grids with nodes in row-major order."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from graphmask._blocks import Blocks
from graphmask._checks import check_integer, type_error, value_error
from graphmask.kernels import Pattern
from graphmask.topology import Topology

from .base import EntrywiseOperator, Sign

# The time of a multiply-add in products along axes, with the lifted keys that they read, in those
# of a sparse product: measured on grids and hypercubes of 64 to 4,096 nodes.
AXIS_COST = 0.4


def graphs_by_size(topology: Topology) -> Blocks:
    """The graphs of a batch, those of equal size in a group."""
    sizes, batch = topology.graph_sizes, topology.batch
    return Blocks.of_graphs(sizes, batch, topology.local_index, exact=True)


class BlockwiseOperator(EntrywiseOperator):
    """An operator with the same block ``[H, P, P]`` for all graphs of P nodes.

    A subclass gives ``_between``, and ``block``, which attention over small graphs builds once for
    all graphs of a size.

    Args:
        topology: the graphs.
        graphs: the same, by size.
        heads: H.
        nonnegative: whether no entry can be negative.
        cost: multiply-adds of ``M @ x`` per head and column of x.
        unit_cost: the time of one of these, in multiply-adds of a sparse product. (default:
            :obj:`1.0`)
    """

    def __init__(
        self,
        topology: Topology,
        graphs: Blocks,
        heads: int,
        nonnegative: bool,
        cost: float,
        unit_cost: float = 1.0,
    ) -> None:
        super().__init__(topology, heads, Sign.of(nonnegative), cost)
        self.graphs, self.unit_cost = graphs, unit_cost

    @abstractmethod
    def _between(self, i: Tensor, j: Tensor, size: int | Tensor) -> Tensor:
        """``[H, ...]`` entries between ranks i and j in graphs of ``size`` nodes."""

    @abstractmethod
    def block(self, size: int) -> Tensor:
        """``[H, P, P]``, the block of graphs of P = ``size`` nodes."""

    def _at(self, row: Tensor, col: Tensor) -> Tensor:
        rank, batch = self.topology.local_index, self.topology.batch
        if batch is None:
            return self._between(rank[row], rank[col], self.num_nodes)
        entries = self._between(rank[row], rank[col], self.topology.graph_sizes[batch[row]])
        return self._within_graphs(entries, row, col)


def grids_of(topology: Topology, shape: Sequence[int], extra: int = 0) -> Blocks:
    """The graphs of a topology, each of them a grid of this shape with ``extra`` nodes more."""
    graphs = topology.derive(graphs_by_size)
    size, sizes = math.prod(shape) + extra, [nodes for _, nodes in graphs.shapes]
    if topology.num_nodes and set(sizes) - {size}:
        grid = " x ".join(map(str, shape)) + (f" + {extra}" if extra else "")
        expected = f"of graphs of {grid} = {size} nodes each, as `shape` says"
        raise value_error("topology", expected, f"graphs of {sizes} nodes")
    return graphs


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
    spread = block[:, rank][:, :, rank]
    return spread if batch is None else spread * (batch.unsqueeze(1) == batch.unsqueeze(0))


def pairs_within_graphs(topology: Topology) -> Pattern:
    """Make the pattern of all pairs of nodes of the same graph."""
    n, sizes = topology.num_nodes, topology.graph_sizes
    batch = torch.zeros_like(topology.local_index) if topology.batch is None else topology.batch
    count, nodes = sizes[batch], torch.argsort(batch, stable=True)
    # From the place of a pair to that of its second node among the nodes graph by graph.
    shift = (sizes.cumsum(0) - sizes)[batch] - (count.cumsum(0) - count)
    pairs = topology.derive(_count_pairs)
    place = shift.repeat_interleave(count, output_size=pairs)
    return Pattern.from_counts(count, nodes[place + torch.arange(pairs, device=place.device)], n)


def _count_pairs(topology: Topology) -> int:
    return int(topology.graph_sizes.square().sum())


def multiply_axis(axis: int, matrix: Tensor, x: Tensor) -> Tensor:
    """``y_i = sum_j matrix_ij x_j`` along an axis of grids ``x [H, B, n_1, ..., n_D, C]``."""
    before, after = x.shape[1:axis], x.shape[axis + 1 :]
    flat = x.reshape(len(x), before.numel(), x.shape[axis], after.numel())
    out = torch.einsum("hij,hljr->hlir", matrix, flat)
    return out.reshape(len(out), *before, out.shape[2], *after)


def kronecker(left: Tensor, right: Tensor) -> Tensor:
    """``[H, m n, m n]`` from ``[H, m, m]`` and ``[H, n, n]``."""
    return torch.einsum("hij,hkl->hikjl", left, right).flatten(3, 4).flatten(1, 2)
