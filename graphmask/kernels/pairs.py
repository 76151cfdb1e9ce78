"""Attention by pairs: both sums of masked linear attention over the entries of a pattern.

    numerator_i = sum over entries (i, j) of  M_ij (q_i . k_j) v_j,    normaliser_i = sum of |M_ij| (q_i . k_j)

It is a composition of `sddmm` and `spmm`. With the extra `fast` a body compiled for CPUs takes one
pass over the entries instead, and two more for the gradients, in which scores are formed again: no
array holds a number per entry and channel, or per entry and head other than the values of the mask
and their gradient. Its own derivative is that of the composition. On GPUs `fused` does the same.
Letters: H heads, N nodes, m features, d value channels, P pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ._extra import HAS_NUMBA
from .hops import HopValues
from .pattern import Pattern
from .primitives import in_one_type, sddmm, spmm

# Multiply-adds below which the composition is called: a body is compiled for each number of
# channels, within seconds.
_WORTH_COMPILING = 2**22

# Tensors of a pattern and its schedule that every operator is given.
_STRUCTURE = 7

# Channels of a head that a compiled body keeps in registers.
_WIDEST = 256


def pair_attention(
    pattern: Pattern,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor | HopValues,
    signed: bool = True,
) -> tuple[Tensor, Tensor]:
    r"""Numerator and normaliser, :math:`\sum_j M_{ij} (q_i \cdot k_j)\, v_j` and :math:`\sum_j |M_{ij}| (q_i \cdot k_j)`.

    Args:
        pattern: the entries (i, j), of shape ``N x N``.
        q: ``[H, N, m]``.
        k: ``[H, N, m]``.
        v: ``[H, N, d]``.
        value: ``[H, P]`` or ``[1, P]``, the mask at the entries; or
            :class:`~graphmask.kernels.HopValues`, which make it.
        signed: whether values may be negative; where not, their signs are not read. (default:
            :obj:`True`)

    Returns:
        ``[H, N, d]`` and ``[H, N]``, in the promoted type of all four; of half precision in
        float32, as they are summed.

    Cost: O(P H (m + d)) time; memory O(N H d) with the extra ``fast`` on CPU, and on GPUs with
    triton, otherwise O(P H) more.

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, pair_attention
        >>> path = Pattern.from_coo(torch.tensor([0, 1, 1]), torch.tensor([1, 0, 2]), (3, 3))
        >>> ones = torch.ones(1, 3, 1)
        >>> numerator, normaliser = pair_attention(path, ones, ones, ones, torch.tensor([[1.0, 2.0, -1.0]]))
        >>> numerator.flatten(), normaliser.flatten()
        (tensor([1., 1., 0.]), tensor([1., 3., 0.]))
    """
    from .fused import fused_pair_attention, is_fused

    if is_fused(q, v):
        return fused_pair_attention(pattern, q, k, v, value, signed)
    value = value.expand() if isinstance(value, HopValues) else value
    q, k, v, value = in_one_type(q, k, v, value)
    if not _is_compiled(q, v):
        return _compose(pattern, q, k, v, value, signed)
    flipped = pattern.mT
    sides = pattern.rowptr, pattern.col, flipped.rowptr, flipped.col, pattern.order, flipped.order
    return _attend(q, k, v, value, *sides, _find_schedule(pattern), signed)


def _find_schedule(pattern: Pattern) -> Tensor:
    """The pattern's; in code that torch compiles only one that is there already, since it cannot be made there."""
    if torch.compiler.is_compiling() and not pattern.is_cached("schedule"):
        return pattern.col.new_empty(0)
    return pattern.schedule


def runs_compiled(device: torch.device, work: int) -> bool:
    """Whether so many multiply-adds there are left to a compiled body, where types and channels allow it."""
    return HAS_NUMBA and device.type == "cpu" and work >= _WORTH_COMPILING


def _is_compiled(q: Tensor, v: Tensor) -> bool:
    wide = max(q.shape[2], v.shape[2]) > _WIDEST
    return (
        HAS_NUMBA
        and q.device.type == "cpu"
        and q.dtype in (torch.float32, torch.float64)
        and not wide
    )


def _is_worth_it(col: Tensor, q: Tensor, v: Tensor) -> bool:
    return (
        bool(q.shape[2] and v.shape[2])
        and col.numel() * q.shape[0] * (q.shape[2] + v.shape[2]) >= _WORTH_COMPILING
    )


def _compose(
    pattern: Pattern, q: Tensor, k: Tensor, v: Tensor, value: Tensor, signed: bool
) -> tuple[Tensor, Tensor]:
    score, ones = sddmm(pattern, q, k), v.new_ones(*v.shape[:2], 1)
    if not signed:
        total = spmm(pattern, score * value, torch.cat([v, ones], -1))
        return total[..., :-1], total[..., -1]
    return spmm(pattern, score * value, v), spmm(pattern, score * value.abs(), ones)[..., 0]


def _compose_rows(
    pattern: Pattern,
    above: Tensor,
    above_size: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor,
    signed: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of q and of the values of the mask."""
    weight = _weigh(pattern, above, above_size, v, value, signed)
    grad_value = sddmm(pattern, q, k) * weight
    shared = len(value) < len(q)
    return spmm(pattern, value * weight, k), grad_value.sum(
        0, keepdim=True
    ) if shared else grad_value


def _compose_columns(
    pattern: Pattern,
    above: Tensor,
    above_size: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor,
    signed: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of k and v."""
    weight = _weigh(pattern, above, above_size, v, value, signed)
    slope, mixed = (value * x for x in (weight, sddmm(pattern, q, k)))
    return tuple(
        spmm(pattern.mT, x.index_select(1, pattern.order), y)
        for x, y in ((slope, q), (mixed, above))
    )  # type: ignore[return-value]


def _weigh(
    pattern: Pattern, above: Tensor, above_size: Tensor, v: Tensor, value: Tensor, signed: bool
) -> Tensor:
    """``[H, P]``, the gradient of ``M_ij (q_i . k_j)``."""
    size = above_size.index_select(1, pattern.row)
    return sddmm(pattern, above, v) + (value.sgn() * size if signed else size)


@torch.library.custom_op("graphmask::pair_attention", mutates_args=())
def _attend(
    q: Tensor, k: Tensor, v: Tensor, value: Tensor,
    rowptr: Tensor, col: Tensor, colptr: Tensor, row: Tensor, order: Tensor, back: Tensor,
    visits: Tensor, signed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    if _is_worth_it(col, q, v):
        from ._pairs_numba import attend

        return attend(q, k, v, value, rowptr, col, visits, signed)
    pattern = Pattern.from_tensors(rowptr, col, colptr, row, order, back)
    return _by_nodes(_compose(pattern, q, k, v, value, signed))


@torch.library.custom_op("graphmask::pair_attention_rows", mutates_args=())
def _differentiate_rows(
    above: Tensor, above_size: Tensor, q: Tensor, k: Tensor, v: Tensor, value: Tensor,
    rowptr: Tensor, col: Tensor, colptr: Tensor, row: Tensor, order: Tensor, back: Tensor,
    visits: Tensor, signed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    if _is_worth_it(col, q, v):
        from ._pairs_numba import differentiate_rows

        return differentiate_rows(above, above_size, q, k, v, value, rowptr, col, visits, signed)
    pattern = Pattern.from_tensors(rowptr, col, colptr, row, order, back)
    return _by_nodes(_compose_rows(pattern, above, above_size, q, k, v, value, signed))


@torch.library.custom_op("graphmask::pair_attention_columns", mutates_args=())
def _differentiate_columns(
    above: Tensor, above_size: Tensor, q: Tensor, k: Tensor, v: Tensor, value: Tensor,
    rowptr: Tensor, col: Tensor, colptr: Tensor, row: Tensor, order: Tensor, back: Tensor,
    visits: Tensor, signed: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    if _is_worth_it(col, q, v):
        from ._pairs_numba import differentiate_columns

        return differentiate_columns(
            above, above_size, q, k, v, value, colptr, row, order, visits, signed
        )
    pattern = Pattern.from_tensors(rowptr, col, colptr, row, order, back)
    return _by_nodes(_compose_columns(pattern, above, above_size, q, k, v, value, signed))


def _by_nodes(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The same tensors ``[H, N, ...]`` with the heads of a node side by side in memory, as compiled bodies write them."""
    first, second = (x.transpose(0, 1).contiguous().transpose(0, 1) for x in pair)
    return first, second


def _empty_by_nodes(*pair: Tensor) -> tuple[Tensor, Tensor]:
    first, second = (x.new_empty(x.transpose(0, 1).shape).transpose(0, 1) for x in pair)
    return first, second


@_attend.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    return _empty_by_nodes(v, v[..., 0] if v.shape[2] else v.sum(2))


@_differentiate_rows.register_fake
def _(
    above: Tensor, above_size: Tensor, q: Tensor, k: Tensor, v: Tensor, value: Tensor, *_: Tensor
) -> tuple[Tensor, Tensor]:
    return _empty_by_nodes(q, value)


@_differentiate_columns.register_fake
def _(
    above: Tensor, above_size: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: Tensor
) -> tuple[Tensor, Tensor]:
    return _empty_by_nodes(k, v)


def _keep(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    *tensors, ctx.signed = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, above: Tensor, above_size: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    needs_q, needs_k, needs_v, needs_value = ctx.needs_input_grad[:4]
    grad_q = grad_k = grad_v = grad_value = None
    if needs_q or needs_value:
        grad_q, grad_value = _differentiate_rows(above, above_size, *ctx.saved_tensors, ctx.signed)
    if needs_k or needs_v:
        grad_k, grad_v = _differentiate_columns(above, above_size, *ctx.saved_tensors, ctx.signed)
    return grad_q, grad_k, grad_v, grad_value, *[None] * (_STRUCTURE + 1)


def differentiate(
    compose: Callable[..., tuple[Tensor, ...]],
    inputs: Sequence[Tensor | None],
    needed: Sequence[bool],
    above: Sequence[Tensor],
) -> list[Tensor | None]:
    """Gradients of the inputs of a composition that are needed, given those of its outputs.

    Differentiable in turn.
    """
    inputs, wanted = list(inputs), [number for number, each in enumerate(needed) if each]
    further = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, since an input may have been made from another one.
        for number in wanted:
            inputs[number] = inputs[number].view_as(inputs[number])  # type: ignore[union-attr, arg-type]
        outputs = compose(*inputs)
        chosen = [
            (out, slope) for out, slope in zip(outputs, above, strict=True) if out.requires_grad
        ]
        slopes = torch.autograd.grad(
            [out for out, _ in chosen],
            [inputs[number] for number in wanted],  # type: ignore[arg-type]
            [slope for _, slope in chosen],
            create_graph=further,
            allow_unused=True,
        )
    found = dict(zip(wanted, slopes, strict=True))
    return [found.get(number) for number in range(len(inputs))]


def _differentiate_composition(ctx, compose, above) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    """Gradients of the six tensors that a derivative was made from, by way of its composition."""
    sides, signed = ctx.saved_tensors[6:12], ctx.signed
    slopes = differentiate(
        lambda *inputs: compose(Pattern.from_tensors(*sides), *inputs, signed),
        ctx.saved_tensors[:6],
        ctx.needs_input_grad[:6],
        above,
    )
    return *slopes, *[None] * (_STRUCTURE + 1)


def _backward_of_rows(ctx, *above: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    return _differentiate_composition(ctx, _compose_rows, above)


def _backward_of_columns(ctx, *above: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    return _differentiate_composition(ctx, _compose_columns, above)


_attend.register_autograd(_backward, setup_context=_keep)
_differentiate_rows.register_autograd(_backward_of_rows, setup_context=_keep)
_differentiate_columns.register_autograd(_backward_of_columns, setup_context=_keep)
