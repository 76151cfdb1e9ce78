"""Products of sparse matrices in attention, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._extra import load_bodies
from .columns import LANES, Columns, Head
from .pattern import Pattern
from .products import spmm


class ProductColumns(Columns):
    """``W_1 W_2 ...``; its parameters are the values ``[H, nnz]`` of each factor.

    Args:
        patterns: the entries of each factor.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self.patterns = patterns

    def matmul(self, x: Tensor, *parameters: Tensor) -> Tensor:
        for pattern, value in zip(reversed(self.patterns), reversed(parameters), strict=True):
            x = spmm(pattern, value, x)
        return x

    def head(self, *parameters: Tensor) -> Head:
        return _ProductHead(self.patterns, parameters)


class _ProductHead(Head):
    def __init__(self, patterns: Sequence[Pattern], values: Sequence[Tensor]) -> None:
        self.bodies = load_bodies("_series_numba")
        self.stride, self.blocks = self.bodies.WIDTH, self.bodies.WIDTH // LANES
        self.forth, self.back = [], []
        for pattern, value in zip(patterns, values, strict=True):
            rowptr, col, colptr, row, csc_perm, _ = (x.numpy() for x in pattern.tensors)
            self.forth.append((rowptr, col, value.numpy()))
            self.back.append((colptr, row, value.numpy()[csc_perm]))
        numbers = (len(patterns[0].rowptr) - 1) * self.stride
        dtype = self.forth[0][2].dtype
        self.x, self.g, self.z, self.y = np.empty((4, numbers), dtype)
        # What each factor is multiplied with.
        self.inputs = [*np.empty((len(values) - 1, numbers), dtype), self.x]
        self.products = [np.zeros_like(value) for *_, value in self.forth]

    def multiply(self) -> Any:
        outputs = [self.y, *self.inputs[:-1]]
        for matrix, x, out in reversed(list(zip(self.forth, self.inputs, outputs, strict=True))):
            self.bodies.multiply_rows(*matrix, x, out)
        return self.y

    def differentiate(self) -> tuple[Any, Any]:
        self.multiply()
        for forth, back, x, products in zip(
            self.forth, self.back, self.inputs, self.products, strict=True
        ):
            self.bodies.add_products(*forth[:2], self.g, x, products)
            self.bodies.multiply_rows(*back, self.g, self.z)
            self.g, self.z = self.z, self.g
        return self.y, self.g

    def gradients(self) -> list[Tensor]:
        return [torch.from_numpy(products) for products in self.products]
