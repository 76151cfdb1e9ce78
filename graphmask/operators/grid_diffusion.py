"""Heat kernels of grids, axis by axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial, reduce

import torch
from torch import Tensor

from graphmask._checks import value_error
from graphmask._precision import double_dtype
from graphmask.kernels.products import in_one_type
from graphmask.topology import Topology

from ._grids import (
    AXIS_COST,
    BlockwiseOperator,
    check_shape,
    coordinates,
    grids_of,
    kronecker,
    multiply_axis,
    spread_blocks,
)
from .base import MaskOperator

# Axes up to this length are multiplied by matrices, which costs less than Fourier transforms there.
MATRIX_AXIS = 1024


class GridDiffusionOperator(BlockwiseOperator):
    r"""``M = exp(-sum_a t[h, a] L_a)`` for the Laplacians ``L_a = D - A`` of a grid along its axes.

    M is the Kronecker product of the heat kernels of paths. That of a path of n nodes is, with
    Neumann ends and by reflection, :math:`K_{ij} = g_{i - j} + g_{i + j + 1}` for the heat kernel g
    of a ring of 2 n nodes.

    Args:
        topology: graphs of ``prod(shape)`` nodes each, listed in row-major order.
        shape: ``(n_1, ..., n_D)``.
        t: ``[H, D]`` (or ``[H, 1]`` for all axes), at least 0.

    Raises:
        ValueError: where t does not fit the shape, or any graph has another number of nodes.

    Cost: per column ``N n`` along an axis of n nodes up to 1,024, by a matrix; O(N log n) along
    longer ones, by Fourier transforms. All entries are positive; those below the rounding of the
    largest may come out as small numbers of any sign.

    Example:
        >>> import torch, graphmask as gm
        >>> pair = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=2)
        >>> operator = gm.operators.GridDiffusionOperator(pair, (2,), torch.tensor([[0.5]]))
        >>> operator @ torch.tensor([1.0, 0.0])
        tensor([[0.6839, 0.3161]])
    """

    def __init__(self, topology: Topology, shape: Sequence[int], t: Tensor) -> None:
        self.grid = check_shape(shape)
        if t.dim() != 2 or t.shape[1] not in (1, len(self.grid)):
            raise value_error("t", f"of shape [H, {len(self.grid)}] or [H, 1]", t)
        self.t = in_one_type(t)[0].expand(-1, len(self.grid))
        cost = topology.num_nodes * sum(
            n if n <= MATRIX_AXIS else 10 * math.log2(2 * n) for n in self.grid
        )
        unit = AXIS_COST if max(self.grid) <= MATRIX_AXIS else 1.0
        super().__init__(topology, grids_of(topology, self.grid), len(t), True, cost, unit)

    def _matmul(self, x: Tensor) -> Tensor:
        t, x = in_one_type(self.t, x)
        return self.graphs.map(partial(self._spread, t), [x])

    def _spread(self, t: Tensor, nodes: Tensor) -> Tensor:
        x = nodes.unflatten(2, self.grid)
        for axis, n in enumerate(self.grid):
            decay = _decay(t[:, axis], n)
            if n <= MATRIX_AXIS:
                x = multiply_axis(axis + 2, _matrix(decay, n), x)
            else:
                x = _multiply_reflected(axis + 2, decay, x)
        return x.flatten(2, -2)

    def _transpose(self) -> MaskOperator:
        return self

    def to_dense(self) -> Tensor:
        axes = [_spectral(self.t[:, axis], n) for axis, n in enumerate(self.grid)]
        return spread_blocks(self.topology, reduce(kronecker, axes))

    def _between(self, i: Tensor, j: Tensor, size: int | Tensor) -> Tensor:
        entries = self.t.new_ones(self.heads, *torch.broadcast_shapes(i.shape, j.shape))
        axes = zip(self.grid, coordinates(i, self.grid), coordinates(j, self.grid), strict=True)
        for axis, (n, x, y) in enumerate(axes):
            entries = entries * _entries(_decay(self.t[:, axis], n), n, x, y)
        return entries

    def block(self, size: int) -> Tensor:
        axes = [_matrix(_decay(self.t[:, axis], n), n) for axis, n in enumerate(self.grid)]
        return reduce(kronecker, axes)


def _decay(t: Tensor, n: int) -> Tensor:
    """``[H, n + 1]``, the decay of the even waves on a ring of 2 n nodes."""
    wave = torch.arange(n + 1, device=t.device, dtype=double_dtype(t.device)) * (math.pi / n)
    return torch.exp(-t.unsqueeze(1) * (2 - 2 * wave.cos()).to(t.dtype))


def _entries(decay: Tensor, n: int, i: Tensor, j: Tensor) -> Tensor:
    """``[H, ...]`` entries of the heat kernel of a path."""
    ring = torch.fft.irfft(decay, 2 * n)
    return ring[:, (i - j).abs()] + ring[:, i + j + 1]


def _matrix(decay: Tensor, n: int) -> Tensor:
    """``[H, n, n]``, the heat kernel of a path."""
    nodes = torch.arange(n, device=decay.device)
    return _entries(decay, n, nodes.unsqueeze(1), nodes)


def _multiply_reflected(axis: int, decay: Tensor, x: Tensor) -> Tensor:
    """The product with the heat kernel of a path, on the ring of the path and its mirror image."""
    n = x.shape[axis]
    wave = torch.fft.rfft(torch.cat([x, x.flip(axis)], axis), dim=axis)
    wave = wave * decay.reshape(len(decay), *[1] * (axis - 1), -1, *[1] * (x.dim() - axis - 1))
    return torch.fft.irfft(wave, 2 * n, dim=axis).narrow(axis, 0, n)


def _spectral(t: Tensor, n: int) -> Tensor:
    """``[H, n, n]`` from the eigenvectors of a path's Laplacian, which are cosines."""
    k = torch.arange(n, device=t.device, dtype=t.dtype)
    norm = torch.where(k == 0, 1 / n, 2 / n).sqrt()
    wave = torch.cos(math.pi / n * (k + 0.5).unsqueeze(1) * k) * norm
    decay = torch.exp(-t.unsqueeze(1) * (2 - 2 * torch.cos(math.pi / n * k)))
    return torch.einsum("ik,hk,jk->hij", wave, decay, wave)
