r"""Sums of polynomials times an exponential of the distance in rooted trees, block by block.

``M_ij = sum_k c_k d_ij^k prod_e r_e`` over the edges e between i and j, of lengths that add up to
d: two passes carry the moments of orders 0 to K, see ``_tree_numba``. The pairs that pass an edge
give its derivatives, by the multinomial theorem: with the distances a of both ends from it,

    d^k = sum_{a + b <= k} k! / (a! b! (k - a - b)!) d_i^a d_j^b w^(k - a - b).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import comb
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._extra import load_bodies
from .columns import LANES, Columns, Head


class TreeColumns(Columns):
    """M of trees; its parameters are ``r [H, N]``, ``w [H, N]`` and ``c [H, K + 1]``.

    Args:
        parent: ``[N]``, the parent of each node, which comes before it; a root is its own.
        multiply: ``(x, r, w, c) -> M x``, made of differentiable operators.
    """

    def __init__(self, parent: Tensor, multiply: Callable[..., Tensor]) -> None:
        self.parent, self.multiply = parent.numpy(), multiply

    def matmul(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return self.multiply(x, *parameters)

    def head(self, *parameters: Tensor) -> Head:
        return _TreeHead(self.parent, *parameters)


class _TreeHead(Head):
    def __init__(self, parent: np.ndarray, factor: Tensor, length: Tensor, c: Tensor) -> None:
        self.parent, self.factor, self.length, self.c = parent, factor, length, c
        nodes, self.orders = len(parent), len(c)
        self.stride = LANES * self.orders
        shift = [factor * comb(k, j) * length ** (k - j) for k, j in _lower(self.orders)]
        self.shift = torch.stack(shift, 1).flatten().numpy()
        dtype = self.shift.dtype
        self.x, self.x_out, self.g, self.g_out = np.empty((4, nodes * self.stride), dtype)
        self.y, self.z, self.adjoint = np.empty((3, nodes * LANES), dtype)
        self.edges = np.zeros((nodes, len(shift)), dtype)
        self.moments = np.zeros(self.orders)
        self.bodies = load_bodies("_tree_numba")

    def multiply(self) -> Any:
        structure = self.shift, self.c.numpy(), self.parent, self.orders
        self.bodies.ascend(self.x, self.x_out, self.shift, self.parent, self.orders)
        self.bodies.descend(self.x, self.x_out, self.y, *structure)
        return self.y

    def differentiate(self) -> tuple[Any, Any]:
        structure = self.shift, self.c.numpy(), self.parent, self.orders
        self.adjoint.reshape(-1, LANES)[:] = self.g.reshape(-1, self.stride)[:, :LANES]
        for inside, outside in ((self.x, self.x_out), (self.g, self.g_out)):
            self.bodies.ascend(inside, outside, self.shift, self.parent, self.orders)
        arrays = self.x, self.x_out, self.g, self.g_out, self.y, self.z, self.adjoint
        self.bodies.descend_both(*arrays, *structure, self.edges.reshape(-1), self.moments)
        return self.y, self.z

    def gradients(self) -> list[Tensor]:
        grad_factor, grad_length = torch.zeros_like(self.factor), torch.zeros_like(self.length)
        pairs = ((a, b) for a in range(self.orders) for b in range(self.orders - a))
        for products, (a, b) in zip(torch.from_numpy(self.edges).unbind(1), pairs, strict=True):
            for k in range(a + b, self.orders):
                power = k - a - b
                weighed = self.c[k] * comb(k, a) * comb(k - a, b) * products
                grad_factor += weighed * self.length**power
                if power:
                    grad_length += weighed * power * self.factor * self.length ** (power - 1)
        return [grad_factor, grad_length, torch.from_numpy(self.moments).to(self.c.dtype)]


def _lower(orders: int) -> Iterator[tuple[int, int]]:
    """Rows and columns of a lower triangle, row by row."""
    return ((k, j) for k in range(orders) for j in range(k + 1))
