"""Functions of the distance in a weighted forest."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import comb

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from graphmask.kernels.forest import down_sweep, up_sweep
from graphmask.topology import Topology

from ._trees import BinaryTrees, binary_trees_of, trees_of
from .base import MaskOperator, Sign

# Bytes of the columns that both passes carry at once.
_COLUMN_MEMORY = 2**24

# Columns that are taken at once at least: a node's numbers should fill a line of the cache.
_COLUMNS = 16


class TreeExponentialOperator(MaskOperator):
    r""":math:`M_{ij} = e^{b - s\, d_{ij}}` for the distance d within each tree of a forest, 0 between trees.

    With :math:`r_c = e^{-s w_c}` for the edge above each node, ``Up`` (sums over subtrees, each
    edge multiplying by r) and its adjoint ``Down``, this is the factorisation

    .. math:: M = e^b\; \text{Down}\, \text{diag}(1 - r^2)\, \text{Up}, \qquad r = 0 \text{ at
    roots}

    of a Markov chain's covariance: nothing is subtracted, so that small entries are as exact as
    large ones.

    Args:
        topology: a forest; ``edge_weight`` are lengths.
        slope: ``[H]``, s, at least 0.
        offset: ``[H]``, b.

    Raises:
        ValueError: where the graph is no forest of undirected edges of non-negative length.

    Cost: O(N) per head and column, in two passes.

    Source: Choromanski et al. (ICML 2022), masks of an affine function of the distance in a forest.

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> operator = gm.operators.TreeExponentialOperator(edge, torch.tensor([2.0]).log(), torch.zeros(1))
        >>> operator @ torch.tensor([1.0, 2.0])
        tensor([[2.0000, 2.5000]])
    """

    def __init__(self, topology: Topology, slope: Tensor, offset: Tensor) -> None:
        self.trees, self.slope, self.offset = topology.derive(trees_of), slope, offset
        self.length = self.trees.lengths(topology)
        super().__init__(topology, len(slope), Sign.NONNEGATIVE, 4 * topology.num_nodes)

    def _matmul(self, x: Tensor) -> Tensor:
        slope, offset, length, x = in_widest_type(self.slope, self.offset, self.length, x)
        forest, exponent = self.trees.forest, slope.unsqueeze(1) * length
        root = forest.is_root
        factor = torch.exp(-exponent).masked_fill(root, 0)
        rest = -torch.expm1(-2 * exponent).masked_fill(root, -1)
        scale = (offset.exp().unsqueeze(1) * rest).unsqueeze(-1)

        def product(part: Tensor) -> Tensor:
            return down_sweep(forest, factor, scale * up_sweep(forest, factor, part))

        return _by_columns(product, x.expand(self.heads, -1, -1))

    def _transpose(self) -> MaskOperator:
        return self

    def to_dense(self) -> Tensor:
        slope, offset, length = in_widest_type(self.slope, self.offset, self.length)
        distance = self.trees.distances(length)
        joined = distance.isfinite()
        exponent = offset.reshape(-1, 1, 1) - slope.reshape(-1, 1, 1) * distance.masked_fill(
            ~joined, 0
        )
        return exponent.exp() * joined


class TreePolynomialOperator(MaskOperator):
    r""":math:`M_{ij} = \sum_k c_k\, d_{ij}^k\, e^{-s\, d_{ij}}` for the distance d within each tree, 0 between trees.

    Both passes carry the moments :math:`\sum_j d_{ij}^k e^{-s d_{ij}} x_j` of what lies below and
    above each node; along an edge of length w they mix by the binomial theorem. Nodes of many
    children are split first, by edges of length 0, into
    nodes of at most two: what comes to a child from its sibling is then added, where otherwise its
    own part would be subtracted.

    Args:
        topology: a forest; ``edge_weight`` are lengths.
        slope: ``[H]``, s, at least 0.
        coefficients: ``[H, K + 1]``, c.
        nonnegative: whether no coefficient can be negative. (default: :obj:`False`)

    Raises:
        ValueError: where the graph is no forest of undirected edges of non-negative length.

    Cost: O(K^2 N) per head and column.

    Source: Choromanski et al., "Fast Tree-Field Integrators" (NeurIPS 2024).

    Example:
        >>> import torch, graphmask as gm
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2, edge_weight=torch.tensor([3.0, 3.0]))
        >>> operator = gm.operators.TreePolynomialOperator(edge, torch.zeros(1), torch.tensor([[1.0, 2.0]]))
        >>> operator @ torch.tensor([1.0, 2.0])
        tensor([[15.,  9.]])
    """

    def __init__(
        self, topology: Topology, slope: Tensor, coefficients: Tensor, nonnegative: bool = False
    ) -> None:
        self.trees, self.slope, self.coefficients = topology.derive(trees_of), slope, coefficients
        self.length = self.trees.lengths(topology)
        cost = 8 * coefficients.shape[1] ** 2 * topology.num_nodes
        super().__init__(topology, len(slope), Sign.of(nonnegative), cost)

    def _matmul(self, x: Tensor) -> Tensor:
        slope, coefficients, length, x = in_widest_type(
            self.slope, self.coefficients, self.length, x
        )
        passes = _Passes(self.topology.derive(binary_trees_of), slope, length)
        return _by_columns(
            lambda part: passes.weighed_moments(part, coefficients), x.expand(self.heads, -1, -1)
        )

    def _transpose(self) -> MaskOperator:
        return self

    def to_dense(self) -> Tensor:
        slope, coefficients, length = in_widest_type(self.slope, self.coefficients, self.length)
        distance = self.trees.distances(length)
        joined = distance.isfinite()
        distance = distance.masked_fill(~joined, 0)
        powers = torch.stack([distance**k for k in range(coefficients.shape[1])])
        return (
            torch.einsum("hk,kij->hij", coefficients, powers)
            * torch.exp(-slope.reshape(-1, 1, 1) * distance)
            * joined
        )


class _Passes:
    """Moments of orders 0 to K on trees whose nodes have two children at most.

    ``[H, N, C]`` each.
    """

    def __init__(self, trees: BinaryTrees, slope: Tensor, length: Tensor) -> None:
        self.trees = trees
        self.length = torch.cat([length, length.new_zeros(len(trees.forest.parent) - len(length))])
        self.factor = torch.exp(-slope.unsqueeze(1) * self.length).masked_fill(
            trees.forest.is_root, 0
        )

    def weighed_moments(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """``sum_k c_k sum_j d_ij^k exp(-s d_ij) x_j`` for ``x [H, N, C]``."""
        nodes, orders = x.shape[1], coefficients.shape[1]
        x = torch.cat([x, x.new_zeros(len(x), len(self.length) - nodes, x.shape[2])], 1)
        below = self._up(x, orders)
        above = self._down(self._from_parents(x, below))
        moments = (low[:, :nodes] + high[:, :nodes] for low, high in zip(below, above, strict=True))
        return sum(
            c.reshape(-1, 1, 1) * moment
            for c, moment in zip(coefficients.unbind(1), moments, strict=True)
        )  # type: ignore[return-value]

    def _up(self, x: Tensor, orders: int) -> list[Tensor]:
        """Of what is at or below each node."""
        moments = [up_sweep(self.trees.forest, self.factor, x)]
        for k in range(1, orders):
            rising = self._mixed(moments, k, self.length) * self.factor.unsqueeze(-1)
            summed = torch.zeros_like(rising).index_add(1, self.trees.forest.parent, rising)
            moments.append(up_sweep(self.trees.forest, self.factor, summed))
        return moments

    def _from_parents(self, x: Tensor, below: list[Tensor]) -> list[Tensor]:
        """Of parents and siblings with all below, as seen from each node."""
        parent, sibling, alone = self.trees.forest.parent, self.trees.sibling, self.trees.alone
        there = [moment[:, sibling] for moment in below]
        nearer, factor = (
            self.length[sibling],
            self.factor[:, sibling].masked_fill(alone, 0).unsqueeze(-1),
        )
        seen = [factor * (self._mixed(there, k, nearer) + there[k]) for k in range(len(below))]
        seen[0] = seen[0] + x[:, parent]
        return [
            self.factor.unsqueeze(-1) * (self._mixed(seen, k, self.length) + seen[k])
            for k in range(len(seen))
        ]

    def _down(self, arriving: list[Tensor]) -> list[Tensor]:
        """Of all that is not below each node, from what arrives there first."""
        forest = self.trees.forest
        moments: list[Tensor] = []
        for k, fresh in enumerate(arriving):
            if k:
                falling = self._mixed(
                    [moment[:, forest.parent] for moment in moments], k, self.length
                )
                fresh = fresh + self.factor.unsqueeze(-1) * falling
            moments.append(down_sweep(forest, self.factor, fresh))
        return moments

    @staticmethod
    def _mixed(moments: list[Tensor], k: int, length: Tensor) -> Tensor:
        """What moments of orders below k add to that of order k, further away by a length ``[N]``."""
        parts = (comb(k, j) * length.pow(k - j).unsqueeze(-1) * moments[j] for j in range(k))
        return sum(parts, start=torch.zeros_like(moments[0]))


def in_widest_type(*tensors: Tensor) -> list[Tensor]:
    """All of them in the widest of their types."""
    kind = reduce(torch.promote_types, (x.dtype for x in tensors))
    return [x.to(kind) for x in tensors]


def _by_columns(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``function`` of some columns of ``[H, N, C]`` at a time, computed again in the backward pass, where there is one.

    What passes make on their way then stays in the cache, and nothing of it is kept.
    """
    width = max(_COLUMNS, _COLUMN_MEMORY // max(1, x[..., :1].numel() * x.element_size()))
    if width >= x.shape[2]:
        return function(x)
    if not torch.is_grad_enabled():
        return torch.cat([function(part) for part in x.split(width, -1)], -1)
    return torch.cat(
        [checkpoint(function, part, use_reentrant=False) for part in x.split(width, -1)], -1
    )
