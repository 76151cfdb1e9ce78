"""Power and Chebyshev series of a sparse matrix in attention, block by block.

The recurrences are those of ``polynomials``: Clenshaw's sums the terms of keys, and one run through
the terms of the adjoint gives both other gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._extra import load_bodies
from .columns import LANES, Columns, Head
from .pattern import Pattern
from .polynomials import chebyshev_series, power_series


class SeriesColumns(Columns):
    """``sum_k c_k T_k(W)``; its parameters are the coefficients ``[H, K + 1]``.

    Args:
        pattern: the entries of W.
        weight: ``[nnz]``, its values, without a gradient.
        chebyshev: whether T are Chebyshev polynomials, and not powers.
    """

    def __init__(self, pattern: Pattern, weight: Tensor, chebyshev: bool) -> None:
        self.pattern, self.weight, self.chebyshev = pattern, weight, chebyshev

    def matmul(self, x: Tensor, *parameters: Tensor) -> Tensor:
        series = chebyshev_series if self.chebyshev else power_series
        (coefficients,) = parameters
        return series(self.pattern, self.weight, coefficients, x)

    def head(self, *parameters: Tensor) -> Head:
        return _SeriesHead(self, *parameters)


class _SeriesHead(Head):
    def __init__(self, series: SeriesColumns, c: Tensor) -> None:
        self.c, self.chebyshev = c.numpy(), series.chebyshev
        rowptr, col, colptr, row, csc_perm, _ = (x.numpy() for x in series.pattern.tensors)
        weight = series.weight.numpy()
        flipped, double = weight[csc_perm], weight.dtype.type(2)
        self.forth = (rowptr, col, weight), (rowptr, col, double * weight)
        self.back = (colptr, row, flipped), (colptr, row, double * flipped)
        self.bodies = load_bodies("_series_numba")
        self.stride, self.blocks = self.bodies.WIDTH, self.bodies.WIDTH // LANES
        self.x, self.g, self.y, self.z, self.total, self.before = np.empty(
            (6, (len(rowptr) - 1) * self.stride), weight.dtype
        )
        self.moments = np.zeros(len(c))

    def multiply(self) -> Any:
        *lower, last = self.c
        if not lower:
            self.bodies.scale(self.x, last, self.total)
            return self.total
        for step, k in enumerate(reversed(range(len(lower)))):
            rowptr, col, value = self.forth[self.chebyshev and k > 0]
            # The recurrence starts at c_K x: the first matrix has its factor, and the second step,
            # which would subtract it, has x less often.
            source, value = (self.total, value) if step else (self.x, last * value)
            factor = lower[k] - last if self.chebyshev and step == 1 else lower[k]
            subtracts = self.chebyshev and step > 1
            self.bodies.recur(rowptr, col, value, self.x, factor, source, self.before, subtracts)
            self.total, self.before = self.before, self.total
        return self.total

    def differentiate(self) -> tuple[Any, Any]:
        first, *scales = self.c
        self.multiply()
        self.y, self.total = self.total, self.y
        self.bodies.scale(self.g, first, self.z)
        self.moments[0] += np.vdot(self.x, self.g)
        for k, factor in enumerate(scales):
            matrix, subtracts = self.back[self.chebyshev and k > 0], self.chebyshev and k > 0
            self.moments[k + 1] += self.bodies.advance(
                *matrix, self.g, self.before, subtracts, factor, self.z, self.x
            )
            self.g, self.before = self.before, self.g
        return self.y, self.z

    def gradients(self) -> list[Tensor]:
        return [torch.from_numpy(self.moments.astype(self.c.dtype))]
