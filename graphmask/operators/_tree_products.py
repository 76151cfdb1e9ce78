"""Products with a table of distances, and sums over pairs by distance: each is the derivative of the other.

    product(t, x)_i = sum_j t[d_ij] x_j            d/dt = pairs, d/dx = product (distances are symmetric)
    pairs(a, b)_d   = sum of a_i . b_j over pairs with d_ij = d        d/da, d/db = product

Letters: H heads, N nodes, C channels, n values of the table, G groups, w width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ._centroids import Decomposition, Groups

# Distances of a group up to which its Hankel matrix is multiplied as it is, and not by Fourier transforms.
_WIDEST = 64

# Bytes of the columns that are taken at once.
_COLUMN_MEMORY = 2**24


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
        padded = pad(table, (0, 1))
        parts = [_multiply(structure, padded, part) for part in _columns(x)]
        return torch.cat(parts, -1)

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
        for left, right in zip(_columns(a), _columns(b), strict=True):
            _count(structure, left, right, total)
        return total[:, :-1]

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        return None, _Product.apply(ctx.structure, above, b), _Product.apply(ctx.structure, above, a)


def _columns(x: Tensor) -> tuple[Tensor, ...]:
    """Some columns at a time."""
    width = max(1, _COLUMN_MEMORY // max(1, x.shape[0] * x.shape[1] * x.element_size()))
    return x.split(width, -1)


def _multiply(structure: Decomposition, table: Tensor, x: Tensor) -> Tensor:
    heads, nodes, channels = x.shape
    y = x.new_zeros(heads, nodes + 1, channels)
    padded = pad(x, (0, 0, 0, 1))
    for blocks in structure.blocks:
        y[:, blocks.node.flatten()] = (table[:, blocks.distance] @ padded[:, blocks.node]).flatten(1, 2)
    y = y[:, :-1]
    for groups in structure.groups:
        mixed = _hankel(groups, table, _by_distance(groups, x)).flatten(1, 2)
        y.index_add_(1, groups.node, mixed.index_select(1, groups.slot).to(y.dtype), alpha=groups.sign)
    return y


def _count(structure: Decomposition, a: Tensor, b: Tensor, total: Tensor) -> None:
    """Add to ``[H, n + 1]`` what pairs at each distance sum to; the last place is for pairs past the table."""
    left, right = pad(a, (0, 0, 0, 1)), pad(b, (0, 0, 0, 1))
    for blocks in structure.blocks:
        _add(total, blocks.distance, (left[:, blocks.node] @ right[:, blocks.node].mT).flatten(1))
    for groups in structure.groups:
        found = _by_distance(groups, a), _by_distance(groups, b)
        if groups.width <= _WIDEST:
            meeting = torch.einsum("hgrc,hgtc->hrt", *found).flatten(1)
            _add(total, _sums(groups.width, a.device), groups.sign * meeting)
        else:
            fourier = torch.einsum("hgfc,hgfc->hf", *(_transformed(x) for x in found))
            sums = torch.fft.irfft(fourier, n=2 * groups.width).to(total.dtype)
            _add(total, torch.arange(2 * groups.width, device=a.device), groups.sign * sums)


def _add(total: Tensor, distance: Tensor, value: Tensor) -> None:
    total.index_add_(1, distance.flatten().clamp(max=total.shape[1] - 1).long(), value)


def _by_distance(groups: Groups, x: Tensor) -> Tensor:
    """``[H, G, w, C]``, sums over the nodes of each group at each distance."""
    heads, _, channels = x.shape
    total = x.new_zeros(heads, groups.number * groups.width, channels)
    return total.index_add_(1, groups.slot, x.index_select(1, groups.node)).unflatten(1, (groups.number, groups.width))


def _hankel(groups: Groups, table: Tensor, x: Tensor) -> Tensor:
    """``y_r = sum_t table[r + t] x_t`` in each group."""
    last = table.shape[1] - 1
    if groups.width <= _WIDEST:
        return table[:, _sums(groups.width, x.device).clamp(max=last)].unsqueeze(1) @ x
    places = torch.arange(2 * groups.width, device=x.device).clamp(max=last)
    kernel = torch.fft.rfft(table[:, places].double())
    return torch.fft.irfft(kernel[:, None, :, None] * _transformed(x).conj(), n=2 * groups.width, dim=2)[:, :, : groups.width]


def _sums(width: int, device: torch.device) -> Tensor:
    """``[w, w]``, r + t."""
    ids = torch.arange(width, device=device)
    return ids.unsqueeze(0) + ids.unsqueeze(1)


def _transformed(x: Tensor) -> Tensor:
    """Fourier transforms along distances, twice as long, in float64: their rounding is as large for small sums as for large."""
    return torch.fft.rfft(x.double(), n=2 * x.shape[2], dim=2)
