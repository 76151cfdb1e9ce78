"""The two primitives on GPUs. Experimental: no GPU runs these kernels in this project's CI.

Sums over rows of bounded pieces (see `_rows_triton`), dot products over entries in order.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton import next_power_of_2

from ._rows_triton import LENGTH, Cuts, find_piece

# Columns of a program, numbers that a warp holds, and entries at a time, at most.
_WIDEST = 256
_TILE = 1024
_MOST_ENTRIES = 32


def spmm(value: Tensor, x: Tensor, *structure: Tensor) -> Tensor:
    """``[H, nnz]`` times ``[H, M, C]``."""
    heads, _, channels = x.shape
    rows, cuts = structure[0].numel() - 1, Cuts.of_rows(structure)
    out = x.new_empty(rows, heads, channels)
    pieces = cuts.pieces(out, x.dtype)
    width, entries = _tile(channels)
    if out.numel():
        _spmm[(rows + cuts.number, triton.cdiv(channels, width), heads)](
            value, *value.stride(), x, *x.stride(), *cuts.tensors, out, pieces, heads, channels,
            cuts.number, E=entries, BLOCK=width, LENGTH=LENGTH, SUM=_sum_dtype(x), num_warps=1,
        )  # fmt: skip
        cuts.join(pieces, out)
    return out.transpose(0, 1).contiguous()


def sddmm(x: Tensor, y: Tensor, *structure: Tensor) -> Tensor:
    """Dot products of ``[H, N, C]`` with ``[H, M, C]`` at the entries."""
    heads, _, channels = x.shape
    _, col, _, row, _, csr_perm = structure
    out = x.new_empty(heads, col.numel())
    width, entries = _tile(channels)
    if out.numel():
        _sddmm[(triton.cdiv(col.numel(), entries), heads)](
            x, *x.stride(), y, *y.stride(), col, row, csr_perm, out, channels, col.numel(),
            E=entries, BLOCK=width, SUM=_sum_dtype(x), num_warps=1,
        )  # fmt: skip
    return out


def _tile(channels: int) -> tuple[int, int]:
    """Channels and entries at a time."""
    width = min(_WIDEST, next_power_of_2(max(channels, 1)))
    return width, min(_MOST_ENTRIES, _TILE // width)


def _sum_dtype(x: Tensor) -> object:
    return tl.float64 if x.dtype == torch.float64 else tl.float32


@triton.jit
def _spmm(
    value, value_h, value_p, x, x_h, x_n, x_c, rowptr, col, row, back,
    out, pieces, heads, channels, cuts,
    E: tl.constexpr, BLOCK: tl.constexpr, LENGTH: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    node, first, last, piece, whole = find_piece(tl.program_id(0), rowptr, row, back, cuts, LENGTH)
    channel, head = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK), tl.program_id(2).to(tl.int64)
    valid_c = channel < channels
    columns = head * x_h + channel.to(tl.int64) * x_c
    total = tl.zeros([E, BLOCK], SUM)
    for start in range(first, last, E):
        entry = start + tl.arange(0, E)
        valid = entry < last
        other = tl.load(col + entry, mask=valid, other=0).to(tl.int64)
        weight = tl.load(
            value + head * value_h + entry.to(tl.int64) * value_p, mask=valid, other=0
        ).to(SUM)
        offset = (other * x_n)[:, None] + columns[None, :]
        total += weight[:, None] * tl.load(
            x + offset, mask=valid[:, None] & valid_c[None, :], other=0
        ).to(SUM)
    offset = head * channels + channel
    result = tl.sum(total, 0)
    width = heads.to(tl.int64) * channels
    tl.store(out + node * width + offset, result, mask=valid_c & whole)
    tl.store(pieces + piece * width + offset, result, mask=valid_c & (piece >= 0))


@triton.jit
def _sddmm(
    x, x_h, x_n, x_c, y, y_h, y_n, y_c, col, row, back, out, channels, count,
    E: tl.constexpr, BLOCK: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    entry = tl.program_id(0) * E + tl.arange(0, E)
    head = tl.program_id(1).to(tl.int64)
    valid = entry < count
    node = tl.load(row + tl.load(back + entry, mask=valid, other=0), mask=valid, other=0).to(
        tl.int64
    )
    other = tl.load(col + entry, mask=valid, other=0).to(tl.int64)
    total = tl.zeros([E, BLOCK], SUM)
    for start in range(0, channels, BLOCK):
        channel = (start + tl.arange(0, BLOCK)).to(tl.int64)
        mask = valid[:, None] & (channel < channels)[None, :]
        left = tl.load(
            x + head * x_h + (node * x_n)[:, None] + (channel * x_c)[None, :], mask=mask, other=0
        ).to(SUM)
        right = tl.load(
            y + head * y_h + (other * y_n)[:, None] + (channel * y_c)[None, :], mask=mask, other=0
        ).to(SUM)
        total += left * right
    tl.store(out + head * count + entry, tl.sum(total, 1), mask=valid)
