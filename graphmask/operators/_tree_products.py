"""Products with a table of distances, and sums over pairs by distance.

Each is the derivative of the other.

    product(t, x)_i = sum_j t[d_ij] x_j       d/dt = pairs, d/dx = product (distances are symmetric)
    pairs(a, b)_d   = sum of a_i . b_j over pairs with d_ij = d        d/da, d/db = product

Letters: H heads, N nodes, C channels, n values of the table, G groups, w width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphmask._precision import to_double
from graphmask.kernels import spmm

from ._centroids import Decomposition

# Distances of a group up to which its Hankel matrix is multiplied as it is, and not by Fourier
# transforms.
_WIDEST = 512

# Bytes of columns, or of blocks, of one slice: its intermediates should stay in the cache.
_MEMORY = 2**22

# Columns of a slice at least, since fewer are not worth a call.
_COLUMNS = 16


def table_product(structure: Decomposition, table: Tensor, x: Tensor) -> Tensor:
    r"""``[H, N, C]``, :math:`\sum_j t[d_{ij}] x_j`.

    Args:
        structure: all pairs of nodes by distance.
        table: ``[H, n]``.
        x: ``[H, N, C]`` of the same type.

    Cost: O(N log^2 N) per head and column, O(N) memory beside the structure.
    """
    return _Product.apply(structure, table, x)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, structure: Decomposition, table: Tensor, x: Tensor) -> Tensor:
        ctx.structure = structure
        ctx.save_for_backward(table, x)
        table = pad(table, (0, 1))
        out = _multiply_blocks(structure, table, x)
        if structure.groups:
            kernels = [_hankel_kernel(table, groups.width) for groups in structure.groups]
            for columns, out_columns in zip(_columns(x), _columns(out), strict=True):
                out_columns += _multiply_groups(structure, kernels, columns)
        return out

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        table, x = ctx.saved_tensors
        needs_table, needs_x = ctx.needs_input_grad[1:]
        grad_table = _Pairs.apply(ctx.structure, grad_output, x) if needs_table else None
        grad_x = _Product.apply(ctx.structure, table, grad_output) if needs_x else None
        return None, grad_table, grad_x


class _Pairs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, structure: Decomposition, a: Tensor, b: Tensor) -> Tensor:
        ctx.structure = structure
        ctx.save_for_backward(a, b)
        # The last column collects pairs past the table.
        total = a.new_zeros(len(a), structure.size + 1)
        _count_blocks(structure, a, b, total)
        for left, right in zip(_columns(a), _columns(b), strict=True):
            _count_groups(structure, left, right, total)
        return total[:, :-1]

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        grad_a = _Product.apply(ctx.structure, grad_output, b)
        return None, grad_a, _Product.apply(ctx.structure, grad_output, a)


def _columns(x: Tensor) -> tuple[Tensor, ...]:
    """Slices of columns of bounded memory."""
    width = _MEMORY // max(1, x.shape[0] * x.shape[1] * x.element_size())
    return x.split(max(_COLUMNS, width), -1)


def _multiply_blocks(structure: Decomposition, table: Tensor, x: Tensor) -> Tensor:
    """Products over pairs of the same block; a node is in one block at most."""
    # A padded node is past the table from every other.
    padded, out = pad(x, (0, 0, 0, 1)), x.new_zeros(x.shape[0], x.shape[1] + 1, x.shape[2])
    for node, distance in _block_slices(structure, x):
        out[:, node] = table[:, distance] @ padded[:, node]
    return out[:, :-1].contiguous()


def _count_blocks(structure: Decomposition, a: Tensor, b: Tensor, total: Tensor) -> None:
    """Add to ``[H, n + 1]`` the sums over pairs of the same block, by distance."""
    left, right = pad(a, (0, 0, 0, 1)), pad(b, (0, 0, 0, 1))
    for node, distance in _block_slices(structure, a):
        _add(total, distance, (left[:, node] @ right[:, node].mT).flatten(1))


def _block_slices(structure: Decomposition, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Nodes and distances of a few blocks at a time."""
    for blocks in structure.blocks:
        width = blocks.node.shape[1]
        count = _MEMORY // (x.shape[0] * width * max(width, x.shape[2]) * x.element_size())
        step = max(1, count)
        yield from zip(blocks.node.split(step), blocks.distance.split(step), strict=True)


def _multiply_groups(structure: Decomposition, kernels: list[Tensor], x: Tensor) -> Tensor:
    """Products over pairs that meet at a centroid."""
    pairs = zip(kernels, _sums_by_distance(structure, x), strict=True)
    mixed = [_multiply_hankel(kernel, sums).flatten(1, 2).to(x.dtype) for kernel, sums in pairs]
    sign = structure.sign[structure.members.csc_perm].to(x.dtype).expand(len(x), -1)
    return spmm(structure.members.mT, sign, torch.cat(mixed, 1))


def _count_groups(structure: Decomposition, a: Tensor, b: Tensor, total: Tensor) -> None:
    """Add to ``[H, n + 1]`` the sums over pairs that meet at a centroid, by distance."""
    sums = _sums_by_distance(structure, a), _sums_by_distance(structure, b)
    for groups, left, right in zip(structure.groups, *sums, strict=True):
        if groups.width <= _WIDEST:
            products = (left @ right.mT).sum(1).flatten(1)
            _add(total, _hankel_index(groups.width, a.device), groups.sign * products)
        else:
            spectrum = torch.einsum("hgfc,hgfc->hf", _transform(left), _transform(right))
            products = torch.fft.irfft(spectrum, n=2 * groups.width).to(total.dtype)
            distance = torch.arange(2 * groups.width, device=a.device)
            _add(total, distance, groups.sign * products)


def _add(total: Tensor, distance: Tensor, value: Tensor) -> None:
    total.index_add_(1, distance.flatten().clamp(max=total.shape[1] - 1).long(), value)


def _sums_by_distance(structure: Decomposition, x: Tensor) -> list[Tensor]:
    """``[H, G, w, C]``, sums over the nodes of each group at each distance."""
    if not structure.groups:
        return []
    ones = x.new_ones(1, 1).expand(len(x), structure.members.nnz)
    sums = spmm(structure.members, ones, x).split([groups.slots for groups in structure.groups], 1)
    shapes = [(groups.count, groups.width) for groups in structure.groups]
    return [part.unflatten(1, shape) for part, shape in zip(sums, shapes, strict=True)]


def _hankel_kernel(table: Tensor, width: int) -> Tensor:
    """``[H, w, w]`` of ``table[r + t]``; or its Fourier transform ``[H, w + 1]``, where cheaper."""
    last = table.shape[1] - 1
    if width <= _WIDEST:
        return table[:, _hankel_index(width, table.device).clamp(max=last)]
    distance = torch.arange(2 * width, device=table.device).clamp(max=last)
    return torch.fft.rfft(to_double(table[:, distance]))


def _multiply_hankel(kernel: Tensor, x: Tensor) -> Tensor:
    """``y_r = sum_t table[r + t] x_t`` in each group of ``[H, G, w, C]``."""
    width = x.shape[2]
    if kernel.dim() == 3:
        return kernel.unsqueeze(1) @ x
    spectrum = kernel[:, None, :, None] * _transform(x).conj()
    return torch.fft.irfft(spectrum, n=2 * width, dim=2)[:, :, :width]


def _hankel_index(width: int, device: torch.device) -> Tensor:
    """``[w, w]``, r + t."""
    ids = torch.arange(width, device=device)
    return ids.unsqueeze(0) + ids.unsqueeze(1)


def _transform(x: Tensor) -> Tensor:
    """Fourier transforms along distances, padded to twice their number.

    In float64, since their rounding is as large for small sums as for large.
    """
    return torch.fft.rfft(to_double(x), n=2 * x.shape[2], dim=2)
