"""Diffusion on the graph over all hops: the heat kernel, and the resolvent."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from graphmask._checks import check_number, value_error
from graphmask._precision import to_double
from graphmask.operators import (
    ChebyshevOperator,
    Entries,
    MaskOperator,
    PowerSeriesOperator,
    ProductOperator,
    ResolventOperator,
    SparseOperator,
)
from graphmask.operators._powers import find_powers
from graphmask.operators.sparse import merge
from graphmask.topology import Normalization, Topology, check_normalization

from ._series import chebyshev_coefficients, exponents, poisson
from ._truncation import count_chebyshev, count_neumann, count_taylor
from .base import Structure, TopologicalMask

# The Chebyshev series, whose terms have both signs, is used where it needs at most one over this
# many of Taylor's products.
_SAVING = 2

# Weights of both directions of an edge may differ by this many units of rounding.
_ROUNDING = 8


class DiffusionMask(TopologicalMask):
    r"""The heat kernel :math:`M = e^{-t(I - W)}` or the resolvent :math:`M = (I - aW)^{-1}`.

    The heat kernel solves the diffusion equation :math:`\dot u = -(I - W) u` for a time t. Its
    scale t > 0, and the scale a of the resolvent, 0 < a < 1, are learned per head. Differentiable
    in both and in ``edge_weight``.

    A product with the heat kernel is off by at most ``tolerance`` times the column: in Euclidean
    norm where W is normalised ``"sym"``, in the largest entry where ``"rw"``. Its series is
    Taylor's, whose terms are as non-negative as the weights; on undirected graphs Chebyshev's where
    that needs half as many products or fewer, as at large t. With ``normalization=None`` the bound
    is that times :math:`e^{t(b - 1)}`, where b bounds the norm of W by the roots of its largest row
    and column sums.

    A product with the resolvent is off by at most :math:`\text{tolerance} / (1 - a)` times the
    column: on undirected graphs by conjugate gradients in float64, whose residuals are checked at
    the end, or in attention on CPUs by its Chebyshev series; elsewhere by its Neumann series.

    The heat kernel of a signed graph may decay below the tolerance everywhere; attention, which
    divides by sums of M, then needs a smaller one.

    Numbers of terms are computed from the values of the scales: ``torch.compile`` breaks its graph
    there, and an accelerator synchronises. The tolerance does not count rounding.

    Args:
        heads: H. (default: :obj:`1`)
        kernel: ``"heat"`` or ``"resolvent"``. (default: :obj:`"heat"`)
        scale: initial t or a. (default: :obj:`None`, t = 1 and a = 0.5)
        tolerance: relative error of a product, see above. (default: :obj:`1e-6`)
        normalization: of W: ``"sym"``, ``"rw"``, or :obj:`None`, which only the heat kernel takes.
            (default: :obj:`"sym"`)

    Raises:
        ValueError: for an unknown kernel or normalisation, a scale outside of its range, a
            tolerance outside of (0, 1), and at a product for which conjugate gradients do not reach
            the tolerance.

    Cost: O(E) per term and product column, O(N) memory. The heat kernel takes about
    :math:`t + \sqrt{2 t \ln(1/\text{tolerance})}` terms, or :math:`\sqrt{2 t
    \ln(2/\text{tolerance})}` of Chebyshev's; the resolvent :math:`\ln(2/\text{tolerance}) /
    \sqrt{2(1 - a)}` iterations, or :math:`\ln(1/\text{tolerance}) / (1 - a)` terms.

    Source: Kondor and Lafferty, "Diffusion Kernels on Graphs" (ICML 2002); Choromanski et al. (ICML
    2022); for the resolvent, Lahoti et al., "Chimera" (TMLR 2025).

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> L = torch.eye(3) - path.pattern.to_dense(path.adjacency()[1])
        >>> heat = gm.masks.DiffusionMask(scale=2.0)(path)
        >>> bool(torch.allclose(heat @ torch.eye(3), torch.matrix_exp(-2 * L), atol=1e-5))
        True
    """

    cost = "E terms"

    def __init__(
        self,
        heads: int = 1,
        kernel: Literal["heat", "resolvent"] = "heat",
        scale: float | None = None,
        tolerance: float = 1e-6,
        normalization: Normalization = "sym",
    ) -> None:
        super().__init__(heads)
        if not isinstance(kernel, str) or kernel not in _KERNELS:
            raise value_error("kernel", "'heat' or 'resolvent'", kernel)
        if not 0 < check_number("tolerance", tolerance, -math.inf) < 1:
            raise value_error("tolerance", "between 0 and 1", tolerance)
        self.normalization = check_normalization(normalization)
        if normalization is None and kernel == "resolvent":
            expected = "'sym' or 'rw' for the resolvent, or I - a W may have no inverse"
            raise value_error("normalization", expected, normalization)
        self.kernel = _KERNELS[kernel](heads, scale, float(tolerance), self.normalization)

    @property
    def tolerance(self) -> float:
        """The relative error of a product."""
        return self.kernel.tolerance

    @property
    def scale(self) -> Tensor:
        """``[H]``, t or a."""
        return self.kernel.scale

    def _operator(self, topology: Topology) -> MaskOperator:
        return self.kernel(topology)

    def _structure(self, topology: Topology) -> Structure:
        if not topology.requires_grad:
            topology.adjacency(self.normalization)
        topology.derive(is_undirected)
        return Structure([topology.pattern])

    def __repr__(self) -> str:
        kernel = f"kernel={self.kernel.name!r}, tolerance={self.tolerance:g}"
        return f"DiffusionMask(heads={self.heads}, {kernel})"


class _Kernel(nn.Module, ABC):
    """A function of W with one scale per head, stored as a free number ``raw``."""

    name: str
    default_scale: float
    largest_scale: float
    expected_scale: str

    def __init__(
        self, heads: int, scale: float | None, tolerance: float, normalization: Normalization
    ) -> None:
        super().__init__()
        start = self.default_scale if scale is None else scale
        self.start = check_number("scale", start, -math.inf)
        if not 0 < self.start < self.largest_scale:
            raise value_error("scale", self.expected_scale, scale)
        self.tolerance, self.normalization = tolerance, normalization
        self.raw = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    @property
    @abstractmethod
    def scale(self) -> Tensor:
        """``[H]``."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Reset to the initial scale."""

    @abstractmethod
    def forward(self, topology: Topology) -> MaskOperator:
        """Return the operator."""

    def _is_symmetric(self, topology: Topology) -> bool:
        """Return whether W is symmetric, of a spectral norm of at most 1."""
        if self.normalization != "sym":
            return False
        # Weights that are learned may change.
        learned = topology.requires_grad
        return is_undirected(topology) if learned else topology.derive(is_undirected)

    def _series(self, topology: Topology, alpha: Tensor) -> MaskOperator:
        """A power series of non-negative coefficients."""
        pattern, weight = topology.adjacency(self.normalization)
        alpha = alpha.to(self.raw.dtype)
        powers = find_powers(topology, self.normalization, alpha.shape[1] - 1)
        return PowerSeriesOperator(topology, pattern, weight, alpha, topology.nonnegative, powers)

    def _largest(self) -> float:
        """The largest scale of all heads."""
        largest = float(self.scale.detach().max())
        if not math.isfinite(largest):
            raise value_error("scale", "finite", largest)
        return largest


class _Heat(_Kernel):
    """``exp(-t (I - W))``, with the logarithm of t."""

    name, default_scale, largest_scale = "heat", 1.0, math.inf
    expected_scale = "positive, as the time t of the heat kernel"

    @property
    def scale(self) -> Tensor:
        return self.raw.exp()

    def reset_parameters(self) -> None:
        self.raw.data.fill_(self.start).log_()

    def forward(self, topology: Topology) -> MaskOperator:
        t = self._largest()
        taylor = count_taylor(t * self._norm(topology), self.tolerance)
        if self._is_symmetric(topology):
            chebyshev = count_chebyshev(t, self.tolerance)
            if _SAVING * chebyshev <= taylor:
                return self._chebyshev(topology, chebyshev)
        return self._series(topology, poisson(to_double(self.raw), taylor))

    def _chebyshev(self, topology: Topology, order: int) -> MaskOperator:
        """The Chebyshev series, which would return rounding for the e^-t of nodes without edges."""
        pattern, weight = topology.adjacency("sym")
        zeros = weight.new_zeros(topology.num_nodes)
        isolated = zeros.index_add(0, pattern.row, weight.detach().abs()) == 0
        coefficients = chebyshev_coefficients(self.raw, order).to(self.raw.dtype)
        if not isolated.any():
            return ChebyshevOperator(topology, pattern, weight, coefficients, topology.nonnegative)
        # With a loop of weight 1 the series is 1 there; a diagonal factor then gives e^-t.
        loops = Entries(pattern.identity, isolated.to(weight.dtype).unsqueeze(0))
        looped, value = merge([Entries(pattern, weight.unsqueeze(0)), loops])
        series = ChebyshevOperator(topology, looped, value[0], coefficients, topology.nonnegative)
        decay = torch.where(isolated, (-self.scale).exp().unsqueeze(1), 1)
        diagonal = SparseOperator(topology, pattern.identity, decay, nonnegative=True)
        return ProductOperator(diagonal, series)

    def _norm(self, topology: Topology) -> float:
        """A bound on the norm of W."""
        if self.normalization is not None or not topology.num_edges:
            return 1.0
        with torch.no_grad():
            pattern, weight = topology.adjacency(None)
            zeros, weight = weight.new_zeros(topology.num_nodes), weight.abs()
            sums = [zeros.index_add(0, index, weight) for index in (pattern.row, pattern.col)]
        return math.sqrt(math.prod(float(total.max()) for total in sums))


class _Resolvent(_Kernel):
    """``(I - a W)^-1``, with the logit of a."""

    name, default_scale, largest_scale = "resolvent", 0.5, 1.0
    expected_scale = "between 0 and 1, as the a of the resolvent (I - a W)^-1"

    @property
    def scale(self) -> Tensor:
        return self.raw.sigmoid()

    def reset_parameters(self) -> None:
        self.raw.data.fill_(self.start).logit_()

    def forward(self, topology: Topology) -> MaskOperator:
        a = self._largest()
        if a >= 1:
            raise value_error("scale", "below 1, or I - a W may have no inverse", a)
        if self._is_symmetric(topology):
            pattern, weight = topology.adjacency("sym")
            options = self.scale, self.tolerance, topology.nonnegative
            return ResolventOperator(topology, pattern, weight, *options)
        order = count_neumann(a, self.tolerance)
        return self._series(topology, self.scale.unsqueeze(1) ** exponents(self.scale, order))


_KERNELS = {kernel.name: kernel for kernel in (_Heat, _Resolvent)}


def is_undirected(topology: Topology) -> bool:
    """Return whether the adjacency is symmetric, up to rounding of sums over parallel edges."""
    pattern, flipped = topology.pattern, topology.pattern.mT
    if not (torch.equal(pattern.rowptr, flipped.rowptr) and torch.equal(pattern.col, flipped.col)):
        return False
    with torch.no_grad():
        weight = topology.adjacency(None)[1]
    tolerance = _ROUNDING * torch.finfo(weight.dtype).eps
    return torch.allclose(weight, weight[pattern.csc_perm], rtol=tolerance, atol=0)
