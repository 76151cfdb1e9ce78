"""Products with a table of distances, and sums over pairs by distance.

Each is the derivative of the other.

    product(t, x)_i = sum_j t[d_ij] x_j            d/dt = pairs, d/dx = product (distances are symmetric)
    pairs(a, b)_d   = sum of a_i . b_j over pairs with d_ij = d        d/da, d/db = product

Letters: H heads, N nodes, C channels, n values of the table, G groups, w width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphmask.kernels import spmm

from ._centroids import Decomposition

# Distances of a group up to which its Hankel matrix is multiplied as it is, and not by Fourier
# transforms.
_WIDEST = 512

# Bytes of columns, or of blocks, that are taken at once: what is made of them should stay in the
# cache.
_MEMORY = 2**22

# Columns that are taken at once at least, since fewer are not worth a call.
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
        near = _near(structure, table, x)
        if structure.groups:
            kernels = [_kernel(table, each.width) for each in structure.groups]
            for part, out in zip(_columns(x), _columns(near), strict=True):
                out += _far(structure, kernels, part)
        return near

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        table, x = ctx.saved_tensors
        needs = ctx.needs_input_grad
        grad_table = _Pairs.apply(ctx.structure, above, x) if needs[1] else None
        return None, grad_table, _Product.apply(ctx.structure, table, above) if needs[2] else None


class _Pairs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, structure: Decomposition, a: Tensor, b: Tensor) -> Tensor:
        ctx.structure = structure
        ctx.save_for_backward(a, b)
        total = a.new_zeros(len(a), structure.size + 1)
        _count_near(structure, a, b, total)
        for left, right in zip(_columns(a), _columns(b), strict=True):
            _count_far(structure, left, right, total)
        return total[:, :-1]

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        return (
            None,
            _Product.apply(ctx.structure, above, b),
            _Product.apply(ctx.structure, above, a),
        )


def _columns(x: Tensor) -> tuple[Tensor, ...]:
    """Some columns at a time."""
    width = max(_COLUMNS, _MEMORY // max(1, x.shape[0] * x.shape[1] * x.element_size()))
    return x.split(width, -1)


def _near(structure: Decomposition, table: Tensor, x: Tensor) -> Tensor:
    """What is known pair by pair.

    Nodes are in one block at most, and places of none are far from everything.
    """
    padded, y = pad(x, (0, 0, 0, 1)), x.new_zeros(x.shape[0], x.shape[1] + 1, x.shape[2])
    for node, distance in _some_blocks(structure, x):
        y[:, node] = table[:, distance] @ padded[:, node]
    return y[:, :-1].contiguous()


def _count_near(structure: Decomposition, a: Tensor, b: Tensor, total: Tensor) -> None:
    """Add to ``[H, n + 1]`` what pairs at each distance sum to.

    The last place is for pairs past the table.
    """
    left, right = pad(a, (0, 0, 0, 1)), pad(b, (0, 0, 0, 1))
    for node, distance in _some_blocks(structure, a):
        _add(total, distance, (left[:, node] @ right[:, node].mT).flatten(1))


def _some_blocks(structure: Decomposition, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Nodes and distances of blocks, some at a time."""
    for blocks in structure.blocks:
        width = blocks.node.shape[1]
        number = max(1, _MEMORY // (x.shape[0] * width * max(width, x.shape[2]) * x.element_size()))
        yield from zip(blocks.node.split(number), blocks.distance.split(number), strict=True)


def _far(structure: Decomposition, kernels: list[Tensor], x: Tensor) -> Tensor:
    parts = zip(kernels, _by_distance(structure, x), strict=True)
    mixed = torch.cat(
        [_hankel(kernel, part).flatten(1, 2).to(x.dtype) for kernel, part in parts], 1
    )
    sign = structure.sign[structure.members.csc_perm].to(x.dtype).expand(len(x), -1)
    return spmm(structure.members.mT, sign, mixed)


def _count_far(structure: Decomposition, a: Tensor, b: Tensor, total: Tensor) -> None:
    for groups, *found in zip(
        structure.groups, _by_distance(structure, a), _by_distance(structure, b), strict=True
    ):
        if groups.width <= _WIDEST:
            meeting = (found[0] @ found[1].mT).sum(1).flatten(1)
            _add(total, _sums(groups.width, a.device), groups.sign * meeting)
        else:
            fourier = torch.einsum("hgfc,hgfc->hf", *(_transformed(x) for x in found))
            sums = torch.fft.irfft(fourier, n=2 * groups.width).to(total.dtype)
            _add(total, torch.arange(2 * groups.width, device=a.device), groups.sign * sums)


def _add(total: Tensor, distance: Tensor, value: Tensor) -> None:
    total.index_add_(1, distance.flatten().clamp(max=total.shape[1] - 1).long(), value)


def _by_distance(structure: Decomposition, x: Tensor) -> list[Tensor]:
    """``[H, G, w, C]``, sums over the nodes of each group at each distance."""
    if not structure.groups:
        return []
    members, sizes = structure.members, [each.slots for each in structure.groups]
    sums = spmm(members, x.new_ones(1, 1).expand(len(x), members.nnz), x)
    parts = zip(structure.groups, sums.split(sizes, 1), strict=True)
    return [part.unflatten(1, (each.number, each.width)) for each, part in parts]


def _kernel(table: Tensor, width: int) -> Tensor:
    """``[H, w, w]`` of ``table[r + t]``, or its Fourier transform ``[H, w + 1]`` where that is cheaper."""
    last = table.shape[1] - 1
    if width <= _WIDEST:
        return table[:, _sums(width, table.device).clamp(max=last)]
    return torch.fft.rfft(
        table[:, torch.arange(2 * width, device=table.device).clamp(max=last)].double()
    )


def _hankel(kernel: Tensor, x: Tensor) -> Tensor:
    """``y_r = sum_t table[r + t] x_t`` in each group of ``[H, G, w, C]``."""
    width = x.shape[2]
    if kernel.dim() == 3:
        return kernel.unsqueeze(1) @ x
    return torch.fft.irfft(kernel[:, None, :, None] * _transformed(x).conj(), n=2 * width, dim=2)[
        :, :, :width
    ]


def _sums(width: int, device: torch.device) -> Tensor:
    """``[w, w]``, r + t."""
    ids = torch.arange(width, device=device)
    return ids.unsqueeze(0) + ids.unsqueeze(1)


def _transformed(x: Tensor) -> Tensor:
    """Fourier transforms along distances, twice as long, in float64.

    Their rounding is as large for small sums as for large.
    """
    return torch.fft.rfft(x.double(), n=2 * x.shape[2], dim=2)
