"""A function of the shortest-path distance, by separators."""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from graphmask.kernels import spmm
from graphmask.kernels.primitives import in_one_type
from graphmask.topology import Topology

from ._separation import Separation, Stack, Standing, length_matrix, separate
from .base import MaskOperator


class SeparatorOperator(MaskOperator):
    r""":math:`M_{ij} = f(\tilde d(i, j))` for distances told through separators, those of ``SeparatorMask``.

    Args:
        topology: undirected graphs with lengths of edges as weights.
        function: ``[...] -> [H, ...]``, 0 at infinite distances.
        nonnegative: whether f cannot be negative.
        tolerance: see the mask.
        resolution: see the mask.
        leaf_size: see the mask.
        max_entries: see the mask.

    Attributes:
        error_bound: no used distance differs from that of the graph by more.

    Cost: one dense product per block of distances, ``cost`` multiply-adds per head and column.

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2, edge_weight=torch.tensor([3.0, 3.0]))
        >>> gm.operators.SeparatorOperator(edge, lambda d: 1 / (1 + d).unsqueeze(0), True) @ torch.tensor([0.0, 1.0])
        tensor([[0.2500, 1.0000]])
    """

    def __init__(
        self,
        topology: Topology,
        function: Callable[[Tensor], Tensor],
        nonnegative: bool,
        tolerance: float = 0.5,
        resolution: float = 0.0,
        leaf_size: int = 128,
        max_entries: int = 2**27,
    ) -> None:
        self._separation = topology.derive(separate, tolerance, resolution, leaf_size, max_entries)
        self.function, self.error_bound = function, self._separation.error_bound
        # Made once: slices of lifted keys are multiplied one after the other.
        self._values = [function(stack.distance) for stack in self._separation.stacks]
        heads = len(self._values[0]) if self._values else len(function(torch.zeros(1)))
        super().__init__(topology, heads, nonnegative, _cost(self._separation))

    @property
    def standing(self) -> tuple[Standing, ...]:
        """For whom which nodes stand in, split by split."""
        return self._separation.standing

    def distances(self) -> Tensor:
        """``[N, N]``, the distances that are used, infinite between graphs: those of the nodes that stand in for i and j.

        Cost: O(N^2 log N), for tests and small graphs.
        """
        exact = torch.from_numpy(dijkstra(length_matrix(self.topology)))
        used = exact.clone()
        for row, row_seed, col, col_seed in self._separation.standing:
            told = exact[row_seed][:, col_seed]
            used[row[:, None], col] = told
            used[col[:, None], row] = told.mT
        return used.to(self.topology.device, self._separation.dtype)

    def to_dense(self) -> Tensor:
        return self.function(self.distances())

    def _matmul(self, x: Tensor) -> Tensor:
        members = self._separation.members
        ones = x.new_ones(1, members.nnz)
        # The last row stands for no cell, so that what is padded reads no node and writes to none.
        cells = torch.cat([x, spmm(members, ones, x), x.new_zeros(len(x), 1, x.shape[2])], 1)
        total = cells.new_zeros(self.heads if len(x) == 1 else len(x), *cells.shape[1:])
        for stack, value in zip(self._separation.stacks, self._values, strict=True):
            total = _add_products(total, cells, stack, value)
        n = self.num_nodes
        return total[:, :n] + spmm(members.mT, ones, total[:, n:-1])

    def _transpose(self) -> MaskOperator:
        return self


def _add_products(total: Tensor, cells: Tensor, stack: Stack, value: Tensor) -> Tensor:
    """The products of a stack of blocks, and of their transposes, added to those that are there."""
    value, cells = in_one_type(value, cells)
    total = _add(total, stack.row, value @ _take(cells, stack.col))
    return _add(total, stack.col, value.mT @ _take(cells, stack.row)) if stack.both else total


def _take(cells: Tensor, place: Tensor) -> Tensor:
    return cells.index_select(1, place.flatten()).unflatten(1, place.shape)


def _add(total: Tensor, place: Tensor, product: Tensor) -> Tensor:
    kind = torch.promote_types(total.dtype, product.dtype)
    return total.to(kind).index_add(1, place.flatten(), product.flatten(1, 2).to(kind))


def _cost(separation: Separation) -> float:
    dense = sum(stack.distance.numel() * (1 + stack.both) for stack in separation.stacks)
    return dense + 2 * separation.members.nnz
