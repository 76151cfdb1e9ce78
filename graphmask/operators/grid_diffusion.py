"""Heat kernels of grids, axis by axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from graphmask._checks import value_error
from graphmask.kernels.products import in_one_type
from graphmask.topology import Topology

from ._axes import along, kronecker
from ._blockwise import AXIS_COST, BlockwiseOperator
from ._grids import check_shape, coordinates, grids_of, spread_blocks
from .base import MaskOperator

# Axes up to this length are multiplied by matrices, which costs less than Fourier transforms there.
MATRIX_AXIS = 1024


class GridDiffusionOperator(BlockwiseOperator):
    r"""``M = exp(-sum_a t[h, a] L_a)``, where L_a is the Laplacian D - A of a grid's edges along axis a.

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
        >>> gm.operators.GridDiffusionOperator(pair, (2,), torch.tensor([[0.5]])) @ torch.tensor([1.0, 0.0])
        tensor([[0.6839, 0.3161]])
    """

    def __init__(self, topology: Topology, shape: Sequence[int], t: Tensor) -> None:
        self.grid = check_shape(shape)
        if t.dim() != 2 or t.shape[1] not in (1, len(self.grid)):
            raise value_error("t", f"of shape [H, {len(self.grid)}] or [H, 1]", t)
        self.t = t.expand(-1, len(self.grid))
        cost = topology.num_nodes * sum(
            n if n <= MATRIX_AXIS else 10 * math.log2(2 * n) for n in self.grid
        )
        unit = AXIS_COST if max(self.grid) <= MATRIX_AXIS else 1.0
        super().__init__(topology, grids_of(topology, self.grid), len(t), True, cost, unit)

    def _matmul(self, x: Tensor) -> Tensor:
        t, x = in_one_type(self.t, x)
        (nodes,) = self._graphs.split(x)
        places = nodes.unflatten(2, self.grid)
        for axis, n in enumerate(self.grid):
            decay = _decay(t[:, axis], n)
            short = n <= MATRIX_AXIS
            places = (
                along(axis + 2, _matrix(decay, n), places)
                if short
                else _reflected(axis + 2, decay, places)
            )
        return self._graphs.join([places.flatten(2, -2)])

    def _transpose(self) -> MaskOperator:
        return self

    def to_dense(self) -> Tensor:
        axes = [_spectral(self.t[:, axis], n) for axis, n in enumerate(self.grid)]
        return spread_blocks(self.topology, reduce(kronecker, axes))

    def _between(self, i: Tensor, j: Tensor, size: int | Tensor) -> Tensor:
        found = self.t.new_ones(self.heads, *torch.broadcast_shapes(i.shape, j.shape))
        for axis, (n, x, y) in enumerate(
            zip(self.grid, *(coordinates(r, self.grid) for r in (i, j)), strict=True)
        ):
            found = found * _entries(_decay(self.t[:, axis], n), n, x, y)
        return found

    def _block(self, size: int) -> Tensor:
        return reduce(
            kronecker, [_matrix(_decay(self.t[:, axis], n), n) for axis, n in enumerate(self.grid)]
        )


def _decay(t: Tensor, n: int) -> Tensor:
    """``[H, n + 1]``, what time leaves of the even waves on a ring of 2 n nodes."""
    wave = torch.arange(n + 1, device=t.device, dtype=torch.float64) * (math.pi / n)
    return torch.exp(-t.unsqueeze(1) * (2 - 2 * wave.cos()).to(t.dtype))


def _entries(decay: Tensor, n: int, i: Tensor, j: Tensor) -> Tensor:
    """``[H, ...]`` entries of the heat kernel of a path."""
    ring = torch.fft.irfft(decay, 2 * n)
    return ring[:, (i - j).abs()] + ring[:, i + j + 1]


def _matrix(decay: Tensor, n: int) -> Tensor:
    """``[H, n, n]``, the heat kernel of a path."""
    place = torch.arange(n, device=decay.device)
    return _entries(decay, n, place.unsqueeze(1), place)


def _reflected(axis: int, decay: Tensor, x: Tensor) -> Tensor:
    """The product with the heat kernel of a path, on the ring that a path and its mirror image make."""
    n = x.shape[axis]
    wave = torch.fft.rfft(torch.cat([x, x.flip(axis)], axis), dim=axis)
    wave = wave * decay.reshape(len(decay), *[1] * (axis - 1), -1, *[1] * (x.dim() - axis - 1))
    return torch.fft.irfft(wave, 2 * n, dim=axis).narrow(axis, 0, n)


def _spectral(t: Tensor, n: int) -> Tensor:
    """``[H, n, n]`` from the eigenvectors of a path's Laplacian, which are cosines."""
    k = torch.arange(n, device=t.device, dtype=t.dtype)
    wave = (
        torch.cos(math.pi / n * (k + 0.5).unsqueeze(1) * k)
        * torch.where(k == 0, 1 / n, 2 / n).sqrt()
    )
    return torch.einsum(
        "ik,hk,jk->hij",
        wave,
        torch.exp(-t.unsqueeze(1) * (2 - 2 * torch.cos(math.pi / n * k))),
        wave,
    )
