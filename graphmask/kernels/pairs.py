"""Attention by pairs: both sums of masked linear attention over the entries of a pattern.

    numerator_i = sum over entries (i, j) of  M_ij (q_i . k_j) v_j,    normaliser_i = sum of |M_ij| (q_i . k_j)

It is a composition of `sddmm` and `spmm`. With the extra `fast` a body compiled for CPUs takes one pass over the entries instead,
and two more for the gradients, in which scores are formed again: no array holds a number per entry and channel, or per entry
and head other than the values of the mask and their gradient. Its own derivative is that of the composition.
Letters: H heads, N nodes, m features, d value channels, P pairs.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor

from .pattern import Pattern
from .primitives import sddmm, spmm

# Multiply-adds below which the composition is called: a body is compiled for each number of channels, within seconds.
_WORTH_COMPILING = 2**22

# Channels of a head that a compiled body keeps in registers.
_WIDEST = 256

HAS_NUMBA = find_spec("numba") is not None


def pair_attention(
    pattern: Pattern, q: Tensor, k: Tensor, v: Tensor, value: Tensor, signed: bool = True
) -> tuple[Tensor, Tensor]:
    r"""Numerator and normaliser, :math:`\sum_j M_{ij} (q_i \cdot k_j)\, v_j` and :math:`\sum_j |M_{ij}| (q_i \cdot k_j)`.

    Args:
        pattern: the entries (i, j), of shape ``N x N``.
        q: ``[H, N, m]``.
        k: ``[H, N, m]``.
        v: ``[H, N, d]``.
        value: ``[H, P]`` or ``[1, P]``, the mask at the entries.
        signed: whether values may be negative; where not, their signs are not read. (default: :obj:`True`)

    Returns:
        ``[H, N, d]`` and ``[H, N]``, in the promoted type of all four.

    Cost: O(P H (m + d)) time; memory O(N H d) with the extra ``fast`` on CPU, otherwise O(P H) more.

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, pair_attention
        >>> path = Pattern.from_coo(torch.tensor([0, 1, 1]), torch.tensor([1, 0, 2]), (3, 3))
        >>> ones = torch.ones(1, 3, 1)
        >>> numerator, normaliser = pair_attention(path, ones, ones, ones, torch.tensor([[1.0, 2.0, -1.0]]))
        >>> numerator.flatten(), normaliser.flatten()
        (tensor([1., 1., 0.]), tensor([1., 3., 0.]))
    """
    kind = q.dtype
    for other in (k, v, value):
        kind = torch.promote_types(kind, other.dtype)
    q, k, v, value = (x.to(kind) for x in (q, k, v, value))
    if not _is_compiled(q, v):
        return _compose(pattern, q, k, v, value, signed)
    flipped = pattern.mT
    sides = pattern.rowptr, pattern.col, flipped.rowptr, flipped.col, pattern.order, flipped.order
    return _attend(q, k, v, value, *sides, pattern.schedule, signed)


def _is_compiled(q: Tensor, v: Tensor) -> bool:
    wide = max(q.shape[2], v.shape[2]) > _WIDEST
    return HAS_NUMBA and q.device.type == "cpu" and q.dtype in (torch.float32, torch.float64) and not wide


def _is_worth_it(col: Tensor, q: Tensor, v: Tensor) -> bool:
    return bool(q.shape[2] and v.shape[2]) and col.numel() * q.shape[0] * (q.shape[2] + v.shape[2]) >= _WORTH_COMPILING


def _compose(pattern: Pattern, q: Tensor, k: Tensor, v: Tensor, value: Tensor, signed: bool) -> tuple[Tensor, Tensor]:
    score, ones = sddmm(pattern, q, k), v.new_ones(*v.shape[:2], 1)
    if not signed:
        total = spmm(pattern, score * value, torch.cat([v, ones], -1))
        return total[..., :-1], total[..., -1]
    return spmm(pattern, score * value, v), spmm(pattern, score * value.abs(), ones)[..., 0]


def _compose_backward(
    pattern: Pattern, above: Tensor, above_size: Tensor, q: Tensor, k: Tensor, v: Tensor, value: Tensor, signed: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    score, weight = sddmm(pattern, q, k), sddmm(pattern, above, v)
    size = above_size.index_select(1, pattern.row)
    weight = weight + (value.sgn() * size if signed else size)
    grad_value = score * weight
    flipped = pattern.mT
    slope, mixed = (x.index_select(1, pattern.order) for x in (value * weight, value * score))
    return (
        spmm(pattern, value * weight, k),
        spmm(flipped, slope, q),
        spmm(flipped, mixed, above),
        grad_value if len(value) == len(q) else grad_value.sum(0, keepdim=True),
    )


@torch.library.custom_op("graphmask::pair_attention", mutates_args=())
def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor,
    rowptr: Tensor,
    col: Tensor,
    colptr: Tensor,
    row: Tensor,
    order: Tensor,
    back: Tensor,
    schedule: Tensor,
    signed: bool,
) -> tuple[Tensor, Tensor]:
    if _is_worth_it(col, q, v):
        from ._pairs_numba import forward

        return forward(q, k, v, value, rowptr, col, schedule, signed)
    pattern = Pattern.of_sides(rowptr, col, colptr, row, order, back)
    numerator, normaliser = _compose(pattern, q, k, v, value, signed)
    return _by_nodes(numerator), _by_nodes(normaliser)


@torch.library.custom_op("graphmask::pair_attention_backward", mutates_args=())
def _attend_backward(
    above: Tensor,
    above_size: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor,
    rowptr: Tensor,
    col: Tensor,
    colptr: Tensor,
    row: Tensor,
    order: Tensor,
    back: Tensor,
    schedule: Tensor,
    signed: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if _is_worth_it(col, q, v):
        from ._pairs_numba import backward_columns, backward_rows

        inputs = above, above_size, q, k, v, value
        grad_q, grad_value = backward_rows(*inputs, rowptr, col, schedule, signed)
        grad_k, grad_v = backward_columns(*inputs, colptr, row, order, schedule, signed)
        return grad_q, grad_k, grad_v, grad_value
    pattern = Pattern.of_sides(rowptr, col, colptr, row, order, back)
    found = _compose_backward(pattern, above, above_size, q, k, v, value, signed)
    return tuple(_by_nodes(x) for x in found)  # type: ignore[return-value]


def _by_nodes(x: Tensor) -> Tensor:
    """The same tensor with its heads side by side in memory, as compiled bodies write it."""
    return x.transpose(0, 1).contiguous().transpose(0, 1)


def _empty_by_nodes(x: Tensor) -> Tensor:
    return x.new_empty(x.transpose(0, 1).shape).transpose(0, 1)


@_attend.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    return _empty_by_nodes(v), _empty_by_nodes(v[..., 0])


@_attend_backward.register_fake
def _(above: Tensor, above_size: Tensor, q: Tensor, k: Tensor, v: Tensor, value: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
    return tuple(_empty_by_nodes(x) for x in (q, k, v, value))


def _keep(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    *tensors, ctx.signed = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, above: Tensor, above_size: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    found = _attend_backward(above, above_size, *ctx.saved_tensors, ctx.signed)
    return (*(x if wanted else None for x, wanted in zip(found, ctx.needs_input_grad, strict=False)), *[None] * 8)


def _backward_twice(ctx, *above: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    *inputs, rowptr, col, colptr, row, order, back, _ = ctx.saved_tensors
    pattern = Pattern.of_sides(rowptr, col, colptr, row, order, back)
    wanted = [number for number, needed in enumerate(ctx.needs_input_grad[:6]) if needed]
    further = torch.is_grad_enabled()
    with torch.enable_grad():
        # Under names of their own: an input may have been made from another one.
        inputs = [x.view_as(x) if number in wanted else x for number, x in enumerate(inputs)]
        outputs = _compose_backward(pattern, *inputs, ctx.signed)
        slopes = torch.autograd.grad(outputs, [inputs[number] for number in wanted], above, create_graph=further)
    found = dict(zip(wanted, slopes, strict=True))
    return (*(found.get(number) for number in range(6)), *[None] * 8)


_attend.register_autograd(_backward, setup_context=_keep)
_attend_backward.register_autograd(_backward_twice, setup_context=_keep)
