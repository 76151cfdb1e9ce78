"""Functions of the distance in a tree."""

from __future__ import annotations

from collections.abc import Callable

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

_COSTS = {
    ExponentialDistance: "N",
    PolynomialExponentialDistance: "K^2 N",
    TableDistance: "N log^2 N",
}


class TreeDistanceMask(TopologicalMask):
    r""":math:`M_{ij} = g(d_{ij})` for the distance d in each tree of a forest, 0 between trees.

    The graph must be a forest of undirected edges whose ``edge_weight`` are lengths;
    :class:`graphmask.transforms.MinimumSpanningTree` makes one of a graph with cycles.
    Differentiable in the parameters of g and, but for tables, in ``edge_weight``.

    Args:
        function: g, a :class:`~graphmask.masks.DistanceFunction` class, a partial of one, or an
            instance; exponential, polynomial times exponential, or a table. (default:
            :class:`~graphmask.masks.ExponentialDistance`)
        heads: H. (default: :obj:`1`)

    Raises:
        TypeError: for a function that is none of these.
        ValueError: for fewer than one head, and a function of other heads; on a topology: for
            cycles, self-loops, parallel edges (which are cycles), edges in one direction only,
            negative lengths or lengths that differ between both directions; for tables also for
            lengths that are no multiples of the unit, or require a gradient.

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
        if not isinstance(self.function, tuple(_COSTS)):
            names = ", ".join(cls.__name__ for cls in _COSTS)
            raise type_error("function", f"one of {names}", self.function)
        self.cost = next(cost for cls, cost in _COSTS.items() if isinstance(self.function, cls))

    def _operator(self, topology: Topology) -> MaskOperator:
        g = self.function
        if isinstance(g, ExponentialDistance):
            return TreeExponentialOperator(topology, g.slope, g.offset)
        if isinstance(g, PolynomialExponentialDistance):
            return TreePolynomialOperator(topology, g.slope, g.coefficients(), g.nonnegative)
        assert isinstance(g, TableDistance)
        check_differentiable("edge_weight", topology.edge_weight, g)
        return TreeTableOperator(topology, g.table(), g.unit, g.nonnegative)

    def __repr__(self) -> str:
        return f"TreeDistanceMask({self.function!r})"
