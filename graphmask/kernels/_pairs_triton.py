"""Pair attention on GPUs. Experimental: no GPU runs these kernels in this project's CI.

Tests run them in Triton's interpreter, and compile them for compute capability 9.0.

Rows sum over their pairs in registers, and nothing is written per pair and head. A program handles
some consecutive rows, and a group of heads. Long rows are cut into pieces (see `_rows_triton`),
which are written to memory of their own and added in fixed order: nothing is read on the host, and
results are deterministic.
Letters: H heads, N nodes, m features, d value channels, P pairs, K hops; in kernels E pairs and G
heads at a time.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton import next_power_of_2

from ._options import Options
from ._rows_triton import LENGTH, Cuts, find_piece
from .products import sum_dtype

# Rows of a program: the gradient of the coefficients is summed over them before it is written.
ROWS = 4

# Bytes of a pair's heads that are read at once, of each of keys and values, and numbers that a warp
# holds of each.
_READ = 256
_TILE = 1024

# Pairs at a time, at most.
_MOST_PAIRS = 32


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
    structure: Sequence[Tensor],
    options: Options,
) -> tuple[Tensor, Tensor, Tensor]:
    """Numerator ``[H, N, d]`` and denominator ``[H, N]``, laid out by nodes; and no shift.

    The denominator is empty where the options ask for none.
    """
    heads, nodes, _ = q.shape
    q, k, v = map(_by_channels, (q, k, v))
    dtype, blocks, cuts = sum_dtype(q, k, v, value), _blocks(heads, k, v), Cuts.of_rows(structure)
    numerator = v.new_empty(nodes, heads, v.shape[2], dtype=dtype)
    denominator = v.new_empty((nodes, heads) if options.normalized else (0, 0), dtype=dtype)
    pieces = cuts.pieces(numerator, dtype), cuts.pieces(denominator, dtype)
    _attend[_grid(nodes, cuts, heads, blocks)](
        *_strided(q, k, v), *_mask_arguments(value, coefficients, heads), *cuts.tensors,
        numerator, denominator, *pieces, heads, nodes, cuts.number,
        **_sizes(q, v, coefficients, blocks, options, dtype),
    )  # fmt: skip
    cuts.join(pieces[0], numerator)
    if options.normalized:
        cuts.join(pieces[1], denominator)
    return numerator.transpose(0, 1), denominator.mT, v.new_empty(0, 0, dtype=dtype)


def differentiate_rows(
    grad: Tensor, grad_denominator: Tensor, _: Tensor, *inputs: Any
) -> tuple[Tensor, Tensor]:
    """Gradients of q, and of the coefficients if there are any, else of the values.

    ``inputs`` are those of :func:`attend`.
    """
    q, k, v, value, coefficients, structure, options = inputs
    heads, nodes, channels = q.shape
    grad, q, k, v = map(_by_channels, (grad, q, k, v))
    shared = coefficients is None and len(value) < heads
    dtype, cuts = sum_dtype(grad, q, k, v, value), Cuts.of_rows(structure)
    blocks = _blocks(heads, k, v, together=shared)
    grid = _grid(nodes, cuts, heads, blocks)
    grad_q = q.new_empty(nodes, heads, channels)
    pieces = cuts.pieces(grad_q, dtype)
    if coefficients is None:
        grad_mask = value.new_empty(value.shape[1], value.shape[0]).mT
    else:
        # Each program writes its own sum over rows.
        grad_mask = q.new_empty(grid[0], heads, coefficients.shape[1], dtype=dtype)
    _differentiate_rows[grid](
        *_strided(grad, grad_denominator, q, k, v), *_mask_arguments(value, coefficients, heads),
        *cuts.tensors, grad_q, pieces, grad_mask, *grad_mask.stride()[:2],
        heads, nodes, cuts.number,
        **_sizes(q, v, coefficients, blocks, options, dtype), SHARED=shared,
    )  # fmt: skip
    cuts.join(pieces, grad_q)
    if coefficients is not None:
        grad_mask = grad_mask.sum((0, 1) if len(coefficients) < heads else 0)
        grad_mask = grad_mask.view_as(coefficients).to(coefficients.dtype)
    return grad_q.transpose(0, 1), grad_mask


def differentiate_columns(
    grad: Tensor, grad_denominator: Tensor, _: Tensor, *inputs: Any
) -> tuple[Tensor, Tensor]:
    """Gradients of the keys ``[H, N, m]`` and of the values ``[H, N, d]``."""
    q, k, v, value, coefficients, structure, options = inputs
    heads, nodes, channels = k.shape
    grad, q, k, v = map(_by_channels, (grad, q, k, v))
    dtype, blocks = sum_dtype(grad, q, k, v, value), _blocks(heads, q, grad)
    cuts = Cuts.of_columns(structure)
    grad_k, grad_v = k.new_empty(nodes, heads, channels), v.new_empty(nodes, heads, v.shape[2])
    pieces = cuts.pieces(grad_k, dtype), cuts.pieces(grad_v, dtype)
    _differentiate_columns[_grid(nodes, cuts, heads, blocks)](
        *_strided(grad, grad_denominator, q, k, v), *_mask_arguments(value, coefficients, heads),
        *cuts.tensors, grad_k, grad_v, *pieces, heads, nodes, cuts.number,
        **_sizes(q, v, coefficients, blocks, options, dtype),
    )  # fmt: skip
    cuts.join(pieces[0], grad_k)
    cuts.join(pieces[1], grad_v)
    return grad_k.transpose(0, 1), grad_v.transpose(0, 1)


def _by_channels(x: Tensor) -> Tensor:
    """The same numbers, with the channels of a node and head side by side."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _strided(*tensors: Tensor) -> list[Any]:
    """Tensors ``[H, N, ...]``, each with its strides between heads and between nodes."""
    return [argument for x in tensors for argument in (x, x.stride(0), x.stride(1))]


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
    """Block sizes where x and y are gathered per pair.

    All heads are ``together`` where something is summed over them.
    """
    width = max(next_power_of_2(x.shape[2]), next_power_of_2(y.shape[2]))
    group = next_power_of_2(heads)
    if not together:
        group = min(group, max(1, _READ // (width * min(x.element_size(), y.element_size()))))
    pairs = max(1, min(_MOST_PAIRS, _TILE // (group * width)))
    return Blocks(pairs, group, max(1, min(8, pairs * group * width // _TILE)))


def _grid(nodes: int, cuts: Cuts, heads: int, blocks: Blocks) -> tuple[int, int]:
    """Heads are the slow axis: keys and values of few heads at a time stay in the cache."""
    return triton.cdiv(nodes + cuts.number, ROWS), triton.cdiv(heads, blocks.heads)


def _sizes(
    q: Tensor,
    v: Tensor,
    coefficients: Tensor | None,
    blocks: Blocks,
    options: Options,
    dtype: torch.dtype,
) -> dict[str, object]:
    """Constants of the compiled kernels."""
    m, d = q.shape[2], v.shape[2]
    hops = 0 if coefficients is None else coefficients.shape[1]
    return {
        "M": m, "D": d, "BLOCK_M": next_power_of_2(m), "BLOCK_D": next_power_of_2(d),
        "HOPS": hops, "BLOCK_K": next_power_of_2(max(hops, 1)), "SIGNED": options.signed,
        "NORMALIZED": options.normalized, "PLUS_ONE": options.plus_one,
        "E": blocks.pairs, "G": blocks.heads, "ROWS": ROWS, "LENGTH": LENGTH,
        "SUM": tl.float64 if dtype == torch.float64 else tl.float32, "num_warps": blocks.warps,
    }  # fmt: skip


@triton.jit
def _mask_of(
    pair, valid, head, valid_h, value, value_h, value_p, factor,
    HOPS: tl.constexpr, BLOCK_K: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """``[E, G]``, the mask at some pairs, and rows ``[E, K]`` of the table it is formed from."""
    hop = tl.arange(0, BLOCK_K)
    if HOPS > 0:
        offset = pair[:, None].to(tl.int64) * value_p + hop[None, :]
        table = tl.load(value + offset, mask=valid[:, None] & (hop < HOPS)[None, :], other=0).to(
            SUM
        )
        mask = tl.sum(table[:, None, :] * factor[None, :, :], 2)
    else:
        offset = pair[:, None].to(tl.int64) * value_p + head[None, :] * value_h
        table = tl.zeros([pair.shape[0], BLOCK_K], SUM)
        mask = tl.load(value + offset, mask=valid[:, None] & valid_h[None, :], other=0).to(SUM)
    return mask, table


@triton.jit
def _factor_of(
    head, valid_h, coefficients, step, HOPS: tl.constexpr, BLOCK_K: tl.constexpr, SUM: tl.constexpr
):
    """``[G, K]``, the coefficients of some heads."""
    hop = tl.arange(0, BLOCK_K)
    if HOPS > 0:
        valid = valid_h[:, None] & (hop < HOPS)[None, :]
        factor = tl.load(
            coefficients + head[:, None] * step + hop[None, :], mask=valid, other=0
        ).to(SUM)
    else:
        factor = tl.zeros([head.shape[0], BLOCK_K], SUM)
    return factor


@triton.jit
def _one(x, x_h, x_n, node, head, valid_h, C: tl.constexpr, BLOCK: tl.constexpr, SUM: tl.constexpr):
    """``[G, C]`` of one node."""
    channel = tl.arange(0, BLOCK)
    offset = x + node.to(tl.int64) * x_n + head[:, None] * x_h + channel[None, :]
    return tl.load(offset, mask=valid_h[:, None] & (channel < C)[None, :], other=0).to(SUM)


@triton.jit
def _many(x, x_h, x_n, node, valid, head, valid_h, C: tl.constexpr, BLOCK: tl.constexpr):
    """``[E, G, C]`` of many nodes."""
    channel = tl.arange(0, BLOCK)
    offset = (
        x
        + (node.to(tl.int64) * x_n)[:, None, None]
        + (head * x_h)[None, :, None]
        + channel[None, None, :]
    )
    mask = valid[:, None, None] & valid_h[None, :, None] & (channel < C)[None, None, :]
    return tl.load(offset, mask=mask, other=0)


@triton.jit
def _sign(x, SUM: tl.constexpr):
    return (x > 0).to(SUM) - (x < 0).to(SUM)


@triton.jit
def _write(
    x, out, pieces, node, piece, whole, head, valid_h, heads, C: tl.constexpr, BLOCK: tl.constexpr
):
    """``[G, C]`` to the row of a node, or of a piece."""
    channel = tl.arange(0, BLOCK)
    valid = valid_h[:, None] & (channel < C)[None, :]
    offset = head[:, None] * C + channel[None, :]
    tl.store(
        out + node.to(tl.int64) * heads * C + offset, x.to(out.dtype.element_ty), mask=valid & whole
    )
    tl.store(pieces + piece.to(tl.int64) * heads * C + offset, x, mask=valid & (piece >= 0))


@triton.jit
def _attend(
    q, q_h, q_n, k, k_h, k_n, v, v_h, v_n, value, value_h, value_p, coefficients, step,
    rowptr, col, row, perm, out, size, num_pieces, den_pieces, heads, nodes, cuts,
    M: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr,
    HOPS: tl.constexpr, BLOCK_K: tl.constexpr, SIGNED: tl.constexpr, NORMALIZED: tl.constexpr,
    PLUS_ONE: tl.constexpr,
    E: tl.constexpr, G: tl.constexpr, ROWS: tl.constexpr, LENGTH: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1) * G + tl.arange(0, G)
    valid_h = head < heads
    factor = _factor_of(head, valid_h, coefficients, step, HOPS, BLOCK_K, SUM)
    begin = tl.program_id(0) * ROWS
    for turn in range(min(ROWS, nodes + cuts - begin)):
        index = begin + turn
        node, first, last, piece, whole = find_piece(index, rowptr, row, perm, cuts, LENGTH)
        query = _one(q, q_h, q_n, node, head, valid_h, M, BLOCK_M, SUM)
        total, total_den = tl.zeros([E, G, BLOCK_D], SUM), tl.zeros([E, G], SUM)
        for start in range(first, last, E):
            pair = start + tl.arange(0, E)
            valid = pair < last
            other = tl.load(col + pair, mask=valid, other=0)
            keys = _many(k, k_h, k_n, other, valid, head, valid_h, M, BLOCK_M)
            values = _many(v, v_h, v_n, other, valid, head, valid_h, D, BLOCK_D)
            mask, _ = _mask_of(
                pair, valid, head, valid_h, value, value_h, value_p, factor, HOPS, BLOCK_K, SUM
            )
            score = tl.sum(query[None, :, :] * keys.to(SUM), 2)
            if PLUS_ONE:
                score += 1
            weight = mask * score
            total += weight[:, :, None] * values.to(SUM)
            if NORMALIZED:
                if SIGNED:
                    total_den += tl.abs(mask) * score
                else:
                    total_den += weight
        _write(
            tl.sum(total, 0), out, num_pieces, node, piece, whole, head, valid_h, heads, D, BLOCK_D
        )
        if NORMALIZED:
            den = tl.sum(total_den, 0)[:, None]
            _write(den, size, den_pieces, node, piece, whole, head, valid_h, heads, 1, 1)


@triton.jit
def _differentiate_rows(
    grad, grad_h, grad_n, grad_den, grad_den_h, grad_den_n,
    q, q_h, q_n, k, k_h, k_n, v, v_h, v_n, value, value_h, value_p, coefficients, step,
    rowptr, col, row, perm, grad_q, pieces, grad_mask, grad_mask_h, grad_mask_p, heads, nodes, cuts,
    M: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr,
    HOPS: tl.constexpr, BLOCK_K: tl.constexpr, SIGNED: tl.constexpr, NORMALIZED: tl.constexpr,
    PLUS_ONE: tl.constexpr,
    E: tl.constexpr, G: tl.constexpr, ROWS: tl.constexpr, LENGTH: tl.constexpr, SUM: tl.constexpr,
    SHARED: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1) * G + tl.arange(0, G)
    valid_h = head < heads
    factor = _factor_of(head, valid_h, coefficients, step, HOPS, BLOCK_K, SUM)
    begin = tl.program_id(0) * ROWS
    total_mask = tl.zeros([E, G, BLOCK_K], SUM)
    for turn in range(min(ROWS, nodes + cuts - begin)):
        index = begin + turn
        node, first, last, piece, whole = find_piece(index, rowptr, row, perm, cuts, LENGTH)
        query = _one(q, q_h, q_n, node, head, valid_h, M, BLOCK_M, SUM)
        grad_i = _one(grad, grad_h, grad_n, node, head, valid_h, D, BLOCK_D, SUM)
        size = tl.zeros([G], SUM)
        if NORMALIZED:
            at_node = grad_den + node.to(tl.int64) * grad_den_n
            size = tl.load(at_node + head * grad_den_h, mask=valid_h, other=0).to(SUM)
        total = tl.zeros([E, G, BLOCK_M], SUM)
        for start in range(first, last, E):
            pair = start + tl.arange(0, E)
            valid = pair < last
            other = tl.load(col + pair, mask=valid, other=0)
            keys = _many(k, k_h, k_n, other, valid, head, valid_h, M, BLOCK_M).to(SUM)
            values = _many(v, v_h, v_n, other, valid, head, valid_h, D, BLOCK_D).to(SUM)
            mask, table = _mask_of(
                pair, valid, head, valid_h, value, value_h, value_p, factor, HOPS, BLOCK_K, SUM
            )
            weight = tl.sum(grad_i[None, :, :] * values, 2)
            if NORMALIZED:
                if SIGNED:
                    weight += _sign(mask, SUM) * size[None, :]
                else:
                    weight += size[None, :]
            score = tl.sum(query[None, :, :] * keys, 2)
            if PLUS_ONE:
                score += 1
            change = score * weight
            total += (mask * weight)[:, :, None] * keys
            if HOPS > 0:
                total_mask += change[:, :, None] * table[:, None, :]
            elif SHARED:
                tl.store(grad_mask + pair * grad_mask_p, tl.sum(change, 1), mask=valid)
            else:
                offset = pair[:, None].to(tl.int64) * grad_mask_p + head[None, :] * grad_mask_h
                tl.store(grad_mask + offset, change, mask=valid[:, None] & valid_h[None, :])
        _write(
            tl.sum(total, 0), grad_q, pieces, node, piece, whole, head, valid_h, heads, M, BLOCK_M
        )
    if HOPS > 0:
        hop = tl.arange(0, BLOCK_K)
        offset = (
            tl.program_id(0).to(tl.int64) * grad_mask_h + head[:, None] * grad_mask_p + hop[None, :]
        )
        tl.store(
            grad_mask + offset, tl.sum(total_mask, 0), mask=valid_h[:, None] & (hop < HOPS)[None, :]
        )


@triton.jit
def _differentiate_columns(
    grad, grad_h, grad_n, grad_den, grad_den_h, grad_den_n,
    q, q_h, q_n, k, k_h, k_n, v, v_h, v_n, value, value_h, value_p, coefficients, step,
    colptr, row, col, perm, grad_k, grad_v, k_pieces, v_pieces, heads, nodes, cuts,
    M: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr,
    HOPS: tl.constexpr, BLOCK_K: tl.constexpr, SIGNED: tl.constexpr, NORMALIZED: tl.constexpr,
    PLUS_ONE: tl.constexpr,
    E: tl.constexpr, G: tl.constexpr, ROWS: tl.constexpr, LENGTH: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1) * G + tl.arange(0, G)
    valid_h = head < heads
    factor = _factor_of(head, valid_h, coefficients, step, HOPS, BLOCK_K, SUM)
    begin = tl.program_id(0) * ROWS
    for turn in range(min(ROWS, nodes + cuts - begin)):
        index = begin + turn
        node, first, last, piece, whole = find_piece(index, colptr, col, perm, cuts, LENGTH)
        key = _one(k, k_h, k_n, node, head, valid_h, M, BLOCK_M, SUM)
        own = _one(v, v_h, v_n, node, head, valid_h, D, BLOCK_D, SUM)
        total_k, total_v = tl.zeros([E, G, BLOCK_M], SUM), tl.zeros([E, G, BLOCK_D], SUM)
        for start in range(first, last, E):
            entry = start + tl.arange(0, E)
            valid = entry < last
            other = tl.load(row + entry, mask=valid, other=0)
            pair = tl.load(perm + entry, mask=valid, other=0)
            queries = _many(q, q_h, q_n, other, valid, head, valid_h, M, BLOCK_M).to(SUM)
            grads = _many(grad, grad_h, grad_n, other, valid, head, valid_h, D, BLOCK_D).to(SUM)
            mask, _ = _mask_of(
                pair, valid, head, valid_h, value, value_h, value_p, factor, HOPS, BLOCK_K, SUM
            )
            weight = tl.sum(grads * own[None, :, :], 2)
            if NORMALIZED:
                offset = other.to(tl.int64)[:, None] * grad_den_n + head[None, :] * grad_den_h
                size = tl.load(grad_den + offset, mask=valid[:, None] & valid_h[None, :], other=0)
                if SIGNED:
                    weight += _sign(mask, SUM) * size.to(SUM)
                else:
                    weight += size.to(SUM)
            total_k += (mask * weight)[:, :, None] * queries
            score = tl.sum(queries * key[None, :, :], 2)
            if PLUS_ONE:
                score += 1
            total_v += (mask * score)[:, :, None] * grads
        sum_k = tl.sum(total_k, 0)
        _write(sum_k, grad_k, k_pieces, node, piece, whole, head, valid_h, heads, M, BLOCK_M)
        sum_v = tl.sum(total_v, 0)
        _write(sum_v, grad_v, v_pieces, node, piece, whole, head, valid_h, heads, D, BLOCK_D)
