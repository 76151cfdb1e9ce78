"""Convolutions on grids, by Fourier transforms of grids padded to twice their length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn.functional import pad

from graphmask.kernels.columns import LANES, Columns, Head
from graphmask.topology import Topology


def convolve(value: Tensor, x: Tensor, lengths: Sequence[int]) -> Tensor:
    """``y_i = sum_j value[i - j + n - 1] x_j`` on the grids of ``x [H, B, n_1, ..., n_D, C]``.

    The convolution is circular on grids of ``lengths`` of at least ``2 n - 1``, so that no offset
    that is read wraps around.
    """
    shape = x.shape[2:-1]
    product = _transform(value[:, None, ..., None], lengths) * _transform(x, lengths)
    for axis, n in enumerate(shape[:-1], 2):
        product = torch.fft.ifft(product, dim=axis).narrow(axis, n - 1, n)
    last = len(shape) + 1
    return torch.fft.irfft(product, lengths[-1], dim=last).narrow(last, shape[-1] - 1, shape[-1])


def _transform(x: Tensor, lengths: Sequence[int]) -> Tensor:
    """The Fourier transform of axes 2, 3, ...; the last one first, while all numbers are real."""
    x = torch.fft.rfft(x, lengths[-1], dim=len(lengths) + 1)
    for axis, length in enumerate(lengths[:-1], 2):
        x = torch.fft.fft(x, length, dim=axis)
    return x


def padded_lengths(topology: Topology, *shape: int) -> tuple[int, ...]:
    """Lengths of at least ``2 n - 1`` that are products of small primes; kept with a topology."""
    return tuple(int(next_fast_len(2 * n - 1, real=True)) for n in shape)


class ConvolutionColumns(Columns):
    """:func:`convolve` on one grid; its parameter are the values ``[H, 2 n_1 - 1, ...]``.

    Args:
        shape: ``(n_1, ..., n_D)``.
        lengths: of the padded grid.
    """

    def __init__(self, shape: Sequence[int], lengths: Sequence[int]) -> None:
        self.shape, self.lengths = shape, lengths

    def matmul(self, x: Tensor, *parameters: Tensor) -> Tensor:
        (value,) = parameters
        grid = x.unflatten(1, tuple(self.shape)).unsqueeze(1)
        return convolve(value, grid, self.lengths).flatten(1, -2)

    def head(self, *parameters: Tensor) -> Head:
        return _ConvolutionHead(self.shape, self.lengths, *parameters)


class _ConvolutionHead(Head):
    """Grids ``[16, n_1, ..., n_D]`` are transformed, with the offset 0 at the first place."""

    def __init__(self, shape: Sequence[int], lengths: Sequence[int], value: Tensor) -> None:
        self.shape, self.lengths = shape, lengths
        self.axes = tuple(range(len(shape)))
        self.dims = tuple(axis + 1 for axis in self.axes)
        dtype = torch.empty(0, dtype=value.dtype).numpy().dtype
        self.x, self.g = np.empty((2, int(np.prod(shape)) * LANES), dtype)
        missing = [length - size for length, size in zip(lengths, value.shape, strict=True)]
        wide = pad(value, [side for count in reversed(missing) for side in (0, count)])
        self.kernel = torch.fft.rfftn(wide.roll([1 - n for n in shape], self.axes))
        self.products = torch.zeros_like(self.kernel)

    def multiply(self) -> Any:
        return self._invert(self.kernel * self._transform(self.x))

    def differentiate(self) -> tuple[Any, Any]:
        x, g = self._transform(self.x), self._transform(self.g)
        self.products += (x.conj() * g).sum(0)
        return self._invert(self.kernel * x), self._invert(self.kernel.conj() * g)

    def gradients(self) -> list[Tensor]:
        wide = torch.fft.irfftn(self.products, self.lengths)
        wide = wide.roll([n - 1 for n in self.shape], self.axes)
        return [wide[tuple(slice(2 * n - 1) for n in self.shape)]]

    def _transform(self, x: Any) -> Tensor:
        grids = torch.from_numpy(x).view(-1, LANES).mT.reshape(LANES, *self.shape)
        return torch.fft.rfftn(grids, self.lengths, self.dims)

    def _invert(self, x: Tensor) -> Any:
        for dim, n in zip(self.dims[:-1], self.shape, strict=False):
            x = torch.fft.ifft(x, dim=dim).narrow(dim, 0, n)
        grids = torch.fft.irfft(x, self.lengths[-1])[..., : self.shape[-1]]
        return grids.reshape(LANES, -1).mT.contiguous().view(-1).numpy()
