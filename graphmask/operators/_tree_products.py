"""Products with a table of distances in trees: ``y_i = sum_j t[d_ij] x_j``.

Letters: H heads, N nodes, C channels, n values of the table, G groups, w width.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphmask._precision import to_double
from graphmask.kernels import spmm

from ._centroids import Decomposition
from ._slices import run_slices

# Distances of a group up to which its Hankel matrix is multiplied as it is, and not by Fourier
# transforms.
WIDEST = 512

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
    table = pad(table, (0, 1))  # past the table are zeros
    out = _multiply_blocks(structure, table, x)
    if not structure.groups:
        return out
    kernels = make_kernels(structure, table)
    width = _MEMORY // max(1, x[..., :1].numel() * x.element_size())
    multiply = partial(multiply_groups, structure, kernels)
    return out + torch.cat(run_slices(multiply, max(_COLUMNS, width), x), -1)


def _multiply_blocks(structure: Decomposition, table: Tensor, x: Tensor) -> Tensor:
    """Products over pairs of the same block; a node is in one block at most."""
    # Padding has a row of its own, and is past the table from every node.
    padded = pad(x, (0, 0, 0, 1))
    nodes = [structure.members.col.new_empty(0)]
    products = [x[:, :0]]

    def multiply(node: Tensor, distance: Tensor) -> Tensor:
        return (look_up(table, distance) @ padded[:, node]).flatten(1, 2)

    for blocks in structure.blocks:
        width = blocks.node.shape[1]
        step = _MEMORY // (len(x) * width * max(width, x.shape[2]) * x.element_size())
        products += run_slices(multiply, step, blocks.node, blocks.distance, dim=0)
        nodes.append(blocks.node.flatten())
    order = torch.cat(nodes)
    return torch.zeros_like(padded).index_copy(1, order, torch.cat(products, 1))[:, :-1]


def look_up(table: Tensor, distance: Tensor) -> Tensor:
    """``[H, *distance.shape]``; by gather, whose gradient sums entries of a matrix fast."""
    index = distance.flatten().long().expand(len(table), -1)
    return table.gather(1, index).unflatten(1, distance.shape)


def multiply_groups(structure: Decomposition, kernels: list[Tensor], x: Tensor) -> Tensor:
    """Products over pairs that meet at a centroid."""
    members = structure.members
    sums = spmm(members, x.new_ones(1, 1).expand(len(x), members.nnz), x)
    parts = sums.split([groups.slots for groups in structure.groups], 1)
    mixed = [
        _multiply_hankel(kernel, part.unflatten(1, (groups.count, groups.width))).flatten(1, 2)
        for kernel, part, groups in zip(kernels, parts, structure.groups, strict=True)
    ]
    sign = structure.sign[members.csc_perm].to(x.dtype).expand(len(x), -1)
    return spmm(members.mT, sign, torch.cat(mixed, 1))


def make_kernels(structure: Decomposition, table: Tensor) -> list[Tensor]:
    """Make the matrix, or its Fourier transform, that multiplies each kind of groups."""
    return [_hankel_kernel(table, groups.width) for groups in structure.groups]


def _hankel_kernel(table: Tensor, width: int) -> Tensor:
    """``[H, w, w]`` of ``table[r + t]``; or its Fourier transform ``[H, w + 1]``, where cheaper."""
    distance = torch.arange(2 * width, device=table.device).clamp(max=table.shape[1] - 1)
    if width > WIDEST:
        return torch.fft.rfft(to_double(look_up(table, distance)))
    return look_up(table, distance.unfold(0, width, 1)[:width])


def _multiply_hankel(kernel: Tensor, x: Tensor) -> Tensor:
    """``y_r = sum_t table[r + t] x_t`` in each group of ``[H, G, w, C]``.

    Fourier transforms are in float64, since their rounding is as large for small sums as for large.
    """
    if kernel.dim() == 3:
        return torch.einsum("hrt,hgtc->hgrc", kernel, x)
    width = x.shape[2]
    spectrum = torch.fft.rfft(to_double(x), n=2 * width, dim=2)
    spectrum = kernel[:, None, :, None] * spectrum.conj()
    return torch.fft.irfft(spectrum, n=2 * width, dim=2)[:, :, :width].to(x.dtype)
