"""Functions of the offset on grids: block-Toeplitz matrices of several levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphmask._checks import value_error
from graphmask.kernels.columns import attend_columns
from graphmask.kernels.products import in_one_type
from graphmask.topology import Topology

from ._convolution import ConvolutionColumns, convolve, padded_lengths
from ._grids import BlockwiseOperator, check_shape, coordinates, grids_of
from .base import MaskOperator, Sums


class ToeplitzOperator(BlockwiseOperator):
    r"""``M_ij = value[h, x_i - x_j + n - 1]`` for positions x on a grid of lengths n.

    Each graph is such a grid, its nodes in row-major order, and M is 0 between graphs.

    Args:
        topology: graphs of ``prod(shape)`` nodes each, and one more with a class token.
        shape: ``(n_1, ..., n_D)``.
        value: ``[H, 2 n_1 - 1, ..., 2 n_D - 1]``, of each offset from ``1 - n`` to ``n - 1``.
        nonnegative: whether no value can be negative.
        class_token: whether the first node of each graph lies on no grid: its row and its column
            are ones. (default: :obj:`False`)

    Raises:
        ValueError: where values do not fit the shape, or any graph has another number of nodes.

    Cost: O(N log N) per column by Fourier transforms of grids padded to twice their length;
    rounding is small against the largest entries of a product and not against each of them.

    Source: Choromanski et al., "From block-Toeplitz matrices to differential equations on graphs"
    (ICML 2022).

    Example:
        >>> import torch, graphmask as gm
        >>> pair = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=2)
        >>> value = torch.tensor([[1.0, 2.0, 3.0]])
        >>> gm.operators.ToeplitzOperator(pair, (2,), value, nonnegative=True).to_dense()
        tensor([[[2., 1.],
                 [3., 2.]]])
    """

    def __init__(
        self,
        topology: Topology,
        shape: Sequence[int],
        value: Tensor,
        nonnegative: bool,
        class_token: bool = False,
    ) -> None:
        self.grid, self.class_token = check_shape(shape), class_token
        self.value = in_one_type(value)[0]
        if tuple(value.shape[1:]) != tuple(2 * n - 1 for n in self.grid):
            shape_of_value = ", ".join(str(2 * n - 1) for n in self.grid)
            raise value_error("value", f"of shape [H, {shape_of_value}], all offsets", value)
        grids = grids_of(topology, self.grid, int(class_token))
        self._lengths = topology.derive(padded_lengths, *self.grid)
        size = math.prod(self._lengths)
        cost = topology.num_graphs * size * (2 + 2.5 * math.log2(size))
        super().__init__(topology, grids, len(value), nonnegative, cost)

    def _matmul(self, x: Tensor) -> Tensor:
        value, x = in_one_type(self.value, x)
        return self.graphs.map(partial(self._convolve, value), [x])

    def _convolve(self, value: Tensor, nodes: Tensor) -> Tensor:
        pixels = nodes[:, :, 1:] if self.class_token else nodes
        out = convolve(value, pixels.unflatten(2, self.grid), self._lengths).flatten(2, -2)
        if self.class_token:
            token = nodes.sum(2, keepdim=True).expand(len(out), -1, -1, -1)
            out = torch.cat([token, out + nodes[:, :, :1]], 2)
        return out

    def _attend_columns(self, q: Tensor, k: Tensor, v: Tensor, normalized: bool) -> Sums | None:
        """Attend by transforms of one block of columns after the other, on a single grid."""
        if self.class_token or self.topology.num_graphs > 1:
            return None
        value, q, k, v = in_one_type(self.value, q, k, v)
        columns = ConvolutionColumns(self.grid, self._lengths)
        values = value.expand(len(q), *value.shape[1:])
        return attend_columns(columns, q, k, v, normalized, values)

    def _transpose(self) -> MaskOperator:
        value = self.value.flip(tuple(range(1, self.value.dim())))
        return ToeplitzOperator(self.topology, self.grid, value, self.nonnegative, self.class_token)

    def _between(self, i: Tensor, j: Tensor, size: int | Tensor) -> Tensor:
        extra = int(self.class_token)
        x_i = coordinates((i - extra).clamp(min=0), self.grid)
        x_j = coordinates((j - extra).clamp(min=0), self.grid)
        offset = [x - y + n - 1 for x, y, n in zip(x_i, x_j, self.grid, strict=True)]
        index: tuple[slice | Tensor, ...] = (slice(None), *offset)
        value = self.value[index]
        return torch.where((i == 0) | (j == 0), 1.0, value) if self.class_token else value

    def block(self, size: int) -> Tensor:
        block = self.value
        for axis, n in enumerate(self.grid, 1):
            block = block.unfold(axis, n, 1)
        sides = len(self.grid)
        block = block.flip(tuple(range(1 + sides, 1 + 2 * sides))).flatten(1, sides).flatten(2)
        return pad(block, (1, 0, 1, 0), value=1.0) if self.class_token else block
