"""Convolutions on grids, by Fourier transforms of grids padded to twice their length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import fft
from torch import Tensor

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
    return tuple(int(fft.next_fast_len(2 * n - 1, real=True)) for n in shape)


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
    """Grids ``[n_1, ..., n_D, 16]`` are transformed, with the offset 0 at the first place.

    By scipy, whose transforms do not depend on the number of threads as those of torch do. Lines of
    padding are not transformed: an axis is padded when its turn comes, and cut after it.
    """

    def __init__(self, shape: Sequence[int], lengths: Sequence[int], value: Tensor) -> None:
        self.shape, self.lengths = shape, lengths
        missing = [(0, length - n) for length, n in zip(lengths, value.shape, strict=True)]
        wide = np.roll(np.pad(value.numpy(), missing), [1 - n for n in shape], range(len(shape)))
        self.x, self.g = np.empty((2, int(np.prod(shape)) * LANES), wide.dtype)
        self.kernel = fft.rfftn(wide)[..., None]
        self.products = np.zeros_like(self.kernel)

    def multiply(self) -> Any:
        return self._invert(self.kernel * self._transform(self.x))

    def differentiate(self) -> tuple[Any, Any]:
        x, g = self._transform(self.x), self._transform(self.g)
        self.products += (x.conj() * g).sum(-1, keepdims=True)
        return self._invert(self.kernel * x), self._invert(self.kernel.conj() * g)

    def gradients(self) -> list[Tensor]:
        wide = fft.irfftn(self.products[..., 0], self.lengths)
        wide = np.roll(wide, [n - 1 for n in self.shape], range(len(self.shape)))
        offsets = tuple(slice(2 * n - 1) for n in self.shape)
        return [torch.from_numpy(np.ascontiguousarray(wide[offsets]))]

    def _transform(self, x: Any) -> Any:
        *rest, last = range(len(self.shape))
        grids = fft.rfft(x.reshape(*self.shape, LANES), self.lengths[last], axis=last)
        for axis in rest:
            grids = fft.fft(grids, self.lengths[axis], axis=axis, overwrite_x=True)
        return grids

    def _invert(self, x: Any) -> Any:
        *rest, last = range(len(self.shape))
        for axis in rest:
            x = fft.ifft(x, axis=axis, overwrite_x=True)[self._cut(axis)]
        grids = fft.irfft(x, self.lengths[last], axis=last)[self._cut(last)]
        return np.ascontiguousarray(grids).reshape(-1)

    def _cut(self, axis: int) -> tuple[slice, ...]:
        """The first nodes of an axis."""
        return (slice(None),) * axis + (slice(self.shape[axis]),)
