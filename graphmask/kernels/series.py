"""Power series of a sparse matrix times a dense matrix, with a derivative that stores nothing per power.

    y = sum_k a_hk W^k x        d/dx = sum_k a_hk (W^T)^k g        d/da_hk = x . (W^T)^k g        for the gradient g of y

Both derivatives come from one run through the powers of the transpose. Their own derivative is that
of the composition of `spmm`. Letters: H heads, N nodes, C channels, K order, nnz entries.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .pairs import differentiate
from .pattern import Pattern
from .primitives import multiply, spmm


def power_series(pattern: Pattern, weight: Tensor, alpha: Tensor, x: Tensor) -> Tensor:
    r"""``[H, N, C]``, :math:`\sum_k \alpha_{hk} W^k x_h` by Horner's rule.

    Args:
        pattern: the entries of W, of shape ``N x N``.
        weight: ``[nnz]``; or ``[H, nnz]``, other weights for each head.
        alpha: ``[H, K + 1]`` or ``[1, K + 1]``.
        x: ``[H, N, C]`` or ``[1, N, C]``, of the same type as both.

    Cost: O(K nnz H C) time, O(N H C) memory; K times the memory where the gradient of ``weight`` is
        wanted, or any gradient for weights per head.

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, power_series
        >>> path = Pattern.from_coo(torch.tensor([0, 1, 1, 2]), torch.tensor([1, 0, 2, 1]), (3, 3))
        >>> x = torch.tensor([[[1.0], [0.0], [0.0]]])
        >>> power_series(path, torch.ones(4), torch.tensor([[1.0, 10.0, 100.0]]), x).flatten()
        tensor([101.,  10., 100.])
    """
    if (
        alpha.shape[1] == 1
        or weight.dim() == 2
        or (weight.requires_grad and torch.is_grad_enabled())
    ):
        return _compose(pattern, weight, alpha, x)
    heads = max(len(x), len(alpha))
    return _series(x.expand(heads, -1, -1), alpha.expand(heads, -1), weight, *pattern.tensors)


def _compose(pattern: Pattern, weight: Tensor, alpha: Tensor, x: Tensor) -> Tensor:
    *lower, last = alpha.unsqueeze(-1).unsqueeze(-1).unbind(1)
    total = last * x
    weight = weight if weight.dim() == 2 else weight.unsqueeze(0)
    for coefficient in reversed(lower):
        total = spmm(pattern, weight, total) + coefficient * x
    return total


def _multiply(
    weight: Tensor, x: Tensor, rowptr: Tensor, col: Tensor, row: Tensor, back: Tensor
) -> Tensor:
    """``W x`` for all heads together, ``[N, H, C]``."""
    nodes, heads, channels = x.shape
    wide = x.view(1, nodes, heads * channels)
    return multiply(weight.unsqueeze(0), wide, rowptr, col, row, back).view(-1, heads, channels)


def _by_nodes(x: Tensor) -> Tensor:
    """``[N, H, C]``, contiguous."""
    return x.transpose(0, 1).contiguous()


@torch.library.custom_op("graphmask::power_series", mutates_args=())
def _series(
    x: Tensor, alpha: Tensor, weight: Tensor,
    rowptr: Tensor, col: Tensor, colptr: Tensor, row: Tensor, order: Tensor, back: Tensor,
) -> Tensor:  # fmt: skip
    with torch.autocast(x.device.type, enabled=False):
        *lower, last = alpha.mT.unsqueeze(-1).unbind(0)
        x = _by_nodes(x)
        total = last * x
        for coefficient in reversed(lower):
            total = _multiply(weight, total, rowptr, col, row, back).addcmul_(coefficient, x)
        return total.transpose(0, 1)


@torch.library.custom_op("graphmask::power_series_gradients", mutates_args=())
def _gradients(
    above: Tensor, x: Tensor, alpha: Tensor, weight: Tensor,
    rowptr: Tensor, col: Tensor, colptr: Tensor, row: Tensor, order: Tensor, back: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Of x and of alpha; the sides are those of the transpose, and so is the weight."""
    with torch.autocast(x.device.type, enabled=False):
        first, *higher = alpha.mT.unsqueeze(-1).unbind(0)
        power, x = _by_nodes(above), _by_nodes(x)
        grad_x = first * power
        moments = [_dot(x, power)]
        for coefficient in higher:
            power = _multiply(weight, power, rowptr, col, row, back)
            grad_x.addcmul_(coefficient, power)
            moments.append(_dot(x, power))
        return grad_x.transpose(0, 1), torch.stack(moments, 1)


def _dot(x: Tensor, y: Tensor) -> Tensor:
    """``[H]``, over nodes and channels of ``[N, H, C]``."""
    return torch.einsum("nhc,nhc->nh", x, y).sum(0)


@_series.register_fake
def _(x: Tensor, *_: Tensor) -> Tensor:
    return x.new_empty(x.transpose(0, 1).shape).transpose(0, 1)


@_gradients.register_fake
def _(above: Tensor, x: Tensor, alpha: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.transpose(0, 1).shape).transpose(0, 1), alpha.new_empty(alpha.shape)


def _keep(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs)


def _series_backward(ctx, above: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    x, alpha, weight, rowptr, col, colptr, row, order, back = ctx.saved_tensors
    flipped = weight.index_select(0, order)
    grad_x, grad_alpha = _gradients(above, x, alpha, flipped, colptr, row, rowptr, col, back, order)
    return grad_x, grad_alpha, *[None] * 7


def _compose_gradients(
    pattern: Pattern, weight: Tensor, above: Tensor, x: Tensor, alpha: Tensor
) -> tuple[Tensor, Tensor]:
    grad_x, power, moments = torch.zeros_like(x), above, []
    for number, coefficient in enumerate(alpha.unsqueeze(-1).unsqueeze(-1).unbind(1)):
        power = spmm(pattern, weight.unsqueeze(0), power) if number else power
        grad_x = grad_x + coefficient * power
        moments.append((x * power).sum((1, 2)))
    return grad_x, torch.stack(moments, 1)


def _gradients_backward(ctx, *above: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    weight, *sides = ctx.saved_tensors[3:]

    def compose(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        return _compose_gradients(Pattern.from_tensors(*sides), weight, *inputs)

    slopes = differentiate(compose, ctx.saved_tensors[:3], ctx.needs_input_grad[:3], above)
    return *slopes, *[None] * 7


_series.register_autograd(_series_backward, setup_context=_keep)
_gradients.register_autograd(_gradients_backward, setup_context=_keep)
