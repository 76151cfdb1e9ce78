"""Power and Chebyshev series of a sparse matrix times a dense one; no term is stored for backward.

    y = sum_k c_hk T_k(W) x        d/dx = sum_k c_hk T_k(W^T) g        d/dc_hk = x . T_k(W^T) g

for the gradient g of y, where ``T_1 = W`` and ``T_{k+1} = W T_k`` (powers) or ``2 W T_k - T_{k-1}``
(Chebyshev polynomials). Products are summed by Clenshaw's recurrence, which for powers is Horner's
rule; both derivatives come from one run through the terms of the transpose. Their own derivative is
that of the same recurrences over `spmm`.
Letters: H heads, N nodes, C channels, K order, nnz entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor

from graphmask._precision import full_precision

from ._autograd import STRUCTURE, Grads, composition_backward, operator, pad, save_inputs
from .pattern import Pattern
from .products import multiply, spmm

# A matrix times [N, H, C], to new memory, by a factor of 1 or 2.
Step = Callable[[Tensor, int], Tensor]


def power_series(pattern: Pattern, weight: Tensor, alpha: Tensor, x: Tensor) -> Tensor:
    r"""``[H, N, C]``, :math:`\sum_k \alpha_{hk} W^k x_h` by Horner's rule.

    Args:
        pattern: the entries of W, of shape ``N x N``.
        weight: ``[nnz]``; or ``[H, nnz]``, other weights for each head.
        alpha: ``[H, K + 1]`` or ``[1, K + 1]``.
        x: ``[H, N, C]`` or ``[1, N, C]``, of the same type as both.

    Cost: O(K nnz H C) time, O(N H C) memory; K times the memory where the gradient of ``weight`` is
    computed, or any gradient for weights per head.

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, power_series
        >>> path = Pattern.from_coo(torch.tensor([0, 1, 1, 2]), torch.tensor([1, 0, 2, 1]), (3, 3))
        >>> x = torch.tensor([[[1.0], [0.0], [0.0]]])
        >>> power_series(path, torch.ones(4), torch.tensor([[1.0, 10.0, 100.0]]), x).flatten()
        tensor([101.,  10., 100.])
    """
    return _evaluate(pattern, weight, alpha, x, chebyshev=False)


def chebyshev_series(pattern: Pattern, weight: Tensor, coefficients: Tensor, x: Tensor) -> Tensor:
    r"""``[H, N, C]``, :math:`\sum_k c_{hk} T_k(W) x_h` by Clenshaw's recurrence.

    Args:
        pattern: the entries of W, of shape ``N x N``.
        weight: ``[nnz]``; or ``[H, nnz]``, other weights for each head.
        coefficients: ``[H, K + 1]`` or ``[1, K + 1]``.
        x: ``[H, N, C]`` or ``[1, N, C]``, of the same type as both.

    Cost: as of :func:`power_series`.

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, chebyshev_series
        >>> path = Pattern.from_coo(torch.tensor([0, 1, 1, 2]), torch.tensor([1, 0, 2, 1]), (3, 3))
        >>> x = torch.tensor([[[1.0], [0.0], [0.0]]])
        >>> coefficients = torch.tensor([[0.0, 1.0, 100.0]])  # W x + 100 (2 W^2 - I) x
        >>> chebyshev_series(path, torch.ones(4), coefficients, x).flatten()
        tensor([100.,   1., 200.])
    """
    return _evaluate(pattern, weight, coefficients, x, chebyshev=True)


def _evaluate(
    pattern: Pattern, weight: Tensor, coefficients: Tensor, x: Tensor, chebyshev: bool
) -> Tensor:
    heads = max(len(x), len(coefficients))
    x, coefficients = x.expand(heads, -1, -1), coefficients.expand(heads, -1)
    needs_weight = weight.requires_grad and torch.is_grad_enabled()
    if coefficients.shape[1] == 1 or weight.dim() == 2 or needs_weight:
        step = _differentiable_step(pattern, weight, chebyshev)
        return _sum_terms(step, coefficients, x.transpose(0, 1), chebyshev).transpose(0, 1)
    return _series(x, coefficients, weight, *pattern.tensors, chebyshev)


def _sum_terms(step: Step, coefficients: Tensor, x: Tensor, chebyshev: bool) -> Tensor:
    """``[N, H, C]``, the sum of all terms of x ``[N, H, C]`` by Clenshaw's recurrence."""
    *lower, last = coefficients.mT.unsqueeze(-1).unbind(0)
    total, before = last * x, None
    for k in reversed(range(len(lower))):
        image = step(total, 2 if chebyshev and k else 1).addcmul_(lower[k], x)
        if before is not None:
            image = image.sub_(before)
        total, before = image, total if chebyshev else None
    return total


def _terms(step: Step, x: Tensor, chebyshev: bool) -> Iterator[Tensor]:
    """``T_k(W) x`` for k = 1, 2, ..."""
    term, before = x, None
    for k in count():
        image = step(term, 2 if chebyshev and k else 1)
        if before is not None:
            image = image.sub_(before)
        term, before = image, term if chebyshev else None
        yield term


def _differentiate(
    step: Step, grad_output: Tensor, x: Tensor, coefficients: Tensor, chebyshev: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of x ``[N, H, C]`` and of the coefficients ``[H, K + 1]``."""
    first, *scales = coefficients.mT.unsqueeze(-1).unbind(0)
    grad_x, moments = first * grad_output, [_dot(x, grad_output)]
    for scale, term in zip(scales, _terms(step, grad_output, chebyshev), strict=False):
        grad_x = grad_x.addcmul_(scale, term)
        moments.append(_dot(x, term))
    return grad_x, torch.stack(moments, 1)


def _dot(x: Tensor, y: Tensor) -> Tensor:
    """``[H]``, inner products over nodes and channels."""
    return torch.einsum("nhc,nhc->nh", x, y).sum(0)


def _step(weight: Tensor, tensors: Sequence[Tensor], chebyshev: bool) -> Step:
    """Multiplies all heads together, as one wide matrix."""
    weights = _scaled(weight, chebyshev)

    def step(x: Tensor, factor: int) -> Tensor:
        nodes, heads, channels = x.shape
        wide = multiply(weights[factor], x.view(1, nodes, heads * channels), *tensors)
        return wide.view(nodes, heads, channels)

    return step


def _differentiable_step(pattern: Pattern, weight: Tensor, chebyshev: bool) -> Step:
    weights = _scaled(weight, chebyshev)

    def step(x: Tensor, factor: int) -> Tensor:
        return spmm(pattern, weights[factor], x.transpose(0, 1)).transpose(0, 1)

    return step


def _scaled(weight: Tensor, chebyshev: bool) -> dict[int, Tensor]:
    """``[H or 1, nnz]``, the weights by the factors that the recurrence multiplies them with."""
    weight = weight if weight.dim() == 2 else weight.unsqueeze(0)
    return {1: weight, 2: 2 * weight} if chebyshev else {1: weight}


def _fake_series(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.transpose(0, 1).shape).transpose(0, 1)


def _fake_gradients(grad_output: Tensor, x: Tensor, coefficients: Tensor, *_: Any) -> Any:
    return _fake_series(x), coefficients.new_empty(coefficients.shape)


@operator(
    "series",
    f"(Tensor x, Tensor coefficients, Tensor weight, {STRUCTURE}, bool chebyshev) -> Tensor",
    _fake_series,
)
def _series(x: Tensor, coefficients: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    *tensors, chebyshev = rest
    with full_precision(x.device):
        x = x.transpose(0, 1).contiguous()
        return _sum_terms(_step(weight, tensors, chebyshev), coefficients, x, chebyshev).transpose(
            0, 1
        )


@operator(
    "series_gradients",
    "(Tensor grad_output, Tensor x, Tensor coefficients, Tensor weight, "
    f"{STRUCTURE}, bool chebyshev) -> (Tensor, Tensor)",
    _fake_gradients,
)
def _gradients(
    grad_output: Tensor, x: Tensor, coefficients: Tensor, weight: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    """Gradients of x and of the coefficients; weight and structure are those of the transpose."""
    *tensors, chebyshev = rest
    with full_precision(x.device):
        grad_output, x = (y.transpose(0, 1).contiguous() for y in (grad_output, x))
        grad_x, grad_coefficients = _differentiate(
            _step(weight, tensors, chebyshev), grad_output, x, coefficients, chebyshev
        )
        return grad_x.transpose(0, 1), grad_coefficients


def _series_backward(ctx: Any, grad_output: Tensor) -> Grads:
    x, coefficients, weight, rowptr, col, colptr, row, csc_perm, csr_perm = ctx.saved_tensors
    transposed = colptr, row, rowptr, col, csr_perm, csc_perm
    flipped = weight.index_select(0, csc_perm)
    return pad(_gradients(grad_output, x, coefficients, flipped, *transposed, *ctx.options), ctx)


def _compose_gradients(
    grad_output: Tensor, x: Tensor, coefficients: Tensor, weight: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    *tensors, chebyshev = rest
    step = _differentiable_step(Pattern.from_tensors(*tensors), weight, chebyshev)
    grad_output, x = grad_output.transpose(0, 1), x.transpose(0, 1)
    grad_x, grad_coefficients = _differentiate(step, grad_output, x, coefficients, chebyshev)
    return grad_x.transpose(0, 1), grad_coefficients


_series.register_autograd(_series_backward, setup_context=save_inputs)
_gradients.register_autograd(composition_backward(_compose_gradients, 3), setup_context=save_inputs)
