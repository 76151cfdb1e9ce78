"""Diffusion on the graph: the whole heat kernel, and the resolvent."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from graphmask._checks import check_number, value_error
from graphmask.kernels import Pattern
from graphmask.operators import (
    ChebyshevOperator,
    Entries,
    MaskOperator,
    PowerSeriesOperator,
    ProductOperator,
    ResolventOperator,
    SparseOperator,
)
from graphmask.operators.sparse import merge
from graphmask.topology import Normalization, Topology, check_normalization

from ._terms import (
    chebyshev_coefficients,
    count_chebyshev,
    count_neumann,
    count_taylor,
    neumann_coefficients,
    taylor_coefficients,
)
from .base import TopologicalMask

# A Chebyshev series, whose terms have both signs, is summed where it saves at least half of the
# products.
_SAVING = 2

# Distance at which two weights that stand for one edge are taken for equal, in units of rounding.
_ROUNDING = 8


class DiffusionMask(TopologicalMask):
    r"""The heat kernel :math:`M = e^{-t(I - W)}` or the resolvent :math:`M = (I - aW)^{-1}`, over all hops, to a tolerance.

    The heat kernel solves the diffusion equation :math:`\dot u = -(I - W) u` for a time t. Its
    scale t > 0, and the scale a of the resolvent, 0 < a < 1, are learned per head. Differentiable
    in both and in ``edge_weight``.

    A product with the heat kernel is off by at most ``tolerance`` times the column: in Euclidean
    norm where W is normalised ``"sym"``, in the largest number where ``"rw"``. Its series is that
    of Taylor, whose terms are as non-negative as the weights; where the graph is undirected and
    Chebyshev's series needs half as many products or fewer, as at large t, that one. With W as it
    is (``normalization=None``) the bound is that times :math:`e^{t(b - 1)}`, where b bounds the
    norm of W by the roots of its largest row and column sums.

    A product with the resolvent is off by at most :math:`\text{tolerance} / (1 - a)` times the
    column: on an undirected graph by conjugate gradients in float64, whose residuals are checked at
    the end; elsewhere by its Neumann series.

    The heat kernel of a signed graph may decay below the tolerance everywhere; attention, which
    divides by sums of M, then needs a smaller one.

    Numbers of terms follow from the scales and the tolerance, and are read from the parameters:
    ``torch.compile`` breaks its graph there, and an accelerator is waited for. Rounding is beside
    the tolerance.

    Args:
        heads: H. (default: :obj:`1`)
        kernel: ``"heat"`` or ``"resolvent"``. (default: :obj:`"heat"`)
        scale: the t or a to start from. (default: :obj:`None`, t = 1 and a = 0.5)
        tolerance: see above. (default: :obj:`1e-6`)
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
        self.kernel = _KERNELS[kernel](heads, scale, float(tolerance), self.normalization)

    @property
    def tolerance(self) -> float:
        """The distance that products keep."""
        return self.kernel.tolerance

    @property
    def scale(self) -> Tensor:
        """``[H]``, t or a."""
        return self.kernel.scale

    def _operator(self, topology: Topology) -> MaskOperator:
        return self.kernel(topology)

    def _patterns(self, topology: Topology) -> Iterable[Pattern]:
        if not topology.requires_grad:
            topology.adjacency(self.normalization)
        topology.derive(is_undirected)
        return (topology.pattern,)

    def __repr__(self) -> str:
        return f"DiffusionMask(heads={self.heads}, kernel={self.kernel.name!r}, tolerance={self.tolerance:g})"


class _Kernel(nn.Module, ABC):
    """A function of W with one scale per head, kept as a free number ``raw``."""

    name: str

    def __init__(self, heads: int, tolerance: float, normalization: Normalization) -> None:
        super().__init__()
        self.tolerance, self.normalization = tolerance, normalization
        self.raw = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    @property
    @abstractmethod
    def scale(self) -> Tensor:
        """``[H]``."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Reset the scales to where they start."""

    @abstractmethod
    def forward(self, topology: Topology) -> MaskOperator:
        """The operator."""

    def _is_symmetric(self, topology: Topology) -> bool:
        """Whether W is symmetric, of a spectral norm of at most 1."""
        return self.normalization == "sym" and _is_undirected_now(topology)

    def _series(self, topology: Topology, alpha: Tensor) -> MaskOperator:
        """A power series of non-negative coefficients."""
        pattern, weight = topology.adjacency(self.normalization)
        return PowerSeriesOperator(
            topology, pattern, weight, alpha.to(self.raw.dtype), topology.nonnegative
        )

    def _largest(self) -> float:
        """The largest scale."""
        high = float(self.scale.detach().max())
        if not math.isfinite(high):
            raise value_error("scale", "finite", high)
        return high


class _Heat(_Kernel):
    """``exp(-t (I - W))``, with the logarithm of t."""

    name = "heat"

    def __init__(
        self, heads: int, scale: float | None, tolerance: float, normalization: Normalization
    ) -> None:
        self.start = 1.0 if scale is None else check_number("scale", scale, -math.inf)
        if self.start <= 0:
            raise value_error("scale", "positive, as the time t of the heat kernel", scale)
        super().__init__(heads, tolerance, normalization)

    @property
    def scale(self) -> Tensor:
        return self.raw.exp()

    def reset_parameters(self) -> None:
        self.raw.data.fill_(self.start).log_()

    def forward(self, topology: Topology) -> MaskOperator:
        t = self._largest()
        order = count_taylor(t * self._norm(topology), self.tolerance)
        shorter = count_chebyshev(t, self.tolerance) if self._is_symmetric(topology) else order
        if _SAVING * shorter > order:
            return self._series(topology, taylor_coefficients(self.raw, order))
        return self._chebyshev(topology, shorter)

    def _chebyshev(self, topology: Topology, order: int) -> MaskOperator:
        """The shorter series. Nodes without edges are kept apart.

        It would give rounding for their e^-t.
        """
        pattern, weight = topology.adjacency("sym")
        alone = (
            weight.new_zeros(topology.num_nodes).index_add(0, pattern.row, weight.detach().abs())
            == 0
        )
        coefficients = chebyshev_coefficients(self.raw, order).to(self.raw.dtype)
        if not alone.any():
            return ChebyshevOperator(topology, pattern, weight, coefficients, topology.nonnegative)
        loops = Entries(pattern.identity, alone.to(weight.dtype).unsqueeze(0))
        looped, value = merge([Entries(pattern, weight.unsqueeze(0)), loops])
        series = ChebyshevOperator(topology, looped, value[0], coefficients, topology.nonnegative)
        decayed = torch.where(alone, (-self.scale).exp().unsqueeze(1), 1)
        return ProductOperator(
            SparseOperator(topology, pattern.identity, decayed, nonnegative=True), series
        )

    def _norm(self, topology: Topology) -> float:
        """A bound on the norm of W."""
        if self.normalization is not None or not topology.num_edges:
            return 1.0
        with torch.no_grad():
            pattern, weight = topology.adjacency(None)
            sums = [
                weight.new_zeros(topology.num_nodes).index_add(0, end, weight.abs())
                for end in (pattern.row, pattern.col)
            ]
        return math.sqrt(math.prod(float(each.max()) for each in sums))


class _Resolvent(_Kernel):
    """``(I - a W)^-1``, with the logit of a."""

    name = "resolvent"

    def __init__(
        self, heads: int, scale: float | None, tolerance: float, normalization: Normalization
    ) -> None:
        self.start = 0.5 if scale is None else check_number("scale", scale, -math.inf)
        if not 0 < self.start < 1:
            raise value_error(
                "scale", "between 0 and 1, as the a of the resolvent (I - a W)^-1", scale
            )
        if normalization is None:
            raise value_error(
                "normalization",
                "'sym' or 'rw' for the resolvent, or I - a W may have no inverse",
                normalization,
            )
        super().__init__(heads, tolerance, normalization)

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
            return ResolventOperator(
                topology, pattern, weight, self.scale, self.tolerance, topology.nonnegative
            )
        return self._series(
            topology, neumann_coefficients(self.scale, count_neumann(a, self.tolerance))
        )


_KERNELS = {each.name: each for each in (_Heat, _Resolvent)}


def is_undirected(topology: Topology) -> bool:
    """Whether the adjacency is symmetric, up to rounding of sums over parallel edges."""
    pattern, flipped = topology.pattern, topology.pattern.mT
    if not (torch.equal(pattern.rowptr, flipped.rowptr) and torch.equal(pattern.col, flipped.col)):
        return False
    with torch.no_grad():
        weight = topology.adjacency(None)[1]
    return torch.allclose(
        weight, weight[pattern.csc_perm], rtol=_ROUNDING * torch.finfo(weight.dtype).eps, atol=0
    )


def _is_undirected_now(topology: Topology) -> bool:
    """Looked up where it is kept; weights that are learned may change."""
    return is_undirected(topology) if topology.requires_grad else topology.derive(is_undirected)
