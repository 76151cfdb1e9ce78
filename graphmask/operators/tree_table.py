"""Any function of the distance in a forest whose lengths are multiples of a unit."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad

from graphmask.topology import Topology

from ._centroids import decompose, steps_of
from ._tree_products import table_product
from ._trees import trees_of
from .base import MaskOperator, Sign
from .tree import in_widest_type


class TreeTableOperator(MaskOperator):
    r""":math:`M_{ij} = t[d_{ij} / u]` for the distance d within each tree of a forest, 0 between trees and past the table.

    By centroid decomposition: at each centroid, sums by distance are multiplied by a Hankel matrix,
    and pairs that do not pass the centroid are subtracted. Sums cancel there: an entry is exact up
    to the rounding of the largest sums of its row, in the type of x. Fourier transforms are taken
    in float64.

    Args:
        topology: a forest; ``edge_weight`` are lengths.
        table: ``[H, n]``, t.
        unit: u. (default: :obj:`1.0`)
        nonnegative: whether no value can be negative. (default: :obj:`False`)

    Raises:
        ValueError: where the graph is no forest of undirected edges, a length no multiple of the
            unit, or wants a gradient.

    Cost: O(N log^2 N) per head and column; the decomposition, once per topology, O(N log N).

    Source: Choromanski et al., "Fast Tree-Field Integrators" (NeurIPS 2024), by centroids in the
    place of balanced pivots.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> gm.operators.TreeTableOperator(path, torch.tensor([[1.0, 10.0, 100.0]])) @ torch.tensor([1.0, 2.0, 3.0])
        tensor([[321.,  42., 123.]])
    """

    def __init__(
        self, topology: Topology, table: Tensor, unit: float = 1.0, nonnegative: bool = False
    ) -> None:
        self.structure, self.table, self.unit = (
            topology.derive(decompose, unit, table.shape[1]),
            table,
            unit,
        )
        super().__init__(topology, len(table), Sign.of(nonnegative), self.structure.cost)

    def _matmul(self, x: Tensor) -> Tensor:
        table, x = in_widest_type(self.table, x)
        return table_product(self.structure, table, x.expand(self.heads, -1, -1))

    def _transpose(self) -> MaskOperator:
        return self

    def to_dense(self) -> Tensor:
        steps = self.topology.derive(steps_of, self.unit)
        distance = self.topology.derive(trees_of).distances(steps.double())
        return pad(self.table, (0, 1))[:, distance.clamp(max=self.table.shape[1]).long()]
