"""Attention under a table of distances in trees: blocks pair by pair, groups by columns.

Letters: H heads, N nodes, n values of the table, G groups, w width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from graphmask.kernels._extra import load_bodies
from graphmask.kernels.columns import LANES, Columns, Head, attend_columns

from ._centroids import Decomposition, PairBlocks
from ._slices import run_slices
from ._tree_products import WIDEST, look_up, make_kernels, multiply_groups
from .base import Sums

# Bytes of the pairs of one slice of blocks.
_MEMORY = 2**22


def attend_table(
    structure: Decomposition, table: Tensor, q: Tensor, k: Tensor, v: Tensor, normalized: bool
) -> Sums | None:
    """Both sums of attention; None where distances in groups are so many that they are transformed.

    Args:
        structure: all pairs of nodes by distance.
        table: ``[H, n]``, in one type with all others.
        q: ``[H, N, m]``.
        k: ``[H, N, m]``.
        v: ``[H, N, d]``.
        normalized: whether the second sum is wanted.
    """
    if any(groups.width > WIDEST for groups in structure.groups):
        return None
    table = pad(table, (0, 1))  # past the table are zeros
    near = _attend_blocks(structure, table, q, k, v)
    sums, total = near[..., :-1], near[..., -1]
    if structure.groups:
        far, all_of_them = attend_columns(_TableColumns(structure), q, k, v, normalized, table)
        sums, total = sums + far, total if all_of_them is None else total + all_of_them
    return sums, total if normalized else None


def _attend_blocks(
    structure: Decomposition, table: Tensor, q: Tensor, k: Tensor, v: Tensor
) -> Tensor:
    """``[H, N, d + 1]``, sums over pairs of the same block; a node is in one block at most."""
    # Padding has a row of its own, and is past the table from every node.
    values = torch.cat([v, v.new_ones(*v.shape[:2], 1)], -1)
    rows = [pad(x, (0, 0, 0, 1)) for x in (q, k, values)]
    nodes, sums = [structure.members.col.new_empty(0)], [rows[2][:, :0]]

    def attend(node: Tensor, distance: Tensor) -> Tensor:
        queries, keys, values = (x[:, node] for x in rows)
        weight = look_up(table, distance) * (queries @ keys.mT)
        return (weight @ values).flatten(1, 2)

    for blocks in structure.blocks:
        sums += run_slices(attend, _graphs_of(blocks, q), blocks.node, blocks.distance, dim=0)
        nodes.append(blocks.node.flatten())
    total = torch.zeros_like(rows[2])
    return total.index_copy(1, torch.cat(nodes), torch.cat(sums, 1))[:, :-1]


def _graphs_of(blocks: PairBlocks, q: Tensor) -> int:
    """Number of blocks that fit a slice."""
    return _MEMORY // (len(q) * blocks.node.shape[1] ** 2 * q.element_size())


class _TableColumns(Columns):
    """Products over pairs that meet at a centroid; its parameter is the table ``[H, n + 1]``."""

    def __init__(self, structure: Decomposition) -> None:
        self.structure = structure

    def matmul(self, x: Tensor, *parameters: Tensor) -> Tensor:
        (table,) = parameters
        return multiply_groups(self.structure, make_kernels(self.structure, table), x)

    def head(self, *parameters: Tensor) -> Head:
        return _TableHead(self.structure, *parameters)


class _TableHead(Head):
    def __init__(self, structure: Decomposition, table: Tensor) -> None:
        self.structure, self.bodies = structure, load_bodies("_series_numba")
        self.stride, self.blocks = self.bodies.WIDTH, self.bodies.WIDTH // LANES
        dtype = torch.empty(0, dtype=table.dtype).numpy().dtype
        members = structure.members
        rowptr, col, colptr, row, csc_perm, _ = (x.numpy() for x in members.tensors)
        self.gather = rowptr, col, np.ones(len(col), dtype)
        self.scatter = colptr, row, structure.sign.numpy()[csc_perm].astype(dtype)
        self.x, self.g, self.y, self.z = np.empty((4, members.num_cols * self.stride), dtype)
        self.slots = np.empty((3, (len(rowptr) - 1) * self.stride), dtype)
        self.kernels = [kernel[0] for kernel in make_kernels(structure, table.unsqueeze(0))]
        self.grad_table = torch.zeros_like(table)

    def multiply(self) -> Any:
        return self._multiply(self.x, self.slots[0], self.y)

    def differentiate(self) -> tuple[Any, Any]:
        y = self._multiply(self.x, self.slots[0], self.y)
        z = self._multiply(self.g, self.slots[1], self.z)  # M is symmetric
        last = len(self.grad_table) - 1
        parts = zip(self.structure.groups, *map(self._parts, self.slots[:2]), strict=True)
        for groups, x, g in parts:
            products = groups.sign * torch.bmm(g, x.mT).sum(0)
            distance = torch.arange(groups.width)
            distance = (distance.unsqueeze(1) + distance).clamp(max=last).flatten()
            self.grad_table.index_add_(0, distance, products.flatten())
        return y, z

    def gradients(self) -> list[Tensor]:
        return [self.grad_table]

    def _multiply(self, x: Any, slots: Any, out: Any) -> Any:
        self.bodies.multiply_rows(*self.gather, x, slots)
        mixed = self.slots[2]
        parts = zip(self.kernels, self._parts(slots), self._parts(mixed), strict=True)
        for kernel, part, result in parts:
            torch.matmul(kernel, part, out=result)
        self.bodies.multiply_rows(*self.scatter, mixed, out)
        return out

    def _parts(self, slots: Any) -> list[Tensor]:
        """``[G, w, columns]`` of each kind of groups."""
        rows = torch.from_numpy(slots).view(-1, self.stride)
        groups = self.structure.groups
        parts = rows.split([kind.slots for kind in groups])
        return [x.view(kind.count, kind.width, -1) for x, kind in zip(parts, groups, strict=True)]
