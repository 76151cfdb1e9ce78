"""Conjugate gradients for ``(I - a W) y = x``, for all heads, columns and graphs at once.

Differentiation is implicit: ``dy = M dx + M (da W + a dW) y`` for ``M = (I - a W)^-1``, so the
gradients come from one system of the transpose, ``z = M^T g``: ``d/dx = z``, ``d/da = z . W y``,
``d/dW_ij = a z_i . y_j``. All three are differentiable in turn.
Letters: H heads, N nodes, C channels, B graphs, nnz entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphmask._checks import check_no_function_transforms, value_error
from graphmask._precision import to_double

from ._autograd import Grads
from .pattern import Pattern
from .products import multiply, sddmm, spmm

# Residuals that rounding leaves, times 1 - a, in units of rounding.
_ROUNDING = 16

# Numbers in a slice of columns that is iterated at once, and its least columns.
_SLICE = 2**17
_NARROWEST = 8


class Graphs(NamedTuple):
    """The graph of each node ``[N]``, None for one graph, and the number of graphs."""

    batch: Tensor | None
    number: int


ONE_GRAPH = Graphs(None, 1)


def solve_resolvent(
    pattern: Pattern,
    weight: Tensor,
    a: Tensor,
    x: Tensor,
    tolerance: float,
    graphs: Graphs = ONE_GRAPH,
) -> Tensor:
    r"""``[H, N, C]`` doubles, :math:`y_h = (I - a_h W)^{-1} x_h` for symmetric W of norm <= 1.

    Every column of every graph is iterated until its residual is at most half of ``tolerance``
    times the column; then all residuals are recomputed and compared with ``tolerance``, plus the
    rounding of single precision on devices that have no float64.

    Args:
        pattern: the entries of W, of shape ``N x N``.
        weight: ``[nnz]``, of a symmetric W.
        a: ``[H]``, between 0 and 1.
        x: ``[H, N, C]``.
        tolerance: the largest norm of a residual, relative to its column of x.
        graphs: the blocks of W. (default: one)

    Raises:
        ValueError: if the tolerance is not reached, or an a is not between 0 and 1.

    Cost: O(nnz H C) per iteration, of which there are about :math:`\ln(2 / \text{tolerance}) /
    \ln(1 / \rho)`, where :math:`\rho = a / (1 + \sqrt{1 - a^2})`; O(N H C) memory, none per
    iteration.

    Source: Hestenes and Stiefel, "Methods of Conjugate Gradients for Solving Linear Systems"
    (1952).

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, solve_resolvent
        >>> edge = Pattern.from_coo(torch.tensor([0, 1]), torch.tensor([1, 0]), (2, 2))
        >>> a, x = torch.tensor([0.5]), torch.tensor([[[3.0], [0.0]]])
        >>> solve_resolvent(edge, torch.ones(2), a, x, 1e-9).flatten()
        tensor([4., 2.], dtype=torch.float64)
    """
    check_no_function_transforms()
    weight, a, x = map(to_double, (weight, a, x))
    return _Solve.apply(weight, a, x, pattern, tolerance, graphs)


def count_iterations(a: float, tolerance: float) -> int:
    r"""Iterations after which a residual is at most ``tolerance``, in exact arithmetic.

    The error in the norm of :math:`A = I - aW` is at most :math:`2 \rho^k` of the first one, and
    the residual at most :math:`\sqrt{\kappa}` times that, where :math:`\kappa = (1 + a) / (1 - a)`
    bounds the condition of A and :math:`\rho = (\sqrt\kappa - 1) / (\sqrt\kappa + 1) = a / (1 +
    \sqrt{1 - a^2})`.
    """
    rho = max(a / (1 + math.sqrt(1 - a * a)), 1e-300)
    return math.ceil(math.log(2 * math.sqrt((1 + a) / (1 - a)) / tolerance) / -math.log(rho))


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        a: Tensor,
        x: Tensor,
        pattern: Pattern,
        tolerance: float,
        graphs: Graphs,
    ) -> Tensor:
        y = _iterate(pattern, weight, a, x, tolerance, graphs)
        ctx.save_for_backward(weight, a, y)
        ctx.system = pattern, tolerance, graphs
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Grads:
        weight, a, y = ctx.saved_tensors
        pattern, *rest = ctx.system
        needs_weight, needs_a, _ = ctx.needs_input_grad[:3]
        z = _Solve.apply(weight[pattern.csc_perm], a, grad, pattern.mT, *rest)
        grad_weight = sddmm(pattern, a[:, None, None] * z, y).sum(0) if needs_weight else None
        grad_a = (z * spmm(pattern, weight.unsqueeze(0), y)).sum((1, 2)) if needs_a else None
        return grad_weight, grad_a, z, None, None, None


def _iterate(
    pattern: Pattern, weight: Tensor, a: Tensor, x: Tensor, tolerance: float, graphs: Graphs
) -> Tensor:
    """Solve for all columns of all heads, in slices that stay in the cache during an iteration."""
    high = float(a.max())
    if not 0 <= float(a.min()) <= high < 1:
        raise value_error("a", "between 0 and 1, or I - a W may have no inverse", a.tolist())
    heads, nodes, channels = x.shape
    # Rounding delays convergence: allow twice the iterations of exact arithmetic.
    limit = 2 * count_iterations(high, tolerance / 2) + 10
    single = _ROUNDING * torch.finfo(torch.float32).eps / (1 - high)
    accepted = tolerance if x.dtype == torch.float64 else tolerance + single
    solved = []
    wide, factors = x.transpose(0, 1).reshape(nodes, -1), a.repeat_interleave(channels)
    for columns, factor in _slices(wide, factors):

        def apply(p: Tensor, factor: Tensor = factor) -> Tensor:
            image = multiply(weight.unsqueeze(0), p.unsqueeze(0), *pattern.tensors)
            return p - image[0].mul_(factor)

        unit = _to_nodes(
            _largest(columns, graphs), graphs
        )  # no square leaves the range of the type
        right = columns / unit
        solved.append(_solve_columns(apply, right, tolerance, accepted, limit, graphs).mul_(unit))
    return torch.cat(solved, 1).view(nodes, heads, channels).transpose(0, 1)


def _slices(x: Tensor, factor: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Contiguous slices of columns that fit :data:`_SLICE`, and their factors."""
    width = max(_NARROWEST, _SLICE // max(1, len(x)))
    for columns, own in zip(x.split(width, 1), factor.split(width), strict=True):
        yield columns.contiguous(), own


def _solve_columns(
    apply: Callable[[Tensor], Tensor],
    right: Tensor,
    tolerance: float,
    accepted: float,
    limit: int,
    graphs: Graphs,
) -> Tensor:
    size = _products(right, right, graphs)
    goal = (tolerance / 2) ** 2 * size
    y, iterations = torch.zeros_like(right), 0
    residual, direction, norm = right.clone(), right.clone(), size
    for iterations in range(limit + 1):
        active = norm > goal
        if iterations == limit or not bool(active.any()):
            break
        image = apply(direction)
        step = _to_nodes(_divide(norm, _products(direction, image, graphs), active), graphs)
        y.addcmul_(step, direction)
        residual.addcmul_(step, image, value=-1)
        norm, previous = _products(residual, residual, graphs), norm
        direction.mul_(_to_nodes(_divide(norm, previous, active), graphs)).add_(residual)
    residual = right - apply(y)
    norm = _products(residual, residual, graphs)
    if bool((norm > accepted**2 * size).any()):
        worst = float((norm / size.masked_fill(size == 0, 1)).max().sqrt())
        reached = f"a residual of {worst:.1e} of a column after {iterations} iterations"
        raise value_error("tolerance", f"reachable: conjugate gradients left {reached}", tolerance)
    return y


def _largest(x: Tensor, graphs: Graphs) -> Tensor:
    """``[B, C]``, largest absolute values over the nodes of each graph; 1 where all are 0."""
    size = x.abs()
    if graphs.batch is None:
        largest = size.amax(0, keepdim=True) if len(size) else size.new_ones(1, size.shape[1])
    else:
        index = graphs.batch.unsqueeze(1).expand_as(size)
        largest = size.new_zeros(graphs.number, size.shape[1]).scatter_reduce(
            0, index, size, "amax"
        )
    return largest.masked_fill(largest == 0, 1)


def _products(p: Tensor, q: Tensor, graphs: Graphs) -> Tensor:
    """``[B, C]``, inner products over the nodes of each graph."""
    product = p * q
    if graphs.batch is None:
        return product.sum(0, keepdim=True)
    return product.new_zeros(graphs.number, product.shape[1]).index_add_(0, graphs.batch, product)


def _to_nodes(x: Tensor, graphs: Graphs) -> Tensor:
    """``[N, C]`` or ``[1, C]``, the numbers ``[B, C]`` of the graph of each node."""
    return x if graphs.batch is None else x[graphs.batch]


def _divide(x: Tensor, y: Tensor, active: Tensor) -> Tensor:
    """Ratios for active columns; 0 for columns that have converged."""
    return torch.where(active, x / torch.where(active, y, 1), 0)
