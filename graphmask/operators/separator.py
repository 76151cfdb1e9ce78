"""A function of the shortest-path distance, by separators."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from scipy.sparse.csgraph import dijkstra
from torch import Tensor
from torch.nn.functional import pad

from graphmask.kernels import spmm
from graphmask.kernels.products import in_one_type
from graphmask.topology import Topology

from ._separation import Separation, Standing, dtype_of_lengths, length_matrix, separate
from .base import MaskOperator, Sign


class SeparatorOperator(MaskOperator):
    r""":math:`M_{ij} = f(\tilde d(i, j))` for the distances that ``SeparatorMask`` uses.

    Args:
        topology: undirected graphs with lengths of edges as weights.
        function: ``[...] -> [H, ...]``, 0 at infinite distances.
        nonnegative: whether f cannot be negative.
        tolerance: see the mask.
        resolution: see the mask.
        leaf_size: see the mask.
        max_entries: see the mask.

    Attributes:
        error_bound: the largest difference between a used distance and that of the graph.

    Cost: one dense product per block of distances, ``cost`` multiply-adds per head and column.

    Example:
        >>> import torch, graphmask as gm
        >>> length = torch.tensor([3.0, 3.0])
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2, edge_weight=length)
        >>> inverse = lambda d: 1 / (1 + d).unsqueeze(0)
        >>> gm.operators.SeparatorOperator(edge, inverse, True) @ torch.tensor([0.0, 1.0])
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
        # Computed once, since slices of lifted keys are multiplied one after the other.
        self._values = [function(stack.distance) for stack in self._separation.stacks]
        heads = len(self._values[0]) if self._values else len(function(torch.zeros(1)))
        super().__init__(topology, heads, Sign.of(nonnegative), _cost(self._separation))

    @property
    def standing(self) -> tuple[Standing, ...]:
        """Nodes and the seeds whose distances are used instead of theirs, split by split."""
        return self._separation.standing

    def distances(self) -> Tensor:
        """``[N, N]``, the distances that are used, infinite between graphs.

        Cost: O(N^2 log N), for tests and small graphs.
        """
        exact = torch.from_numpy(dijkstra(length_matrix(self.topology)))
        used = exact.clone()
        for row, row_seed, col, col_seed in self._separation.standing:
            seed_distance = exact[row_seed][:, col_seed]
            used[row[:, None], col] = seed_distance
            used[col[:, None], row] = seed_distance.mT
        return used.to(self.topology.device, dtype_of_lengths(self.topology))

    def to_dense(self) -> Tensor:
        return self.function(self.distances())

    def _matmul(self, x: Tensor) -> Tensor:
        separation, n = self._separation, self.num_nodes
        ones = x.new_ones(1, separation.members.nnz)
        # The last row is padding, which reads no node and is written to none.
        cells = pad(torch.cat([x, spmm(separation.members, ones, x)], 1), (0, 0, 0, 1))
        # One gather and one scatter for all blocks, since each passes over all cells, backward.
        sizes = [size for stack in separation.stacks for size in stack.sides]
        if not sizes:
            return x.new_zeros(self.heads, n, x.shape[2])
        sides = cells.index_select(1, separation.cell).split(sizes, 1)
        products = torch.cat(list(self._products(iter(sides))), 1)
        total = products.new_zeros(len(products), *cells.shape[1:])
        total = total.index_add(1, separation.cell, products)
        return total[:, :n] + spmm(separation.members.mT, ones.to(products.dtype), total[:, n:-1])

    def _products(self, inputs: Iterator[Tensor]) -> Iterator[Tensor]:
        """Products of blocks with the cells of their other side."""
        for stack, value in zip(self._separation.stacks, self._values, strict=True):
            sides = [next(inputs).unflatten(1, (len(stack.distance), -1)) for _ in stack.sides]
            for weight, side in zip((value, value.mT), sides[::-1], strict=False):
                weight, side = in_one_type(weight, side)
                yield (weight @ side).flatten(1, 2)

    def _transpose(self) -> MaskOperator:
        return self


def _cost(separation: Separation) -> float:
    dense = sum(stack.distance.numel() * (1 + stack.both) for stack in separation.stacks)
    return dense + 2 * separation.members.nnz
