"""Attention by pairs on GPUs.

Rows sum over their pairs in registers, and nothing is written per pair and head.

A program takes some rows after each other, and a group of heads. A row is cut where a multiple of
:data:`LENGTH` pairs of the whole pattern is passed, so that no program sums more of it than that;
the few pieces go to memory of their own and are added in fixed order. All of it follows from the
pattern's own arrays: nothing is read on the host, and no order is left to chance.
Letters: H heads, N nodes, m features, d value channels, P pairs, K hops; in kernels E pairs and G
heads at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton import next_power_of_2

from ._rows_triton import LENGTH, Cuts, find_piece, join
from .primitives import sum_dtype

# Rows of a program: the gradient of the coefficients is summed over them before it is written.
ROWS = 4

# Bytes of a pair's heads that are read at once, of each of keys and values, and numbers that a warp
# holds of each.
_READ = 256
_TILE = 1024

# Pairs at a time, at most.
_MOST_PAIRS = 32


class Structure(NamedTuple):
    """A square pattern, by rows and by columns."""

    rowptr: Tensor
    col: Tensor
    colptr: Tensor
    row: Tensor
    order: Tensor
    back: Tensor


class Blocks(NamedTuple):
    """Pairs and heads at a time, and warps that share them."""

    pairs: int
    heads: int
    warps: int


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor,
    coefficients: Tensor | None,
    structure: Structure,
    signed: bool,
) -> tuple[Tensor, Tensor]:
    """Numerator ``[H, N, d]`` and normaliser ``[H, N]``, laid out by nodes, in the type of their sums."""
    heads, nodes, _ = q.shape
    q, k, v = (_by_channels(x) for x in (q, k, v))
    kind, blocks, cuts = (
        sum_dtype(q, k, v, value),
        _blocks(heads, k, v),
        Cuts.of(structure.rowptr, structure.col),
    )
    out, size = (
        v.new_empty(nodes, heads, v.shape[2], dtype=kind),
        v.new_empty(nodes, heads, dtype=kind),
    )
    out_pieces, size_pieces = cuts.pieces(out, kind), cuts.pieces(size, kind)
    _attend[_grid(nodes, cuts, heads, blocks)](
        *_at(q), *_at(k), *_at(v), *_mask_arguments(value, coefficients, heads),
        structure.rowptr, structure.col, structure.row, structure.back,
        out, size, out_pieces, size_pieces, heads, nodes, cuts.number,
        **_sizes(q, v, coefficients, blocks, signed, kind),
    )  # fmt: skip
    join(cuts, structure.rowptr, structure.row, structure.back, out_pieces, out)
    join(cuts, structure.rowptr, structure.row, structure.back, size_pieces, size)
    return out.transpose(0, 1), size.mT


def differentiate_rows(
    above: Tensor, above_size: Tensor, q: Tensor, k: Tensor, v: Tensor, value: Tensor, coefficients: Tensor | None,
    structure: Structure, signed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradients of the queries ``[H, N, m]``, and of the values ``[H or 1, P]`` or of the coefficients ``[H or 1, K + 1]``."""
    heads, nodes, channels = q.shape
    above, q, k, v = (_by_channels(x) for x in (above, q, k, v))
    shared = coefficients is None and len(value) < heads
    kind, cuts = sum_dtype(above, q, k, v, value), Cuts.of(structure.rowptr, structure.col)
    blocks = _blocks(heads, k, v, together=shared)
    grid = _grid(nodes, cuts, heads, blocks)
    grad_q = q.new_empty(nodes, heads, channels)
    pieces = cuts.pieces(grad_q, kind)
    if coefficients is None:
        grad_mask = value.new_empty(value.shape[1], value.shape[0]).mT
        strides = grad_mask.stride()
    else:
        grad_mask = q.new_empty(grid[0], heads, coefficients.shape[1], dtype=kind)
        strides = grad_mask.stride()[:2]
    _differentiate_rows[grid](
        *_at(above), *_at(above_size), *_at(q), *_at(k), *_at(v), *_mask_arguments(value, coefficients, heads),
        structure.rowptr, structure.col, structure.row, structure.back,
        grad_q, pieces, grad_mask, *strides, heads, nodes, cuts.number,
        **_sizes(q, v, coefficients, blocks, signed, kind), SHARED=shared,
    )  # fmt: skip
    join(cuts, structure.rowptr, structure.row, structure.back, pieces, grad_q)
    if coefficients is not None:
        whole = grad_mask.sum((0, 1) if len(coefficients) < heads else 0)
        grad_mask = whole.view_as(coefficients).to(coefficients.dtype)
    return grad_q.transpose(0, 1), grad_mask


def differentiate_columns(
    above: Tensor, above_size: Tensor, q: Tensor, k: Tensor, v: Tensor, value: Tensor, coefficients: Tensor | None,
    structure: Structure, signed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradients of the keys ``[H, N, m]`` and of the values ``[H, N, d]``."""
    heads, nodes, channels = k.shape
    above, q, k, v = (_by_channels(x) for x in (above, q, k, v))
    kind, blocks, cuts = (
        sum_dtype(above, q, k, v, value),
        _blocks(heads, q, above),
        Cuts.of(structure.colptr, structure.row),
    )
    grad_k, grad_v = k.new_empty(nodes, heads, channels), v.new_empty(nodes, heads, v.shape[2])
    k_pieces, v_pieces = cuts.pieces(grad_k, kind), cuts.pieces(grad_v, kind)
    _differentiate_columns[_grid(nodes, cuts, heads, blocks)](
        *_at(above), *_at(above_size), *_at(q), *_at(k), *_at(v), *_mask_arguments(value, coefficients, heads),
        structure.colptr, structure.row, structure.col, structure.order,
        grad_k, grad_v, k_pieces, v_pieces, heads, nodes, cuts.number,
        **_sizes(q, v, coefficients, blocks, signed, kind),
    )  # fmt: skip
    join(cuts, structure.colptr, structure.col, structure.order, k_pieces, grad_k)
    join(cuts, structure.colptr, structure.col, structure.order, v_pieces, grad_v)
    return grad_k.transpose(0, 1), grad_v.transpose(0, 1)


def _by_channels(x: Tensor) -> Tensor:
    """The same numbers, with the channels of a node and head side by side."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _at(x: Tensor) -> tuple[Tensor, int, int]:
    """A tensor ``[H, N, ...]`` with the distances from one head, and from one node, to the next."""
    return x, x.stride(0), x.stride(1)


def _mask_arguments(
    value: Tensor, coefficients: Tensor | None, heads: int
) -> tuple[Tensor, int, int, Tensor, int]:
    """Values with their strides by heads and by pairs, or the table and the coefficients.

    What all heads share has stride 0.
    """
    if coefficients is None:
        return value, value.stride(0) if len(value) == heads else 0, value.stride(1), value, 0
    coefficients = coefficients.contiguous()
    stride = coefficients.stride(0) if len(coefficients) == heads else 0
    return value.contiguous(), 1, value.shape[1], coefficients, stride


def _blocks(heads: int, x: Tensor, y: Tensor, together: bool = False) -> Blocks:
    """For pairs of which x and y are gathered.

    With all heads ``together`` where something is summed over them.
    """
    widest = max(next_power_of_2(each.shape[2]) for each in (x, y))
    all_heads, few = (
        next_power_of_2(heads),
        max(1, _READ // (widest * min(x.element_size(), y.element_size()))),
    )
    group = all_heads if together else min(all_heads, few)
    pairs = max(1, min(_MOST_PAIRS, _TILE // (group * widest)))
    return Blocks(pairs, group, max(1, min(8, pairs * group * widest // _TILE)))


def _grid(nodes: int, cuts: Cuts, heads: int, blocks: Blocks) -> tuple[int, int]:
    """Heads are the slow axis: keys and values of few heads at a time stay in the cache."""
    return triton.cdiv(nodes + cuts.number, ROWS), triton.cdiv(heads, blocks.heads)


def _sizes(
    q: Tensor,
    v: Tensor,
    coefficients: Tensor | None,
    blocks: Blocks,
    signed: bool,
    kind: torch.dtype,
) -> dict[str, object]:
    """What kernels are compiled for."""
    m, d = q.shape[2], v.shape[2]
    hops = 0 if coefficients is None else coefficients.shape[1]
    return {
        "M": m, "D": d, "BLOCK_M": next_power_of_2(m), "BLOCK_D": next_power_of_2(d),
        "HOPS": hops, "BLOCK_K": next_power_of_2(max(hops, 1)), "SIGNED": signed,
        "E": blocks.pairs, "G": blocks.heads, "ROWS": ROWS, "LENGTH": LENGTH,
        "SUM": tl.float64 if kind == torch.float64 else tl.float32, "num_warps": blocks.warps,
    }  # fmt: skip


@triton.jit
def _mask_of(  # type: ignore[no-untyped-def]
    pair, there, head, inside, value, value_h, value_p, factor,
    HOPS: tl.constexpr, BLOCK_K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """``[E, G]``, the mask at some pairs, and the rows ``[E, K]`` of the table where it is made from one."""
    hop = tl.arange(0, BLOCK_K)
    if HOPS > 0:
        place = pair[:, None].to(tl.int64) * value_p + hop[None, :]
        table = tl.load(value + place, mask=there[:, None] & (hop < HOPS)[None, :], other=0).to(SUM)
        mask = tl.sum(table[:, None, :] * factor[None, :, :], 2)
    else:
        place = pair[:, None].to(tl.int64) * value_p + head[None, :] * value_h
        table = tl.zeros([pair.shape[0], BLOCK_K], SUM)
        mask = tl.load(value + place, mask=there[:, None] & inside[None, :], other=0).to(SUM)
    return mask, table


@triton.jit
def _factor_of(
    head, inside, coefficients, step, HOPS: tl.constexpr, BLOCK_K: tl.constexpr, SUM: tl.constexpr
):  # type: ignore[no-untyped-def]
    """``[G, K]``, the coefficients of some heads."""
    hop = tl.arange(0, BLOCK_K)
    if HOPS > 0:
        there = inside[:, None] & (hop < HOPS)[None, :]
        factor = tl.load(
            coefficients + head[:, None] * step + hop[None, :], mask=there, other=0
        ).to(SUM)
    else:
        factor = tl.zeros([head.shape[0], BLOCK_K], SUM)
    return factor


@triton.jit
def _one(x, x_h, x_n, node, head, inside, C: tl.constexpr, BLOCK: tl.constexpr, SUM: tl.constexpr):  # type: ignore[no-untyped-def]
    """``[G, C]`` of one node."""
    channel = tl.arange(0, BLOCK)
    place = x + node.to(tl.int64) * x_n + head[:, None] * x_h + channel[None, :]
    return tl.load(place, mask=inside[:, None] & (channel < C)[None, :], other=0).to(SUM)


@triton.jit
def _many(x, x_h, x_n, node, there, head, inside, C: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """``[E, G, C]`` of many nodes."""
    channel = tl.arange(0, BLOCK)
    place = (
        x
        + (node.to(tl.int64) * x_n)[:, None, None]
        + (head * x_h)[None, :, None]
        + channel[None, None, :]
    )
    mask = there[:, None, None] & inside[None, :, None] & (channel < C)[None, None, :]
    return tl.load(place, mask=mask, other=0)


@triton.jit
def _sign(x, SUM: tl.constexpr):  # type: ignore[no-untyped-def]
    return (x > 0).to(SUM) - (x < 0).to(SUM)


@triton.jit
def _write(
    x, out, pieces, node, piece, whole, head, inside, heads, C: tl.constexpr, BLOCK: tl.constexpr
):  # type: ignore[no-untyped-def]
    """``[G, C]`` to the row of a node, or of a piece."""
    channel = tl.arange(0, BLOCK)
    there = inside[:, None] & (channel < C)[None, :]
    place = head[:, None] * C + channel[None, :]
    tl.store(
        out + node.to(tl.int64) * heads * C + place, x.to(out.dtype.element_ty), mask=there & whole
    )
    tl.store(pieces + piece.to(tl.int64) * heads * C + place, x, mask=there & (piece >= 0))


@triton.jit
def _attend(  # type: ignore[no-untyped-def]
    q, q_h, q_n, k, k_h, k_n, v, v_h, v_n, value, value_h, value_p, coefficients, step,
    rowptr, col, row, back, out, size, out_pieces, size_pieces, heads, nodes, cuts,
    M: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr,
    HOPS: tl.constexpr, BLOCK_K: tl.constexpr, SIGNED: tl.constexpr,
    E: tl.constexpr, G: tl.constexpr, ROWS: tl.constexpr, LENGTH: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1) * G + tl.arange(0, G)
    inside = head < heads
    factor = _factor_of(head, inside, coefficients, step, HOPS, BLOCK_K, SUM)
    begin = tl.program_id(0) * ROWS
    for turn in range(min(ROWS, nodes + cuts - begin)):
        number = begin + turn
        node, first, last, piece, whole = find_piece(number, rowptr, row, back, cuts, LENGTH)
        query = _one(q, q_h, q_n, node, head, inside, M, BLOCK_M, SUM)
        total, total_size = tl.zeros([E, G, BLOCK_D], SUM), tl.zeros([E, G], SUM)
        for start in range(first, last, E):
            pair = start + tl.arange(0, E)
            there = pair < last
            other = tl.load(col + pair, mask=there, other=0)
            keys = _many(k, k_h, k_n, other, there, head, inside, M, BLOCK_M)
            values = _many(v, v_h, v_n, other, there, head, inside, D, BLOCK_D)
            mask, _ = _mask_of(
                pair, there, head, inside, value, value_h, value_p, factor, HOPS, BLOCK_K, SUM
            )
            score = tl.sum(query[None, :, :] * keys.to(SUM), 2)
            weight = mask * score
            total += weight[:, :, None] * values.to(SUM)
            if SIGNED:
                total_size += tl.abs(mask) * score
            else:
                total_size += weight
        _write(
            tl.sum(total, 0), out, out_pieces, node, piece, whole, head, inside, heads, D, BLOCK_D
        )
        _write(
            tl.sum(total_size, 0)[:, None],
            size,
            size_pieces,
            node,
            piece,
            whole,
            head,
            inside,
            heads,
            1,
            1,
        )


@triton.jit
def _differentiate_rows(  # type: ignore[no-untyped-def]
    above, above_h, above_n, above_size, above_size_h, above_size_n,
    q, q_h, q_n, k, k_h, k_n, v, v_h, v_n, value, value_h, value_p, coefficients, step,
    rowptr, col, row, back, grad_q, pieces, grad_mask, grad_mask_h, grad_mask_p, heads, nodes, cuts,
    M: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr,
    HOPS: tl.constexpr, BLOCK_K: tl.constexpr, SIGNED: tl.constexpr,
    E: tl.constexpr, G: tl.constexpr, ROWS: tl.constexpr, LENGTH: tl.constexpr, SUM: tl.constexpr,
    SHARED: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1) * G + tl.arange(0, G)
    inside = head < heads
    factor = _factor_of(head, inside, coefficients, step, HOPS, BLOCK_K, SUM)
    begin = tl.program_id(0) * ROWS
    total_mask = tl.zeros([E, G, BLOCK_K], SUM)
    for turn in range(min(ROWS, nodes + cuts - begin)):
        number = begin + turn
        node, first, last, piece, whole = find_piece(number, rowptr, row, back, cuts, LENGTH)
        query = _one(q, q_h, q_n, node, head, inside, M, BLOCK_M, SUM)
        slope = _one(above, above_h, above_n, node, head, inside, D, BLOCK_D, SUM)
        size = tl.load(
            above_size + head * above_size_h + node.to(tl.int64) * above_size_n,
            mask=inside,
            other=0,
        ).to(SUM)
        total = tl.zeros([E, G, BLOCK_M], SUM)
        for start in range(first, last, E):
            pair = start + tl.arange(0, E)
            there = pair < last
            other = tl.load(col + pair, mask=there, other=0)
            keys = _many(k, k_h, k_n, other, there, head, inside, M, BLOCK_M).to(SUM)
            values = _many(v, v_h, v_n, other, there, head, inside, D, BLOCK_D).to(SUM)
            mask, table = _mask_of(
                pair, there, head, inside, value, value_h, value_p, factor, HOPS, BLOCK_K, SUM
            )
            weight = tl.sum(slope[None, :, :] * values, 2)
            if SIGNED:
                weight += _sign(mask, SUM) * size[None, :]
            else:
                weight += size[None, :]
            change = tl.sum(query[None, :, :] * keys, 2) * weight
            total += (mask * weight)[:, :, None] * keys
            if HOPS > 0:
                total_mask += change[:, :, None] * table[:, None, :]
            elif SHARED:
                tl.store(grad_mask + pair * grad_mask_p, tl.sum(change, 1), mask=there)
            else:
                place = pair[:, None].to(tl.int64) * grad_mask_p + head[None, :] * grad_mask_h
                tl.store(grad_mask + place, change, mask=there[:, None] & inside[None, :])
        _write(
            tl.sum(total, 0), grad_q, pieces, node, piece, whole, head, inside, heads, M, BLOCK_M
        )
    if HOPS > 0:
        hop = tl.arange(0, BLOCK_K)
        place = (
            tl.program_id(0).to(tl.int64) * grad_mask_h + head[:, None] * grad_mask_p + hop[None, :]
        )
        tl.store(
            grad_mask + place, tl.sum(total_mask, 0), mask=inside[:, None] & (hop < HOPS)[None, :]
        )


@triton.jit
def _differentiate_columns(  # type: ignore[no-untyped-def]
    above, above_h, above_n, above_size, above_size_h, above_size_n,
    q, q_h, q_n, k, k_h, k_n, v, v_h, v_n, value, value_h, value_p, coefficients, step,
    colptr, row, col, order, grad_k, grad_v, k_pieces, v_pieces, heads, nodes, cuts,
    M: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr,
    HOPS: tl.constexpr, BLOCK_K: tl.constexpr, SIGNED: tl.constexpr,
    E: tl.constexpr, G: tl.constexpr, ROWS: tl.constexpr, LENGTH: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1) * G + tl.arange(0, G)
    inside = head < heads
    factor = _factor_of(head, inside, coefficients, step, HOPS, BLOCK_K, SUM)
    begin = tl.program_id(0) * ROWS
    for turn in range(min(ROWS, nodes + cuts - begin)):
        number = begin + turn
        node, first, last, piece, whole = find_piece(number, colptr, col, order, cuts, LENGTH)
        key = _one(k, k_h, k_n, node, head, inside, M, BLOCK_M, SUM)
        own = _one(v, v_h, v_n, node, head, inside, D, BLOCK_D, SUM)
        total_k, total_v = tl.zeros([E, G, BLOCK_M], SUM), tl.zeros([E, G, BLOCK_D], SUM)
        for start in range(first, last, E):
            entry = start + tl.arange(0, E)
            there = entry < last
            other = tl.load(row + entry, mask=there, other=0)
            pair = tl.load(order + entry, mask=there, other=0)
            queries = _many(q, q_h, q_n, other, there, head, inside, M, BLOCK_M).to(SUM)
            slopes = _many(above, above_h, above_n, other, there, head, inside, D, BLOCK_D).to(SUM)
            mask, _ = _mask_of(
                pair, there, head, inside, value, value_h, value_p, factor, HOPS, BLOCK_K, SUM
            )
            place = other.to(tl.int64)[:, None] * above_size_n + head[None, :] * above_size_h
            size = tl.load(above_size + place, mask=there[:, None] & inside[None, :], other=0).to(
                SUM
            )
            weight = tl.sum(slopes * own[None, :, :], 2)
            if SIGNED:
                weight += _sign(mask, SUM) * size
            else:
                weight += size
            total_k += (mask * weight)[:, :, None] * queries
            total_v += (mask * tl.sum(queries * key[None, :, :], 2))[:, :, None] * slopes
        _write(
            tl.sum(total_k, 0),
            grad_k,
            k_pieces,
            node,
            piece,
            whole,
            head,
            inside,
            heads,
            M,
            BLOCK_M,
        )
        _write(
            tl.sum(total_v, 0),
            grad_v,
            v_pieces,
            node,
            piece,
            whole,
            head,
            inside,
            heads,
            D,
            BLOCK_D,
        )
