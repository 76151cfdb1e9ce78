"""Conjugate gradients for ``(I - a W) y = x``, all heads, columns and graphs at once, with an implicit derivative.

    dy = M dx + M (da W + a dW) y        for M = (I - a W)^-1

so that the gradients come from one more system, of the transpose: `z = M^T g`, `d/dx = z`, `d/da =
z . W y`, `d/dW_ij = a z_i . y_j`. All three are differentiable in turn. Letters: H heads, N nodes,
C channels, B graphs, nnz entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphmask._checks import value_error

from ._autograd import Grads
from .pattern import Pattern
from .products import multiply, sddmm, spmm

# Numbers of a slice of columns that is iterated at once, and columns that it has at least.
_SLICE = 2**17
_NARROWEST = 8


class Graphs(NamedTuple):
    """Which graph a node belongs to: each is solved by itself."""

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
    r"""``[H, N, C]`` in float64, :math:`y_h = (I - a_h W)^{-1} x_h` for a symmetric W of spectral norm at most 1.

    Every column of every graph is iterated until its residual is at most half of ``tolerance``
    times the column; then all residuals are formed anew and compared with ``tolerance``. Steps are
    computed for each graph by itself, and end there.

    Args:
        pattern: the entries of W, of shape ``N x N``.
        weight: ``[nnz]``, of a symmetric W.
        a: ``[H]``, between 0 and 1.
        x: ``[H, N, C]``.
        tolerance: of the residuals, relative to the columns of x.
        graphs: the blocks of W. (default: one)

    Raises:
        ValueError: where the tolerance is not reached, and for an a that is not between 0 and 1.

    Cost: O(nnz H C) per iteration, of which there are about :math:`\ln(2 / \text{tolerance}) /
    \ln(1 / \rho)`, where :math:`\rho = a / (1 + \sqrt{1 - a^2})`; O(N H C) memory, none per
    iteration.

    Source: Hestenes and Stiefel, "Methods of Conjugate Gradients for Solving Linear Systems"
    (1952).

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, solve_resolvent
        >>> edge = Pattern.from_coo(torch.tensor([0, 1]), torch.tensor([1, 0]), (2, 2))
        >>> solve_resolvent(edge, torch.ones(2), torch.tensor([0.5]), torch.tensor([[[3.0], [0.0]]]), 1e-9).flatten()
        tensor([4., 2.], dtype=torch.float64)
    """
    return _Solve.apply(weight.double(), a.double(), x.double(), pattern, tolerance, graphs)


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
        z = _Solve.apply(weight[pattern.order], a, grad, pattern.mT, *rest)
        grad_weight = sddmm(pattern, a[:, None, None] * z, y).sum(0) if needs_weight else None
        grad_a = (z * spmm(pattern, weight.unsqueeze(0), y)).sum((1, 2)) if needs_a else None
        return grad_weight, grad_a, z, None, None, None


def _iterate(
    pattern: Pattern, weight: Tensor, a: Tensor, x: Tensor, tolerance: float, graphs: Graphs
) -> Tensor:
    """All columns of all heads, in slices.

    What an iteration passes over several times stays in the cache.
    """
    high = float(a.max())
    if not (float(a.min()) > 0 and high < 1):
        raise value_error("a", "between 0 and 1, or I - a W may have no inverse", a.tolist())
    heads, nodes, channels = x.shape
    # Rounding delays convergence: twice the iterations of exact arithmetic are allowed.
    limit = 2 * count_iterations(high, tolerance / 2) + 10
    solved = []
    wide, factors = x.transpose(0, 1).reshape(nodes, -1), a.repeat_interleave(channels)
    for columns, factor in _slices(wide, factors):

        def apply(p: Tensor, factor: Tensor = factor) -> Tensor:
            image = multiply(weight.unsqueeze(0), p.unsqueeze(0), *pattern.tensors)
            return p - image[0].mul_(factor)

        solved.append(_solve_columns(apply, columns, tolerance, limit, graphs))
    return torch.cat(solved, 1).view(nodes, heads, channels).transpose(0, 1)


def _slices(x: Tensor, factor: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Contiguous slices of columns that fit :data:`_SLICE`, and their factors."""
    width = max(_NARROWEST, _SLICE // max(1, len(x)))
    for columns, own in zip(x.split(width, 1), factor.split(width), strict=True):
        yield columns.contiguous(), own


def _solve_columns(
    apply: Callable[[Tensor], Tensor], right: Tensor, tolerance: float, limit: int, graphs: Graphs
) -> Tensor:
    size = _products(right, right, graphs)
    goal = (tolerance / 2) ** 2 * size
    y, done = torch.zeros_like(right), 0
    residual, direction, left = right.clone(), right.clone(), size
    for done in range(limit + 1):
        active = left > goal
        if done == limit or not bool(active.any()):
            break
        image = apply(direction)
        step = _spread(_divide(left, _products(direction, image, graphs), active), graphs)
        y.addcmul_(step, direction)
        residual.addcmul_(step, image, value=-1)
        left, before = _products(residual, residual, graphs), left
        direction.mul_(_spread(_divide(left, before, active), graphs)).add_(residual)
    _check(right - apply(y), size, tolerance, done, graphs)
    return y


def _check(
    residual: Tensor, size: Tensor, tolerance: float, iterations: int, graphs: Graphs
) -> None:
    left = _products(residual, residual, graphs)
    if bool((left <= tolerance**2 * size).all()):
        return
    worst = float((left / size.masked_fill(size == 0, 1)).max().sqrt())
    raise value_error(
        "tolerance",
        f"reachable: conjugate gradients left a residual of {worst:.1e} of a column after {iterations} iterations",
        tolerance,
    )


def _products(p: Tensor, q: Tensor, graphs: Graphs) -> Tensor:
    """``[B, C]``, inner products over the nodes of each graph."""
    product = p * q
    if graphs.batch is None:
        return product.sum(0, keepdim=True)
    return product.new_zeros(graphs.number, product.shape[1]).index_add_(0, graphs.batch, product)


def _spread(each: Tensor, graphs: Graphs) -> Tensor:
    """To the nodes of each graph."""
    return each if graphs.batch is None else each[graphs.batch]


def _divide(left: Tensor, right: Tensor, active: Tensor) -> Tensor:
    """Their ratio for the columns that go on; 0 for those that have ended."""
    return torch.where(active, left / torch.where(active, right, 1), 0)
