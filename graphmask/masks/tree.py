"""Functions of the distance in a tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from graphmask._checks import type_error
from graphmask.operators import (
    MaskOperator,
    TreeExponentialOperator,
    TreePolynomialOperator,
    TreeTableOperator,
)
from graphmask.topology import Topology

from .base import TopologicalMask
from .distances import (
    DistanceFunction,
    ExponentialDistance,
    PolynomialExponentialDistance,
    TableDistance,
    check_differentiable,
    make_distance_function,
)


class TreeDistanceMask(TopologicalMask):
    r""":math:`M_{ij} = g(d_{ij})` for the distance d within each tree of a weighted forest, 0 between trees.

    The graph must be a forest of undirected edges whose ``edge_weight`` are lengths; graphs with
    cycles are turned into one by :class:`graphmask.transforms.MinimumSpanningTree`. Differentiable
    in the parameters of g and, but for tables, in ``edge_weight``.

    Args:
        function: g: a :class:`~graphmask.masks.DistanceFunction` class, a partial of one, or one
            that is made already; exponential, polynomial times exponential, or a table. (default:
            :class:`~graphmask.masks.ExponentialDistance`)
        heads: H. (default: :obj:`1`)

    Raises:
        TypeError: for a function that is none of these.
        ValueError: for fewer than one head, and a function of other heads; on a topology: for
            cycles, self-loops, parallel edges (which are cycles), edges in one direction only,
            negative lengths or lengths that differ between both directions; for tables also where
            lengths are no multiples of the unit, or want a gradient.

    Cost: per product column O(N) for an exponential, O(K^2 N) for a polynomial of degree K times an
    exponential, O(N log^2 N) for a table; any depth of the trees.

    Source: Choromanski et al., "From block-Toeplitz matrices to differential equations on graphs"
    (ICML 2022); Choromanski et al., "Fast Tree-Field Integrators" (NeurIPS 2024).

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> gm.masks.TreeDistanceMask()(path).to_dense()
        tensor([[[1.0000, 0.3679, 0.1353],
                 [0.3679, 1.0000, 0.3679],
                 [0.1353, 0.3679, 1.0000]]], grad_fn=<MulBackward0>)
    """

    def __init__(
        self,
        function: Callable[..., DistanceFunction] | DistanceFunction = ExponentialDistance,
        heads: int = 1,
    ) -> None:
        super().__init__(heads)
        self.function = make_distance_function(function, heads)
        self._way = _way_of(self.function)
        self.cost = self._way.cost

    def _operator(self, topology: Topology) -> MaskOperator:
        return self._way.operator(topology, self.function)

    def prepare(self, topology: Topology) -> Topology:
        """The topology with its trees, and what the function needs of them."""
        self._operator(topology)
        return super().prepare(topology)

    def __repr__(self) -> str:
        return f"TreeDistanceMask({self.function!r})"


class _Way(NamedTuple):
    """How a mask is multiplied that is a function of some kind."""

    cost: str
    operator: Callable[[Topology, Any], MaskOperator]


def _exponential(topology: Topology, g: ExponentialDistance) -> MaskOperator:
    return TreeExponentialOperator(topology, g.slope, g.offset)


def _polynomial(topology: Topology, g: PolynomialExponentialDistance) -> MaskOperator:
    return TreePolynomialOperator(topology, g.slope, g.coefficients(), g.nonnegative)


def _table(topology: Topology, g: TableDistance) -> MaskOperator:
    check_differentiable("edge_weight", topology.edge_weight, g)
    return TreeTableOperator(topology, g.table(), g.unit, g.nonnegative)


_WAYS = {
    ExponentialDistance: _Way("N", _exponential),
    PolynomialExponentialDistance: _Way("K^2 N", _polynomial),
    TableDistance: _Way("N log^2 N", _table),
}


def _way_of(function: DistanceFunction) -> _Way:
    for kind, way in _WAYS.items():
        if isinstance(function, kind):
            return way
    raise type_error("function", f"one of {', '.join(kind.__name__ for kind in _WAYS)}", function)
