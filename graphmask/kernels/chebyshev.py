"""Chebyshev series of a sparse matrix times a dense matrix, with a derivative that stores nothing per term.

    y = sum_k c_hk T_k(W) x        d/dx = sum_k c_hk T_k(W^T) g        d/dc_hk = x . T_k(W^T) g        for the gradient g of y

The product is summed by Clenshaw's recurrence; both derivatives come from one run of the three-term
recurrence of the transpose. Their own derivative is that of the composition of `spmm`.
Letters: H heads, N nodes, C channels, K order, nnz entries.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .pairs import differentiate
from .pattern import Pattern
from .primitives import spmm
from .series import _by_nodes, _dot, _keep, _multiply


def chebyshev_series(pattern: Pattern, weight: Tensor, coefficients: Tensor, x: Tensor) -> Tensor:
    r"""``[H, N, C]``, :math:`\sum_k c_{hk} T_k(W) x_h` by Clenshaw's recurrence.

    Args:
        pattern: the entries of W, of shape ``N x N``.
        weight: ``[nnz]``.
        coefficients: ``[H, K + 1]`` or ``[1, K + 1]``.
        x: ``[H, N, C]`` or ``[1, N, C]``, of the same type as both.

    Cost: O(K nnz H C) time, O(N H C) memory; K times the memory where the gradient of ``weight`` is
    wanted.

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, chebyshev_series
        >>> path = Pattern.from_coo(torch.tensor([0, 1, 1, 2]), torch.tensor([1, 0, 2, 1]), (3, 3))
        >>> x = torch.tensor([[[1.0], [0.0], [0.0]]])
        >>> chebyshev_series(path, torch.ones(4), torch.tensor([[0.0, 1.0, 100.0]]), x).flatten()  # W x + 100 (2 W^2 - I) x
        tensor([100.,   1., 200.])
    """
    heads = max(len(x), len(coefficients))
    x, coefficients = x.expand(heads, -1, -1), coefficients.expand(heads, -1)
    if coefficients.shape[1] == 1 or (weight.requires_grad and torch.is_grad_enabled()):
        return _compose(pattern, weight, coefficients, x)
    return _series(x, coefficients, weight, *pattern.tensors)


def _compose(pattern: Pattern, weight: Tensor, coefficients: Tensor, x: Tensor) -> Tensor:
    first, *higher = coefficients.unsqueeze(-1).unsqueeze(-1).unbind(1)
    total, before = torch.zeros_like(x), torch.zeros_like(x)
    for coefficient in reversed(higher):
        total, before = (
            coefficient * x + 2 * spmm(pattern, weight.unsqueeze(0), total) - before,
            total,
        )
    return first * x + spmm(pattern, weight.unsqueeze(0), total) - before


@torch.library.custom_op("graphmask::chebyshev_series", mutates_args=())
def _series(
    x: Tensor, coefficients: Tensor, weight: Tensor,
    rowptr: Tensor, col: Tensor, colptr: Tensor, row: Tensor, order: Tensor, back: Tensor,
) -> Tensor:  # fmt: skip
    with torch.autocast(x.device.type, enabled=False):
        first, *higher, last = coefficients.mT.unsqueeze(-1).unbind(0)
        x, twice = _by_nodes(x), 2 * weight
        total, before = last * x, torch.zeros_like(x)
        for coefficient in reversed(higher):
            after = (
                _multiply(twice, total, rowptr, col, row, back)
                .addcmul_(coefficient, x)
                .sub_(before)
            )
            total, before = after, total
        total = _multiply(weight, total, rowptr, col, row, back).addcmul_(first, x).sub_(before)
        return total.transpose(0, 1)


@torch.library.custom_op("graphmask::chebyshev_series_gradients", mutates_args=())
def _gradients(
    above: Tensor, x: Tensor, coefficients: Tensor, weight: Tensor,
    rowptr: Tensor, col: Tensor, colptr: Tensor, row: Tensor, order: Tensor, back: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Of x and of the coefficients; the sides are those of the transpose, and so is the weight."""
    with torch.autocast(x.device.type, enabled=False):
        first, *higher = coefficients.mT.unsqueeze(-1).unbind(0)
        term, x, twice = _by_nodes(above), _by_nodes(x), 2 * weight
        grad_x, moments, before = first * term, [_dot(x, term)], None
        for coefficient in higher:
            after = _multiply(weight if before is None else twice, term, rowptr, col, row, back)
            term, before = after if before is None else after.sub_(before), term
            grad_x.addcmul_(coefficient, term)
            moments.append(_dot(x, term))
        return grad_x.transpose(0, 1), torch.stack(moments, 1)


@_series.register_fake
def _(x: Tensor, *_: Tensor) -> Tensor:
    return x.new_empty(x.transpose(0, 1).shape).transpose(0, 1)


@_gradients.register_fake
def _(above: Tensor, x: Tensor, coefficients: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.transpose(0, 1).shape).transpose(0, 1), coefficients.new_empty(
        coefficients.shape
    )


def _series_backward(ctx, above: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    x, coefficients, weight, rowptr, col, colptr, row, order, back = ctx.saved_tensors
    flipped = weight.index_select(0, order)
    grad_x, grad_coefficients = _gradients(
        above, x, coefficients, flipped, colptr, row, rowptr, col, back, order
    )
    return grad_x, grad_coefficients, *[None] * 7


def _terms(pattern: Pattern, weight: Tensor, x: Tensor, order: int) -> Iterator[Tensor]:
    """``T_k(W) x`` for k from 0 to K."""
    before, term = x, spmm(pattern, weight.unsqueeze(0), x)
    yield before
    for _ in range(order):
        yield term
        before, term = term, 2 * spmm(pattern, weight.unsqueeze(0), term) - before


def _compose_gradients(
    pattern: Pattern, weight: Tensor, above: Tensor, x: Tensor, coefficients: Tensor
) -> tuple[Tensor, Tensor]:
    grad_x, moments = torch.zeros_like(x), []
    scales = coefficients.unsqueeze(-1).unsqueeze(-1).unbind(1)
    for coefficient, term in zip(
        scales, _terms(pattern, weight, above, len(scales) - 1), strict=True
    ):
        grad_x = grad_x + coefficient * term
        moments.append((x * term).sum((1, 2)))
    return grad_x, torch.stack(moments, 1)


def _gradients_backward(ctx, *above: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    weight, *sides = ctx.saved_tensors[3:]

    def compose(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        return _compose_gradients(Pattern.from_tensors(*sides), weight, *inputs)

    slopes = differentiate(compose, ctx.saved_tensors[:3], ctx.needs_input_grad[:3], above)
    return *slopes, *[None] * 7


_series.register_autograd(_series_backward, setup_context=_keep)
_gradients.register_autograd(_gradients_backward, setup_context=_keep)
