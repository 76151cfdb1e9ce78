"""Exact power series of the adjacency."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch_geometric.nn.dense.linear import Linear, is_uninitialized_parameter

from graphmask._checks import check_integer, value_error
from graphmask._deprecation import deprecated_arguments
from graphmask.operators import MaskOperator, PowerSeriesOperator
from graphmask.operators._powers import Powers, find_powers
from graphmask.operators.sparse import merge_patterns
from graphmask.topology import Normalization, Topology, check_normalization

from .base import Structure, TopologicalMask
from .coefficients import Coefficients, NonNegative, make_coefficients

_SOFTPLUS_IS_ONE = math.log(math.e - 1)


@deprecated_arguments(order="hops")
class PowerSeriesMask(TopologicalMask):
    r"""The adjacency-function mask :math:`M = \sum_{k=0}^{K} \alpha_k W^k`, exact.

    Differentiable in the coefficients and in ``edge_weight``.

    With ``edge_dim`` every head learns its own weights from the features :math:`z_e \in
    \mathbb{R}^D` of edges (``edge_attr``):

    .. math:: M_h = \sum_{k=0}^{K} \alpha_{hk} W_h^k, \qquad
              w_h(e) = w_e\, \mathrm{softplus}(a_h \cdot z_e + b_h)

    :math:`W_h` is the adjacency with these weights in place of ``edge_weight`` :math:`w_e`,
    parallel edges summed, and normalised as W is. It starts as W, with a = 0. Gradients are exact
    and reach ``edge_attr``.

    Args:
        hops: K. (default: :obj:`4`)
        heads: H. (default: :obj:`1`)
        alpha: coefficients, see :mod:`graphmask.masks.coefficients`. With signed coefficients
            (:class:`~graphmask.masks.Free`) attention needs small graphs or small balls: its
            normaliser sums absolute values, which are unknown otherwise. (default:
            :class:`~graphmask.masks.NonNegative`)
        normalization: of W: ``"sym"``, ``"rw"`` or :obj:`None`. (default: :obj:`"sym"`)
        edge_dim: D, of the features of edges; -1 reads it from the first ones. (default:
            :obj:`None`, features are not read)

    Raises:
        ValueError: for an unknown normalisation, negative hops or fewer than one head; with
            ``edge_dim``, for a topology without ``edge_attr`` or with another number of features.

    Cost: O(K E) per product column by Horner's rule, O(N) memory. On graphs of 512 nodes and more
    whose balls of K hops hold up to 160 nodes on average (1120 / (K + 1) from 7 hops on), attention
    runs over the p pairs within balls, in O(p (m + d)), whatever the sign of coefficients; they and
    the powers of W, p (K + 1) numbers, are found once per graph. Elsewhere, and for weights with a
    gradient, it runs lifted, in O(K E m d). With ``edge_dim`` also O(E D H), and training stores
    the products of all K powers.

    Source: Reid et al. (ICLR 2025), eq. 4.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> kernel = gm.masks.RegularizedLaplacian
        >>> gm.masks.PowerSeriesMask(hops=2, alpha=kernel, normalization="rw")(path).to_dense()
        tensor([[[0.5625, 0.2500, 0.0625],
                 [0.1250, 0.6250, 0.1250],
                 [0.0625, 0.2500, 0.5625]]], grad_fn=<ViewBackward0>)
        >>> bonds = gm.Topology(path.edge_index, num_nodes=3, edge_attr=torch.rand(4, 5))
        >>> gm.masks.PowerSeriesMask(hops=2, heads=4, edge_dim=5)(bonds).shape
        torch.Size([4, 3, 3])
    """

    cost = "K E"

    def __init__(
        self,
        hops: int = 4,
        heads: int = 1,
        alpha: Callable[[int, int], Coefficients] = NonNegative,
        normalization: Normalization = "sym",
        edge_dim: int | None = None,
    ) -> None:
        super().__init__(heads)
        self.alpha = make_coefficients(alpha, check_integer("hops", hops, 0), heads)
        self.normalization = check_normalization(normalization)
        self.edge_weights = None if edge_dim is None else EdgeWeights(edge_dim, heads)

    @property
    def hops(self) -> int:
        """K."""
        return self.alpha.hops

    @property
    def reach(self) -> int | None:
        return self.hops

    def _operator(self, topology: Topology) -> MaskOperator:
        learned = None if self.edge_weights is None else self.edge_weights(topology)
        pattern, weight = topology.adjacency(self.normalization, learned)
        nonnegative = self.alpha.nonnegative and topology.nonnegative
        powers = None if learned is not None else self._powers(topology)
        return PowerSeriesOperator(topology, pattern, weight, self.alpha(), nonnegative, powers)

    def _powers(self, topology: Topology) -> Powers | None:
        return find_powers(topology, self.normalization, self.hops)

    def _structure(self, topology: Topology) -> Structure:
        if self.edge_weights is not None or not topology.requires_grad:
            topology.adjacency(self.normalization)  # caches the weights, and how edges are summed
        pattern = topology.pattern
        if self.hops > 1:
            powers = None if self.edge_weights is not None else self._powers(topology)
            return Structure([pattern], powers and powers.pattern)
        terms = [pattern, pattern.identity] if self.hops else [pattern.identity]
        return Structure([pattern], merge_patterns(terms))

    def __repr__(self) -> str:
        alpha, edges = type(self.alpha).__name__, self.edge_weights
        edge_dim = "" if edges is None else f", edge_dim={edges.linear.in_channels}"
        return f"PowerSeriesMask(hops={self.hops}, heads={self.heads}, alpha={alpha}{edge_dim})"


class EdgeWeights(nn.Module):
    r"""Edge weights :math:`w_h(e) = w_e\, \mathrm{softplus}(a_h \cdot z_e + b_h)` from features.

    They start at the weights w of the graph: :math:`a = 0`, and softplus of b is 1.

    Args:
        edge_dim: D, or -1 to read it from the first features.
        heads: H.
    """

    def __init__(self, edge_dim: int, heads: int) -> None:
        super().__init__()
        if edge_dim != -1:
            check_integer("edge_dim", edge_dim, 1)
        self.linear = _LinearFromZero(edge_dim, heads)

    def forward(self, topology: Topology) -> Tensor:
        """``[H, E]``.

        Raises:
            ValueError: if the topology has no features, or not D of them.
        """
        z, dim = topology.edge_attr, self.linear.in_channels
        expected = "of shape [E, D]"
        if dim != -1:
            expected += f" with D = {dim} (edge_dim of the mask)"
        if z is None:
            raise value_error("edge_attr", f"given, {expected}: the mask weighs edges by it", None)
        z = z.unsqueeze(-1) if z.dim() == 1 else z
        if dim != -1 and z.shape[1] != dim:
            raise value_error("edge_attr", expected, z)
        weight = softplus(self.linear(z.to(self.linear.bias.dtype))).mT
        return weight if topology.edge_weight is None else weight * topology.edge_weight

    def reset_parameters(self) -> None:
        """Reset to the weights of the graph."""
        self.linear.reset_parameters()


class _LinearFromZero(Linear):
    """PyG's linear map, with lazy input size, that starts at zero and the bias of weight one."""

    @torch.no_grad()
    def reset_parameters(self) -> None:
        if not is_uninitialized_parameter(self.weight):
            self.weight.zero_()
        self.bias.fill_(_SOFTPLUS_IS_ONE)
