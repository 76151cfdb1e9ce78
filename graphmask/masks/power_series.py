"""Exact power series of the adjacency."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from graphmask._checks import check_integer
from graphmask.kernels import Pattern
from graphmask.operators import MaskOperator, PowerSeriesOperator
from graphmask.operators.sparse import merge_patterns
from graphmask.topology import Normalization, Topology, check_normalization

from ._edge_weights import EdgeWeights
from .base import TopologicalMask
from .coefficients import Coefficients, NonNegative, make_coefficients


class PowerSeriesMask(TopologicalMask):
    r"""The adjacency-function mask :math:`M = \sum_{k=0}^{K} \alpha_k W^k`, exact.

    Differentiable in the coefficients and in ``edge_weight``.

    With ``edge_dim`` edges have features :math:`z_e \in \mathbb{R}^D` (``edge_attr``), from which
    every head learns its own weights:

    .. math:: M_h = \sum_{k=0}^{K} \alpha_{hk} W_h^k, \qquad
              w_h(e) = w_e\, \mathrm{softplus}(a_h \cdot z_e + b_h)

    :math:`W_h` is the adjacency with these weights in the place of ``edge_weight`` :math:`w_e`,
    parallel edges summed, and normalised as W is. It starts as W, with a = 0. Gradients are exact
    and reach ``edge_attr``, too.

    Args:
        order: K. (default: :obj:`4`)
        heads: H. (default: :obj:`1`)
        alpha: coefficients, see :mod:`graphmask.masks.coefficients`. With signed coefficients
            (:class:`~graphmask.masks.Free`) attention needs blocks of small graphs, since the
            absolute values that its normaliser sums are not known otherwise. (default:
            :class:`~graphmask.masks.NonNegative`)
        normalization: of W: ``"sym"``, ``"rw"`` or :obj:`None`. (default: :obj:`"sym"`)
        edge_dim: D, of the features of edges; -1 reads it from the first ones. (default:
            :obj:`None`, features are not read)

    Raises:
        ValueError: for an unknown normalisation, a negative order or fewer than one head; with
            ``edge_dim``, for a topology without ``edge_attr`` or with another number of features.

    Cost: O(K E) per product column by Horner's rule, O(N) memory; attention runs lifted, in O(K E m
    d). With ``edge_dim`` also O(E D H), and training keeps the products of all K powers.

    Source: Reid et al. (ICLR 2025), eq. 4.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> mask = gm.masks.PowerSeriesMask(order=2, alpha=gm.masks.RegularizedLaplacian, normalization="rw")
        >>> mask(path).to_dense()
        tensor([[[0.5625, 0.2500, 0.0625],
                 [0.1250, 0.6250, 0.1250],
                 [0.0625, 0.2500, 0.5625]]], grad_fn=<ViewBackward0>)
        >>> bonds = gm.Topology(path.edge_index, num_nodes=3, edge_attr=torch.rand(4, 5))
        >>> gm.masks.PowerSeriesMask(order=2, heads=4, edge_dim=5)(bonds).shape
        torch.Size([4, 3, 3])
    """

    cost = "K E"

    def __init__(
        self,
        order: int = 4,
        heads: int = 1,
        alpha: Callable[[int, int], Coefficients] = NonNegative,
        normalization: Normalization = "sym",
        edge_dim: int | None = None,
    ) -> None:
        super().__init__(heads)
        self.alpha = make_coefficients(alpha, check_integer("order", order, 0), heads)
        self.normalization = check_normalization(normalization)
        self.edge_weights = None if edge_dim is None else EdgeWeights(edge_dim, heads)

    def _operator(self, topology: Topology) -> MaskOperator:
        learned = None if self.edge_weights is None else self.edge_weights(topology)
        pattern, weight = topology.adjacency(self.normalization, learned)
        nonnegative = self.alpha.nonnegative and topology.nonnegative
        return PowerSeriesOperator(topology, pattern, weight, self.alpha(), nonnegative)

    def _patterns(self, topology: Topology) -> Iterable[Pattern]:
        if self.edge_weights is not None or not topology.requires_grad:
            topology.adjacency(
                self.normalization
            )  # kept, where no gradient flows through it, and so is how edges are summed
        support = self._support(topology)
        return (topology.pattern,) if support is None else (topology.pattern, support)

    def _support(self, topology: Topology) -> Pattern | None:
        if self.alpha.hops > 1:
            return None
        pattern = topology.pattern
        return merge_patterns([pattern, pattern.identity]) if self.alpha.hops else pattern.identity

    def __repr__(self) -> str:
        edges = (
            ""
            if self.edge_weights is None
            else f", edge_dim={self.edge_weights.linear.in_channels}"
        )
        return f"PowerSeriesMask(order={self.alpha.hops}, heads={self.heads}, alpha={type(self.alpha).__name__}{edges})"
