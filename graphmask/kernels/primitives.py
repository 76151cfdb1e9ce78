"""The two primitives under every sparse mask, each the derivative of the other.

    spmm(P, a, x)_i  = sum over entries (i, j) of P of  a_ij x_j        d/da = sddmm, d/dx = spmm on the transpose
    sddmm(P, x, y)_ij = x_i . y_j at the entries (i, j) of P            d/dx = spmm,  d/dy = spmm on the transpose

So derivatives of every order come from these two. They are registered as custom operators with fake
implementations: `torch.compile(fullgraph=True)` traces through them. Autocast is off inside: sums
stay in the type they came in.
Letters: H heads, N rows, M columns, C channels, nnz entries.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from ._extra import HAS_TRITON
from .bodies import sddmm_body, spmm_body
from .pattern import Pattern


def spmm(pattern: Pattern, value: Tensor, x: Tensor) -> Tensor:
    r"""Sparse matrix times dense matrix, :math:`y_{hi} = \sum_{j} a_{hij}\, x_{hj}`.

    Args:
        pattern: the entries (i, j), of shape ``N x M``.
        value: ``[H, nnz]`` or ``[1, nnz]``.
        x: ``[H, M, C]`` or ``[1, M, C]``.

    Returns:
        ``[H, N, C]``. Half precision is computed in float32 and returned in the type of ``x``.

    Cost: O(nnz H C) time, O(N H C) memory.

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, spmm
        >>> path = Pattern.from_coo(torch.tensor([0, 1, 1]), torch.tensor([1, 0, 2]), (3, 3))
        >>> spmm(path, torch.ones(1, 3), torch.tensor([[[1.0], [2.0], [4.0]]])).flatten()
        tensor([2., 5., 0.])
    """
    result = _spmm_heads(pattern, *in_one_type(value, x))
    return result.to(x.dtype) if is_half(x) else result


def sddmm(pattern: Pattern, x: Tensor, y: Tensor) -> Tensor:
    r"""Sampled dense-dense product, :math:`s_{hij} = x_{hi} \cdot y_{hj}` at the entries of a pattern.

    Args:
        pattern: the entries (i, j), of shape ``N x M``.
        x: ``[H, N, C]``.
        y: ``[H, M, C]``.

    Returns:
        ``[H, nnz]``. Half precision is computed in float32, and the result stays float32.

    Cost: O(nnz H C) time, O(nnz H) memory.

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, sddmm
        >>> path = Pattern.from_coo(torch.tensor([0, 1, 1]), torch.tensor([1, 0, 2]), (3, 3))
        >>> x = torch.tensor([[[1.0], [2.0], [4.0]]])
        >>> sddmm(path, x, x)
        tensor([[2., 2., 8.]])
    """
    return _sddmm(*in_one_type(x, y), *pattern.tensors)


def is_fused(x: Tensor) -> bool:
    """Whether Triton kernels run where x lies."""
    return HAS_TRITON and x.device.type == "cuda"


def is_half(x: Tensor) -> bool:
    """Whether sums over x need a wider type."""
    return x.dtype in (torch.float16, torch.bfloat16)


def accumulator(x: Tensor) -> torch.dtype:
    """The type in which sums over x are taken."""
    return torch.float32 if is_half(x) else x.dtype


def sum_dtype(*tensors: Tensor) -> torch.dtype:
    """The type in which sums over products of tensors are taken."""
    return reduce(torch.promote_types, map(accumulator, tensors))


def in_one_type(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All of them in the type in which sums over their products are taken."""
    kind = sum_dtype(*tensors)
    return tuple(x.to(kind) for x in tensors)


def _spmm_heads(pattern: Pattern, value: Tensor, x: Tensor) -> Tensor:
    heads, rows = x.shape[0], pattern.shape[0]
    if value.shape[0] == 1 and heads > 1:
        wide = x.transpose(0, 1).reshape(1, x.shape[1], heads * x.shape[2])
        return _spmm(value, wide, *pattern.tensors).reshape(rows, heads, x.shape[2]).transpose(0, 1)
    return _spmm(value, x.expand(value.shape[0], -1, -1), *pattern.tensors)


@torch.library.custom_op("graphmask::spmm", mutates_args=())
def _spmm(
    value: Tensor,
    x: Tensor,
    rowptr: Tensor,
    col: Tensor,
    colptr: Tensor,
    row: Tensor,
    order: Tensor,
    back: Tensor,
) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return multiply(value, x, rowptr, col, row, back)


def multiply(
    value: Tensor, x: Tensor, rowptr: Tensor, col: Tensor, row: Tensor, back: Tensor
) -> Tensor:
    """The body of :func:`spmm` that runs best where x lies."""
    if is_fused(x):
        from ._spmm_triton import spmm

        return spmm(value, x, rowptr, col, row, back)
    return spmm_body(value, x, rowptr, col)


@torch.library.custom_op("graphmask::sddmm", mutates_args=())
def _sddmm(
    x: Tensor,
    y: Tensor,
    rowptr: Tensor,
    col: Tensor,
    colptr: Tensor,
    row: Tensor,
    order: Tensor,
    back: Tensor,
) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        if is_fused(x):
            from ._spmm_triton import sddmm

            return sddmm(x, y, col, row, back)
        return sddmm_body(x, y, rowptr, col)


@_spmm.register_fake
def _(value: Tensor, x: Tensor, rowptr: Tensor, *_: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], rowptr.shape[0] - 1, x.shape[2])


@_sddmm.register_fake
def _(x: Tensor, y: Tensor, rowptr: Tensor, col: Tensor, *_: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], col.shape[0])


def _keep(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    left, right, *sides = inputs
    needs_left, needs_right = ctx.needs_input_grad[:2]
    ctx.save_for_backward(left if needs_right else None, right if needs_left else None, *sides)


def _spmm_backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    value, x, rowptr, col, colptr, row, order, back = ctx.saved_tensors
    grad_value = None if x is None else _sddmm(grad, x, rowptr, col, colptr, row, order, back)
    grad_x = None
    if value is not None:
        grad_x = _spmm(value.index_select(1, order), grad, colptr, row, rowptr, col, back, order)
    return grad_value, grad_x, *[None] * 6


def _sddmm_backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    x, y, rowptr, col, colptr, row, order, back = ctx.saved_tensors
    grad_x = None if y is None else _spmm(grad, y, rowptr, col, colptr, row, order, back)
    grad_y = None
    if x is not None:
        grad_y = _spmm(grad.index_select(1, order), x, colptr, row, rowptr, col, back, order)
    return grad_x, grad_y, *[None] * 6


_spmm.register_autograd(_spmm_backward, setup_context=_keep)
_sddmm.register_autograd(_sddmm_backward, setup_context=_keep)
