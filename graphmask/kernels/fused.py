"""Attention by pairs on GPUs.

Half precision is read as it is, and the mask may be made from hops on the way.

Their own derivatives are those of the composition of `sddmm` and `spmm`. The bodies need triton.
Letters: H heads, N nodes, m features, d value channels, P pairs, K hops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from . import pairs, primitives
from .hops import HopValues, combine_hops
from .pattern import Pattern
from .primitives import in_one_type, sum_dtype

if TYPE_CHECKING:
    from ._pairs_triton import Structure

# Channels of a head that a program keeps in registers.
WIDEST = 256

# Tensors that gradients are taken of, and those of the pattern.
_INPUTS, _SIDES = 5, 6


def fused_pair_attention(
    pattern: Pattern,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor | HopValues,
    signed: bool = True,
) -> tuple[Tensor, Tensor]:
    """:func:`~graphmask.kernels.pair_attention` where a Triton kernel can run.

    Sums are returned as they are taken.
    """
    given, coefficients = value if isinstance(value, HopValues) else (value, None)
    if given.requires_grad and coefficients is not None:
        given, coefficients = combine_hops(given, coefficients), None
    flipped = pattern.mT
    sides = pattern.rowptr, pattern.col, flipped.rowptr, flipped.col, pattern.order, flipped.order
    return _attend(q, k, v, given, coefficients, *sides, signed)


def is_fused(q: Tensor, v: Tensor) -> bool:
    """Whether attention of these features and values runs in a Triton kernel."""
    return primitives.is_fused(q) and all(0 < x.shape[2] <= WIDEST for x in (q, v))


def is_fused_from(table: Tensor) -> bool:
    """Whether a Triton kernel makes the mask from a table of hops."""
    return primitives.is_fused(table) and not table.requires_grad


def _structure(*sides: Tensor) -> Structure:
    from ._pairs_triton import Structure

    return Structure(*sides)


@torch.library.custom_op("graphmask::fused_pairs", mutates_args=())
def _attend(
    q: Tensor, k: Tensor, v: Tensor, value: Tensor, coefficients: Tensor | None,
    rowptr: Tensor, col: Tensor, colptr: Tensor, row: Tensor, order: Tensor, back: Tensor,
    signed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    from ._pairs_triton import attend

    return attend(
        q, k, v, value, coefficients, _structure(rowptr, col, colptr, row, order, back), signed
    )


@torch.library.custom_op("graphmask::fused_pairs_rows", mutates_args=())
def _differentiate_rows(
    above: Tensor, above_size: Tensor, q: Tensor, k: Tensor, v: Tensor, value: Tensor, coefficients: Tensor | None,
    rowptr: Tensor, col: Tensor, colptr: Tensor, row: Tensor, order: Tensor, back: Tensor,
    signed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradients of q, and of the coefficients where there are some, else of the values."""
    from ._pairs_triton import differentiate_rows

    sides = _structure(rowptr, col, colptr, row, order, back)
    return differentiate_rows(above, above_size, q, k, v, value, coefficients, sides, signed)


@torch.library.custom_op("graphmask::fused_pairs_columns", mutates_args=())
def _differentiate_columns(
    above: Tensor, above_size: Tensor, q: Tensor, k: Tensor, v: Tensor, value: Tensor, coefficients: Tensor | None,
    rowptr: Tensor, col: Tensor, colptr: Tensor, row: Tensor, order: Tensor, back: Tensor,
    signed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    from ._pairs_triton import differentiate_columns

    sides = _structure(rowptr, col, colptr, row, order, back)
    return differentiate_columns(above, above_size, q, k, v, value, coefficients, sides, signed)


def _empty_by_nodes(x: Tensor, channels: int, kind: torch.dtype) -> Tensor:
    return x.new_empty(x.shape[1], x.shape[0], channels, dtype=kind).transpose(0, 1)


@_attend.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, value: Tensor, *_: Tensor | None) -> tuple[Tensor, Tensor]:
    kind = sum_dtype(q, k, v, value)
    return _empty_by_nodes(v, v.shape[2], kind), v.new_empty(v.shape[1], v.shape[0], dtype=kind).mT


@_differentiate_rows.register_fake
def _(
    above: Tensor,
    above_size: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor,
    coefficients: Tensor | None,
    *_: Tensor,
) -> tuple[Tensor, Tensor]:
    grad = (
        value.new_empty(value.shape[::-1]).mT
        if coefficients is None
        else coefficients.new_empty(coefficients.shape)
    )
    return _empty_by_nodes(q, q.shape[2], q.dtype), grad


@_differentiate_columns.register_fake
def _(
    above: Tensor, above_size: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: Tensor | None
) -> tuple[Tensor, Tensor]:
    return _empty_by_nodes(k, k.shape[2], k.dtype), _empty_by_nodes(v, v.shape[2], v.dtype)


def _keep(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    *tensors, ctx.signed = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, above: Tensor, above_size: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    needs_q, needs_k, needs_v, needs_value, needs_coefficients = ctx.needs_input_grad[:_INPUTS]
    grad_q = grad_k = grad_v = grad_mask = None
    if needs_q or needs_value or needs_coefficients:
        grad_q, grad_mask = _differentiate_rows(above, above_size, *ctx.saved_tensors, ctx.signed)
    if needs_k or needs_v:
        grad_k, grad_v = _differentiate_columns(above, above_size, *ctx.saved_tensors, ctx.signed)
    grads = (
        grad_q,
        grad_k,
        grad_v,
        grad_mask if needs_value else None,
        grad_mask if needs_coefficients else None,
    )
    return *grads, *[None] * (_SIDES + 1)


def _compose_rows(
    pattern: Pattern, above: Tensor, above_size: Tensor, q: Tensor, k: Tensor, v: Tensor, value: Tensor,
    coefficients: Tensor | None, signed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    mask = value if coefficients is None else combine_hops(value, coefficients)
    tensors = in_one_type(above, above_size, q, k, v, mask)
    grad_q, grad_mask = pairs._compose_rows(pattern, *tensors, signed)  # type: ignore[call-arg, arg-type]
    if coefficients is not None:
        grad_mask = grad_mask @ value.to(grad_mask.dtype)
    return grad_q.to(q.dtype), grad_mask.to(
        value.dtype if coefficients is None else coefficients.dtype
    )


def _compose_columns(
    pattern: Pattern, above: Tensor, above_size: Tensor, q: Tensor, k: Tensor, v: Tensor, value: Tensor,
    coefficients: Tensor | None, signed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    mask = value if coefficients is None else combine_hops(value, coefficients)
    tensors = in_one_type(above, above_size, q, k, v, mask)
    grad_k, grad_v = pairs._compose_columns(pattern, *tensors, signed)  # type: ignore[call-arg, arg-type]
    return grad_k.to(k.dtype), grad_v.to(v.dtype)


def _differentiate_composition(ctx, compose, above) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    count = 2 + _INPUTS
    sides = ctx.saved_tensors[count : count + _SIDES]
    signed = ctx.signed

    def composed(*inputs: Tensor | None) -> tuple[Tensor, Tensor]:
        return compose(Pattern.from_tensors(*sides), *inputs, signed)

    slopes = pairs.differentiate(
        composed, ctx.saved_tensors[:count], ctx.needs_input_grad[:count], above
    )
    return *slopes, *[None] * (_SIDES + 1)


def _backward_of_rows(ctx, *above: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    return _differentiate_composition(ctx, _compose_rows, above)


def _backward_of_columns(ctx, *above: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    return _differentiate_composition(ctx, _compose_columns, above)


_attend.register_autograd(_backward, setup_context=_keep)
_differentiate_rows.register_autograd(_backward_of_rows, setup_context=_keep)
_differentiate_columns.register_autograd(_backward_of_columns, setup_context=_keep)
