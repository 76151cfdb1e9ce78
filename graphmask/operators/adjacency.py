"""Functions of a sparse adjacency: power series, Chebyshev series and the resolvent."""

from __future__ import annotations

import math
from functools import reduce

import torch
from torch import Tensor

from graphmask._checks import value_error
from graphmask.kernels import HopValues, Pattern, chebyshev_series, power_series, solve_resolvent
from graphmask.kernels.columns import attend_columns
from graphmask.kernels.conjugate import Graphs, count_iterations
from graphmask.kernels.series_columns import SeriesColumns
from graphmask.topology import Topology

from ._powers import Powers
from ._resolvent import chebyshev_coefficients, chebyshev_order
from .base import Entries, MaskOperator, Sign, Sums
from .sparse import merge

# Units of rounding, over (1 - a)^(3/2), that the Chebyshev series of a resolvent may be off by.
_ROUNDING = 4


class PowerSeriesOperator(MaskOperator):
    r"""``sum_k alpha_k W^k`` for coefficients ``alpha [H, K + 1]`` and a sparse ``W``, exact.

    Args:
        topology: the graphs that W belongs to.
        pattern: positions of the entries of W.
        weight: ``[nnz]``, the values of W; or ``[H, nnz]``, those of a :math:`W_h` for each head.
        alpha: ``[H, K + 1]``.
        nonnegative: whether neither W nor alpha can be negative. (default: :obj:`False`)
        powers: of W, where pairs within K hops are few: attention then runs over these. (default:
            :obj:`None`)

    Cost: O(K nnz(W)) per head and column, by Horner's rule.

    Source: Reid et al. (ICLR 2025), eq. 4.

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> alpha = torch.tensor([[1.0, 0.5]])
        >>> operator = gm.operators.PowerSeriesOperator(edge, *edge.adjacency(), alpha)
        >>> operator @ torch.tensor([1.0, 2.0])
        tensor([[2.0000, 2.5000]])
    """

    def __init__(
        self,
        topology: Topology,
        pattern: Pattern,
        weight: Tensor,
        alpha: Tensor,
        nonnegative: bool = False,
        powers: Powers | None = None,
    ) -> None:
        self.pattern, self.weight, self.alpha, self.powers = pattern, weight, alpha, powers
        cost = (alpha.shape[1] - 1) * pattern.nnz + topology.num_nodes
        super().__init__(topology, alpha.shape[0], Sign.of(nonnegative), cost)

    def _matmul(self, x: Tensor) -> Tensor:
        return power_series(self.pattern, *in_widest_type(self.weight, self.alpha, x))

    def _attend_columns(self, q: Tensor, k: Tensor, v: Tensor, normalized: bool) -> Sums | None:
        series = self.pattern, self.weight, self.alpha
        return _attend_series(series, q, k, v, normalized, chebyshev=False)

    def _transpose(self) -> MaskOperator:
        pattern, weight = self.pattern.mT, self.weight[..., self.pattern.csc_perm]
        return PowerSeriesOperator(self.topology, pattern, weight, self.alpha, self.nonnegative)

    def to_dense(self) -> Tensor:
        W = self.pattern.to_dense(self.weight).expand(self.heads, -1, -1)
        powers = torch.stack([torch.linalg.matrix_power(W, k) for k in range(self.alpha.shape[1])])
        return torch.einsum("hk,khij->hij", self.alpha.to(W.dtype), powers)

    def _entries(self) -> Entries | None:
        """The entries up to order 1; from order 2 on the support fills in, and may be known."""
        if self.powers is not None:
            return Entries(self.powers.pattern, HopValues(self.powers.table, self.alpha))
        if self.alpha.shape[1] > 2:
            return None
        diagonal = Entries(self.pattern.identity, self.alpha[:, :1].expand(-1, self.num_nodes))
        if self.alpha.shape[1] == 1:
            return diagonal
        return merge([Entries(self.pattern, self.alpha[:, 1:] * self.weight), diagonal])


class ChebyshevOperator(MaskOperator):
    r"""``sum_k c_k T_k(W)`` for coefficients ``c [H, K + 1]`` and a sparse ``W``, exact.

    For a symmetric W of spectral norm at most 1 each term has a norm of at most :math:`|c_k|`.

    Args:
        topology: the graphs that W belongs to.
        pattern: positions of the entries of W.
        weight: ``[nnz]``, the values of W.
        coefficients: ``[H, K + 1]``.
        estimate: whether the series approximates a non-negative matrix. (default: :obj:`False`)

    Cost: O(K nnz(W)) per head and column, by Clenshaw's recurrence.

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> coefficients = torch.tensor([[1.0, 0.5, 0.25]])
        >>> operator = gm.operators.ChebyshevOperator(edge, *edge.adjacency(), coefficients)
        >>> operator @ torch.tensor([1.0, 2.0])
        tensor([[2.2500, 3.0000]])
    """

    def __init__(
        self,
        topology: Topology,
        pattern: Pattern,
        weight: Tensor,
        coefficients: Tensor,
        estimate: bool = False,
    ) -> None:
        self.pattern, self.weight, self.coefficients = pattern, weight, coefficients
        heads, terms = coefficients.shape
        cost = (terms - 1) * pattern.nnz + topology.num_nodes
        super().__init__(topology, heads, Sign.of(False, estimate), cost)

    def _matmul(self, x: Tensor) -> Tensor:
        return chebyshev_series(self.pattern, *in_widest_type(self.weight, self.coefficients, x))

    def _attend_columns(self, q: Tensor, k: Tensor, v: Tensor, normalized: bool) -> Sums | None:
        series = self.pattern, self.weight, self.coefficients
        return _attend_series(series, q, k, v, normalized, chebyshev=True)

    def _transpose(self) -> MaskOperator:
        pattern, weight = self.pattern.mT, self.weight[self.pattern.csc_perm]
        return ChebyshevOperator(self.topology, pattern, weight, self.coefficients, self.estimate)

    def to_dense(self) -> Tensor:
        W = self.pattern.to_dense(self.weight)
        terms = [torch.eye(self.num_nodes, dtype=W.dtype, device=W.device), W]
        while len(terms) < self.coefficients.shape[1]:
            terms.append(2 * W @ terms[-1] - terms[-2])
        stacked = torch.stack(terms[: self.coefficients.shape[1]])
        return torch.einsum("hk,kij->hij", self.coefficients.to(W.dtype), stacked)


class ResolventOperator(MaskOperator):
    r""":math:`(I - a_h W)^{-1}` for ``a [H]`` between 0 and 1 and a symmetric, sparse W.

    W has a spectral norm of at most 1. A product is one system per column, solved in float64 by
    conjugate gradients until its residual is at most ``tolerance`` times the column, which is
    checked. Its error is then at most :math:`\text{tolerance} / (1 - a)` times the column.
    Attention in compiled columns sums the Chebyshev series of the inverse instead, whose tail has
    that bound; it takes float64 where the rounding of a narrower type could exceed the tolerance.

    Args:
        topology: the graphs that W belongs to.
        pattern: positions of the entries of W.
        weight: ``[nnz]``, the values of W.
        a: ``[H]``.
        tolerance: of residuals. (default: :obj:`1e-6`)
        estimate: whether W is non-negative, so that products approximate those of a non-negative
            matrix. (default: :obj:`False`)

    Raises:
        ValueError: where a is not between 0 and 1; at a product whose tolerance is not reached.

    Cost: O(nnz(W)) per iteration, head and column, for about :math:`\sqrt{1 / (1 - a)} \ln(1 /
    \text{tolerance})` iterations.

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> a = torch.tensor([0.5])
        >>> operator = gm.operators.ResolventOperator(edge, *edge.adjacency(), a)
        >>> operator @ torch.tensor([3.0, 0.0])
        tensor([[4., 2.]])
    """

    def __init__(
        self,
        topology: Topology,
        pattern: Pattern,
        weight: Tensor,
        a: Tensor,
        tolerance: float = 1e-6,
        estimate: bool = False,
    ) -> None:
        self.pattern, self.weight, self.a, self.tolerance = pattern, weight, a, tolerance
        low, high = (float(end) for end in torch.aminmax(a.detach()))
        if not 0 <= low <= high < 1:
            raise value_error("a", "between 0 and 1, or I - a W may have no inverse", a.tolist())
        cost = count_iterations(high, tolerance) * pattern.nnz + topology.num_nodes
        super().__init__(topology, len(a), Sign.of(False, estimate), cost)

    def _matmul(self, x: Tensor) -> Tensor:
        dtype = in_widest_type(self.weight, self.a, x)[0].dtype
        graphs = Graphs(self.topology.batch, self.topology.num_graphs)
        x = x.expand(self.heads, -1, -1)
        out = solve_resolvent(self.pattern, self.weight, self.a, x, self.tolerance, graphs)
        return out.to(dtype)

    def _attend_columns(self, q: Tensor, k: Tensor, v: Tensor, normalized: bool) -> Sums | None:
        """Attend by the Chebyshev series of ``1 / (1 - a x)``, whose tail bounds the error."""
        largest = float(self.a.detach().max())
        coefficients = chebyshev_coefficients(self.a, chebyshev_order(largest, self.tolerance))
        dtype = in_widest_type(self.weight, self.a, q)[0].dtype
        # Rounding grows with 1 / (1 - a)^(3/2), what is promised with 1 / (1 - a).
        if _ROUNDING * torch.finfo(dtype).eps > self.tolerance * math.sqrt(1 - largest):
            dtype = torch.float64
        series = self.pattern, self.weight.to(dtype), coefficients.to(dtype)
        return _attend_series(series, q, k, v, normalized, chebyshev=True)

    def _transpose(self) -> MaskOperator:
        pattern, weight = self.pattern.mT, self.weight[self.pattern.csc_perm]
        return ResolventOperator(
            self.topology, pattern, weight, self.a, self.tolerance, self.estimate
        )

    def to_dense(self) -> Tensor:
        W = self.pattern.to_dense(self.weight)
        eye = torch.eye(self.num_nodes, dtype=W.dtype, device=W.device)
        return torch.linalg.inv(eye - self.a.to(W.dtype)[:, None, None] * W)


def _attend_series(
    series: tuple[Pattern, Tensor, Tensor],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    normalized: bool,
    chebyshev: bool,
) -> Sums | None:
    """Sums of attention by the compiled series; None for weights per head or with a gradient."""
    pattern, weight, coefficients = series
    if weight.dim() == 2 or weight.requires_grad:
        return None
    weight, c, q, k, v = in_widest_type(weight, coefficients, q, k, v)
    columns = SeriesColumns(pattern, weight, chebyshev)
    return attend_columns(columns, q, k, v, normalized, c.expand(len(q), -1))


def in_widest_type(*tensors: Tensor) -> list[Tensor]:
    """Convert all tensors to the widest of their dtypes."""
    dtype = reduce(torch.promote_types, [x.dtype for x in tensors])
    return [x.to(dtype) for x in tensors]
