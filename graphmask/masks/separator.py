"""A function of the shortest-path distance on meshes."""

from __future__ import annotations

from collections.abc import Callable

from graphmask._checks import check_integer, check_number, value_error
from graphmask.operators import MaskOperator, SeparatorOperator
from graphmask.topology import Topology

from .base import TopologicalMask
from .distances import DistanceFunction, ExponentialDistance, make_distance_function


class SeparatorMask(TopologicalMask):
    r"""A function :math:`M_{ij} = g_h(\tilde d(i, j))` of distances along undirected edges.

    ``topology.edge_weight`` holds the lengths of edges, each of both directions; without weights
    edges have length 1. Of parallel edges the shortest counts, and nodes that no path joins have
    the entry 0.

    Each component is split by a small separator, a level of a breadth-first search, its two sides
    again, and so on down to ``leaf_size`` nodes. Distances within a leaf, and those within a
    separator, are exact. Across a split, nodes of one side with similar distances to its boundary
    share a seed, and :math:`\tilde d(i, j) = d(c_i, c_j)` is the exact distance of their seeds;
    nodes of the separator are their own seeds. Nodes i may share the seed c if, for all z of the
    boundary :math:`\partial` that separates their side from the rest,

    .. math::
        |d(i, z) - d(c, z)| \le \epsilon\, d(i, \partial) + \rho

    with the tolerance :math:`\epsilon` and the resolution :math:`\rho`. As each path to j passes
    the boundary, that bounds :math:`|d(i, j) - d(c, j)|` too, and as it passes both boundaries,
    :math:`d(i, \partial) + d(j, \partial') \le d(i, j)`. So

    .. math::
        |\tilde d(i, j) - d(i, j)| \le \epsilon\, d(i, j) + 2 \rho

    for every pair, and the mask errs by no more than that times the Lipschitz constant of g. The
    operator's ``error_bound`` is the largest error that the seeds allow on the actual distances.
    With :math:`\epsilon = \rho = 0` all distances are exact, and stored.

    Args:
        function: g, see :mod:`graphmask.masks.distances`. (default:
            :class:`~graphmask.masks.ExponentialDistance`)
        heads: H. (default: :obj:`1`)
        tolerance: the largest relative error of a distance, below 1. (default: :obj:`0.25`)
        resolution: half of the absolute error that any distance may have besides, in units of
            length. (default: :obj:`0.0`)
        leaf_size: components of so many nodes are not split. (default: :obj:`128`)
        max_entries: distances that may be stored, and computed at a time. Graphs without small
            separators, such as random ones, store as many as they have pairs of nodes; more
            than this raise an error. (default: 134,217,728)

    Raises:
        ValueError: for an argument out of range, and, given a topology, for directed edges,
            negative lengths, lengths that require a gradient, and more distances than
            ``max_entries``.

    Cost: about O(N log N / tolerance^2) numbers and multiply-adds per column on meshes. Set-up,
    once per topology, runs Dijkstra's algorithm from the nodes of all separators, O(N^1.5 log N) on
    meshes; components of up to 64 nodes take 64 N at most. Nodes that are joined to several hubs,
    at lengths of their own, share no seeds: they store O(N^2) distances, or raise an error.

    Source: after the separator factorisation of Choromanski et al., "Efficient Graph Field
    Integrators Meet Point Clouds" (ICML 2023); the cells and their bounds are this library's.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> gm.masks.SeparatorMask()(path).to_dense()
        tensor([[[1.0000, 0.3679, 0.1353],
                 [0.3679, 1.0000, 0.3679],
                 [0.1353, 0.3679, 1.0000]]], grad_fn=<MaskedFillBackward0>)
    """

    cost = "N log N"
    # Among separators and seeds that serve equally well, the first nodes are chosen.
    ordered = True

    def __init__(
        self,
        function: Callable[..., DistanceFunction] | DistanceFunction = ExponentialDistance,
        heads: int = 1,
        tolerance: float = 0.25,
        resolution: float = 0.0,
        leaf_size: int = 128,
        max_entries: int = 2**27,
    ) -> None:
        super().__init__(heads)
        self.function = make_distance_function(function, heads)
        self.tolerance = check_number("tolerance", tolerance, 0, 1)
        self.resolution = check_number("resolution", resolution, 0)
        self.leaf_size = check_integer("leaf_size", leaf_size, 1)
        self.max_entries = check_integer("max_entries", max_entries, 1)

    def _operator(self, topology: Topology) -> MaskOperator:
        if topology.requires_grad:
            expected = "without a gradient: lengths of edges are not learned"
            raise value_error("edge_weight", expected, topology.edge_weight)
        limits = self.tolerance, self.resolution, self.leaf_size, self.max_entries
        return SeparatorOperator(topology, self.function, self.function.nonnegative, *limits)

    def __repr__(self) -> str:
        return f"SeparatorMask({self.function!r}, heads={self.heads}, tolerance={self.tolerance})"
