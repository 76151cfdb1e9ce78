"""Learnable functions g of a distance, one row per head.

They are exponential, polynomial times exponential, or a table.

Masks take the class itself, or a ``functools.partial`` of it:
``TreeDistanceMask(partial(TableDistance, 8), heads=4)``; or an instance of the mask's heads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from graphmask._checks import check_integer, check_open, describe, type_error, value_error
from graphmask._distances import multiples
from graphmask.config import ConfigMixin

from .coefficients import Coefficients, NonNegative, make_coefficients


class DistanceFunction(ConfigMixin, nn.Module, ABC):
    """A learnable function g of a distance that is at least 0, one per head: ``M_ij = g(d_ij)``.

    A subclass implements ``_values``; infinite distances, between nodes that no path joins, map to
    0 for all of them.

    Args:
        heads: H.

    Attributes:
        nonnegative: whether no value can be negative, whatever is learned.
        differentiable: whether g is differentiable in the distance.
    """

    nonnegative: bool = True
    differentiable: bool = True

    def __init__(self, heads: int = 1) -> None:
        super().__init__()
        self.heads = check_integer("heads", heads, 1)

    @abstractmethod
    def _values(self, distance: Tensor) -> Tensor:
        """``[...] -> [H, ...]`` for finite distances."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Reset to the initial function."""

    def forward(self, distance: Tensor) -> Tensor:
        """``[...] -> [H, ...]``; 0 at infinite distances.

        Raises:
            TypeError: if the distances are not a floating-point tensor.
            ValueError: if the distances require a gradient and g is not differentiable.
        """
        if not isinstance(distance, Tensor) or not distance.is_floating_point():
            raise type_error("distance", "a floating-point tensor", distance)
        check_differentiable("distance", distance, self)
        finite = distance.isfinite()
        return self._values(distance.masked_fill(~finite, 0)).masked_fill(~finite, 0)


class _DecayingDistance(DistanceFunction):
    """A function with a factor ``e^(-s d)``; s > 0 is the softplus of a free number per head."""

    def __init__(self, heads: int, slope: float) -> None:
        super().__init__(heads)
        self.start = check_open("slope", slope)
        self.raw_slope = nn.Parameter(torch.empty(heads))

    @property
    def slope(self) -> Tensor:
        """``[H]``."""
        return softplus(self.raw_slope)

    def reset_parameters(self) -> None:
        for child in self.children():
            child.reset_parameters()  # type: ignore[operator]
        self.raw_slope.data.fill_(self.start).expm1_().log_()


class ExponentialDistance(_DecayingDistance):
    r""":math:`g(d) = e^{b - s d}` with an offset b of any sign and a slope :math:`s > 0`.

    Both are learned per head. As the slope is positive, g decays and does not overflow.

    Args:
        heads: H. (default: :obj:`1`)
        slope: initial s; b starts at 0. (default: :obj:`1.0`)

    Raises:
        ValueError: for fewer than one head, and a slope that is not positive.

    Source: Choromanski et al., "From block-Toeplitz matrices to differential equations on graphs"
    (ICML 2022), masks of an affine function of the distance in a forest.

    Example:
        >>> import torch
        >>> from graphmask.masks import ExponentialDistance
        >>> ExponentialDistance()(torch.tensor([0.0, 1.0, torch.inf]))
        tensor([[1.0000, 0.3679, 0.0000]], grad_fn=<MaskedFillBackward0>)
    """

    def __init__(self, heads: int = 1, slope: float = 1.0) -> None:
        super().__init__(heads, slope)
        self.offset = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self.offset.data.zero_()

    def _values(self, distance: Tensor) -> Tensor:
        offset, slope = _per_head(self.offset, distance), _per_head(self.slope, distance)
        return torch.exp(offset - slope * distance)

    def __repr__(self) -> str:
        return f"ExponentialDistance(heads={self.heads})"


class PolynomialExponentialDistance(_DecayingDistance):
    r""":math:`g(d) = \big(\sum_{k=0}^{K} c_k d^k\big) e^{-s d}`, :math:`s > 0`, learned per head.

    Args:
        degree: K. (default: :obj:`2`)
        heads: H. (default: :obj:`1`)
        slope: initial s. (default: :obj:`1.0`)
        coefficients: c, see :mod:`graphmask.masks.coefficients`; :class:`~graphmask.masks.Free`
            ones make g signed. (default: :class:`~graphmask.masks.NonNegative`)

    Raises:
        ValueError: for a negative degree, fewer than one head, and a slope that is not positive.

    Source: Choromanski et al., "Fast Tree-Field Integrators" (NeurIPS 2024).

    Example:
        >>> import torch
        >>> from graphmask.masks import Free, PolynomialExponentialDistance
        >>> g = PolynomialExponentialDistance(degree=1, coefficients=Free)
        >>> g.coefficients.value.data.copy_(torch.tensor([[1.0, -2.0]]))
        tensor([[ 1., -2.]])
        >>> g(torch.tensor([0.0, 1.0]))
        tensor([[ 1.0000, -0.3679]], grad_fn=<MaskedFillBackward0>)
    """

    def __init__(
        self,
        degree: int = 2,
        heads: int = 1,
        slope: float = 1.0,
        coefficients: Callable[[int, int], Coefficients] = NonNegative,
    ) -> None:
        self.degree = check_integer("degree", degree, 0)
        super().__init__(heads, slope)
        self.coefficients = make_coefficients(coefficients, degree, heads)
        self.nonnegative = self.coefficients.nonnegative
        self.reset_parameters()

    def _values(self, distance: Tensor) -> Tensor:
        total = distance.new_zeros(self.heads, *distance.shape)
        for c in self.coefficients().unbind(1)[::-1]:
            total = total * distance + _per_head(c, distance)
        return total * torch.exp(-_per_head(self.slope, distance) * distance)

    def __repr__(self) -> str:
        sizes = f"degree={self.degree}, heads={self.heads}"
        coefficients = type(self.coefficients).__name__
        return f"PolynomialExponentialDistance({sizes}, coefficients={coefficients})"


class TableDistance(DistanceFunction):
    r"""Any function :math:`g(k u) = t_k` of distances that are multiples of a unit u.

    The table t is learned per head. From :math:`d = n u` on g is 0: the table is the reach of the
    mask.

    Args:
        size: n, values of the table, of the distances 0, u, ..., (n - 1) u.
        heads: H. (default: :obj:`1`)
        unit: u. (default: :obj:`1.0`)
        values: t, see :mod:`graphmask.masks.coefficients`; :class:`~graphmask.masks.Free` ones make
            g signed. (default: :class:`~graphmask.masks.NonNegative`)

    Raises:
        ValueError: for an empty table, fewer than one head, and a unit that is not positive; when
            called, for distances that are no multiples of the unit (up to 8 roundings of their
            dtype), and for distances that require a gradient.

    Source: Choromanski et al., "Fast Tree-Field Integrators" (NeurIPS 2024), for any function on a
    tree; Ying et al., "Do Transformers Really Perform Bad for Graph Representation?" (NeurIPS
    2021), for a learned number per hop distance.

    Example:
        >>> import torch
        >>> from graphmask.masks import TableDistance
        >>> TableDistance(size=2, unit=0.5)(torch.tensor([0.0, 0.5, 1.0]))
        tensor([[1.0000, 0.9900, 0.0000]], grad_fn=<MaskedFillBackward0>)
    """

    differentiable = False

    def __init__(
        self,
        size: int,
        heads: int = 1,
        unit: float = 1.0,
        values: Callable[[int, int], Coefficients] = NonNegative,
    ) -> None:
        super().__init__(heads)
        self.size, self.unit = check_integer("size", size, 1), check_open("unit", unit)
        self.values = make_coefficients(values, size - 1, heads)
        self.nonnegative = self.values.nonnegative

    def table(self) -> Tensor:
        """``[H, n]``."""
        return self.values()

    def reset_parameters(self) -> None:
        self.values.reset_parameters()

    def _values(self, distance: Tensor) -> Tensor:
        index = multiples(distance, self.unit, "distance")
        inside = index < self.size
        return self.table()[:, index * inside] * inside

    def __repr__(self) -> str:
        sizes = f"size={self.size}, heads={self.heads}, unit={self.unit}"
        return f"TableDistance({sizes}, values={type(self.values).__name__})"


def make_distance_function(
    make: Callable[..., DistanceFunction] | DistanceFunction, heads: int
) -> DistanceFunction:
    """A distance function of a mask's heads, from a class, a partial of one, or an instance."""
    is_instance = isinstance(make, nn.Module) or not callable(make)
    function = make if is_instance else make(heads=heads)
    if not isinstance(function, DistanceFunction):
        raise type_error("function", "a DistanceFunction, its class, or a partial of one", function)
    if function.heads != heads:
        raise value_error("function", f"of heads = {heads}, as the mask", f"{function!r}")
    return function


def check_differentiable(name: str, distance: Tensor | None, function: DistanceFunction) -> None:
    """Check that no gradient is required with respect to a distance where the function has none."""
    if distance is not None and distance.requires_grad and not function.differentiable:
        expected = f"without a gradient, since {function!r} has none"
        raise value_error(name, expected, f"{describe(distance)} that requires one")


def _per_head(value: Tensor, distance: Tensor) -> Tensor:
    """``[H]`` as ``[H, 1, ..., 1]``, against distances ``[...]``."""
    return value.reshape(-1, *[1] * distance.dim())
