"""Functions of the distance in a weighted forest."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from math import comb

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphmask._precision import to_double
from graphmask.kernels.columns import attend_columns, runs_columns
from graphmask.kernels.forest import Forest, down_sweep, up_sweep
from graphmask.kernels.tree_columns import TreeColumns
from graphmask.topology import Topology

from ._centroids import decompose, steps_of
from ._slices import run_slices
from ._table_columns import attend_table
from ._tree_products import table_product
from ._trees import BinaryTrees, Trees, binary_trees_of, numbered_trees_of, trees_of
from .adjacency import in_widest_type
from .base import MaskOperator, Sign, Sums

# Bytes of a slice of columns: the intermediates of both passes should stay in the cache.
_COLUMN_MEMORY = 2**24

# Columns of a slice at least: a node's numbers should fill a line of the cache.
_COLUMNS = 16

# The time of a multiply-add of compiled moments, in those of a sparse product, at 4,096 nodes.
_COMPILED_COST = 0.15
_ALWAYS = 2**62


class _TreeOperator(MaskOperator):
    """A function of the distance in a forest, which is symmetric."""

    def _transpose(self) -> MaskOperator:
        return self


class _PolynomialOperator(_TreeOperator):
    """``sum_k c_k d^k e^(-s d)``, which attends by compiled moments."""

    trees: Trees
    slope: Tensor
    length: Tensor

    @abstractmethod
    def _coefficients(self) -> Tensor:
        """``[H, K + 1]``, c."""

    @abstractmethod
    def _multiply(self, x: Tensor, factor: Tensor, length: Tensor, c: Tensor) -> Tensor:
        """``M x``, of the edges to parents."""

    def _edges(self, slope: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Factors and lengths ``[H, N]`` of the edges to parents."""
        decay = torch.exp(-slope.unsqueeze(1) * length)
        factor = decay.masked_fill(self.trees.forest.is_root, 0)
        # Nothing passes an edge of factor 0, and powers of its length may be beyond the type.
        return factor, length.where(factor > 0, 0)

    def _attend_columns(self, q: Tensor, k: Tensor, v: Tensor, normalized: bool) -> Sums:
        trees = self.topology.derive(numbered_trees_of)
        tensors = self.slope, self._coefficients(), self.length, q, k, v
        slope, c, length, *nodes = in_widest_type(*tensors)
        factor, length = (x.expand(len(q), -1) for x in self._edges(slope, length))
        q, k, v, r, w = (x.index_select(1, trees.order) for x in (*nodes, factor, length))

        def multiply(x: Tensor, r: Tensor, w: Tensor, c: Tensor) -> Tensor:
            x, r, w = (y.index_select(1, trees.place) for y in (x, r, w))
            return self._multiply(x, r, w, c).index_select(1, trees.order)

        columns = TreeColumns(trees.parent, multiply)
        parameters = r, w, c.expand(len(q), -1)
        sums, total = attend_columns(columns, q, k, v, normalized, *parameters)
        total = None if total is None else total.index_select(1, trees.place)
        return sums.index_select(1, trees.place), total


class TreeExponentialOperator(_PolynomialOperator):
    r""":math:`M_{ij} = e^{b - s\, d_{ij}}` for the distance d in a forest, 0 between trees.

    With :math:`r_c = e^{-s w_c}` for the edge of each node to its parent, ``Up`` (sums over
    subtrees, each edge multiplying by r) and its adjoint ``Down``, this is the factorisation

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
        >>> slope, offset = torch.tensor([2.0]).log(), torch.zeros(1)
        >>> operator = gm.operators.TreeExponentialOperator(edge, slope, offset)
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
        variance = -torch.expm1(-2 * exponent).masked_fill(forest.is_root, -1)
        factor, _ = self._edges(slope, length)
        return _scale_sweeps(forest, factor, offset.exp().unsqueeze(1) * variance, x)

    def _coefficients(self) -> Tensor:
        return self.offset.exp().unsqueeze(1)

    def _multiply(self, x: Tensor, factor: Tensor, length: Tensor, c: Tensor) -> Tensor:
        return _scale_sweeps(self.trees.forest, factor, c * (1 - factor.square()), x)

    def to_dense(self) -> Tensor:
        slope, offset, length = in_widest_type(self.slope, self.offset, self.length)
        distance = self.trees.distances(length)
        joined = distance.isfinite()
        decay = slope.reshape(-1, 1, 1) * distance.masked_fill(~joined, 0)
        return (offset.reshape(-1, 1, 1) - decay).exp() * joined


class TreePolynomialOperator(_PolynomialOperator):
    r""":math:`M_{ij} = \sum_k c_k\, d_{ij}^k\, e^{-s\, d_{ij}}` for the distance d in a forest.

    M is 0 between trees. Both passes carry the moments :math:`\sum_j d_{ij}^k e^{-s d_{ij}} x_j` of
    nodes inside and outside of each subtree; along an edge of length w they mix by the binomial
    theorem. Nodes of many children are first split into nodes of at most two, by edges of length 0:
    the moments of a sibling are then added, and none are subtracted.

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
        >>> length, coefficients = torch.tensor([3.0, 3.0]), torch.tensor([[1.0, 2.0]])
        >>> edge = gm.Topology(torch.tensor([[0, 1], [1, 0]]), num_nodes=2, edge_weight=length)
        >>> operator = gm.operators.TreePolynomialOperator(edge, torch.zeros(1), coefficients)
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
        if runs_columns(self.length, _ALWAYS):
            self.unit_cost = _COMPILED_COST

    def _matmul(self, x: Tensor) -> Tensor:
        slope, coefficients, length, x = in_widest_type(
            self.slope, self.coefficients, self.length, x
        )
        return self._multiply(x, *self._edges(slope, length), coefficients)

    def _coefficients(self) -> Tensor:
        return self.coefficients

    def _multiply(self, x: Tensor, factor: Tensor, length: Tensor, c: Tensor) -> Tensor:
        passes = _Passes(self.topology.derive(binary_trees_of), factor, length)
        return _by_columns(partial(passes.combine_moments, c), x.expand(len(c), -1, -1))

    def to_dense(self) -> Tensor:
        slope, coefficients, length = in_widest_type(self.slope, self.coefficients, self.length)
        distance = self.trees.distances(length)
        joined = distance.isfinite()
        decay = torch.exp(-slope.reshape(-1, 1, 1) * distance.masked_fill(~joined, 0)) * joined
        distance = distance.where(decay > 0, 0)  # its powers may be beyond the type
        powers = torch.stack([distance**k for k in range(coefficients.shape[1])])
        return torch.einsum("hk,khij->hij", coefficients, powers) * decay


class TreeTableOperator(_TreeOperator):
    r""":math:`M_{ij} = t[d_{ij} / u]` for the distance d in a forest.

    Lengths are multiples of u; M is 0 between trees and past the table. At each centroid of a
    centroid decomposition, sums by distance are multiplied by a Hankel matrix, and pairs that do
    not pass the centroid are subtracted. Sums cancel there: an entry is exact up to the rounding of
    the largest sums of its row, in the type of x. Fourier transforms are taken in float64.

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
        >>> operator = gm.operators.TreeTableOperator(path, torch.tensor([[1.0, 10.0, 100.0]]))
        >>> operator @ torch.tensor([1.0, 2.0, 3.0])
        tensor([[321.,  42., 123.]])
    """

    def __init__(
        self, topology: Topology, table: Tensor, unit: float = 1.0, nonnegative: bool = False
    ) -> None:
        self.structure = topology.derive(decompose, unit, table.shape[1])
        self.table, self.unit = table, unit
        super().__init__(topology, len(table), Sign.of(nonnegative), self.structure.cost)

    def _matmul(self, x: Tensor) -> Tensor:
        table, x = in_widest_type(self.table, x)
        return table_product(self.structure, table, x.expand(self.heads, -1, -1))

    def _attend_columns(self, q: Tensor, k: Tensor, v: Tensor, normalized: bool) -> Sums | None:
        table, q, k, v = in_widest_type(self.table, q, k, v)
        return attend_table(self.structure, table.expand(len(q), -1), q, k, v, normalized)

    def to_dense(self) -> Tensor:
        steps = self.topology.derive(steps_of, self.unit)
        distance = self.topology.derive(trees_of).distances(to_double(steps))
        return pad(self.table, (0, 1))[:, distance.clamp(max=self.table.shape[1]).long()]


class _Passes:
    """Moments ``[H, N, C]`` of orders 0 to K, on trees whose nodes have at most two children."""

    def __init__(self, trees: BinaryTrees, factor: Tensor, length: Tensor) -> None:
        self.trees, self.forest = trees, trees.forest
        added = len(self.forest.parent) - length.shape[1]
        self.length = pad(length, (0, added))  # [H, N]
        self.factor = pad(factor, (0, added), value=1.0)

    def combine_moments(self, coefficients: Tensor, x: Tensor) -> Tensor:
        """``sum_k c_k sum_j d_ij^k exp(-s d_ij) x_j`` for ``x [H, N, C]``."""
        nodes, orders = x.shape[1], coefficients.shape[1]
        x = pad(x, (0, 0, 0, self.length.shape[1] - nodes))
        inside = self._ascend(x, orders)
        outside = self._descend(self._from_parents(x, inside))
        weights = coefficients.reshape(len(coefficients), orders, 1, 1).unbind(1)
        terms = zip(weights, inside, outside, strict=True)
        return sum(c * (i[:, :nodes] + o[:, :nodes]) for c, i, o in terms)  # type: ignore[return-value]

    def _ascend(self, x: Tensor, orders: int) -> list[Tensor]:
        """Moments of each node's subtree."""
        moments = [up_sweep(self.forest, self.factor, x)]
        for k in range(1, orders):
            shifted = self._shift(moments, k, self.length) * self.factor.unsqueeze(-1)
            summed = torch.zeros_like(shifted).index_add(1, self.forest.parent, shifted)
            moments.append(up_sweep(self.forest, self.factor, summed))
        return moments

    def _from_parents(self, x: Tensor, inside: list[Tensor]) -> list[Tensor]:
        """Moments at each node of its parent and its sibling's subtree."""
        sibling = self.trees.sibling
        moments = [moment[:, sibling] for moment in inside]
        factor = self.factor[:, sibling].masked_fill(self.trees.alone, 0)
        at_parent = self._move(moments, self.length[:, sibling], factor)
        at_parent[0] = at_parent[0] + x[:, self.forest.parent]
        return self._move(at_parent, self.length, self.factor)

    def _descend(self, arriving: list[Tensor]) -> list[Tensor]:
        """Moments of all nodes outside of each node's subtree, from those of the nearest ones."""
        moments: list[Tensor] = []
        for k, moment in enumerate(arriving):
            if k:
                at_parent = [lower[:, self.forest.parent] for lower in moments]
                shifted = self._shift(at_parent, k, self.length)
                moment = moment + self.factor.unsqueeze(-1) * shifted
            moments.append(down_sweep(self.forest, self.factor, moment))
        return moments

    def _move(self, moments: list[Tensor], length: Tensor, factor: Tensor) -> list[Tensor]:
        """Moments as seen from the other end of an edge."""
        factor = factor.unsqueeze(-1)
        return [
            factor * (self._shift(moments, k, length) + moment) for k, moment in enumerate(moments)
        ]

    @staticmethod
    def _shift(moments: list[Tensor], k: int, length: Tensor) -> Tensor:
        """The share of orders below k in the moment of order k, away by ``length [H, N]``."""
        terms = (comb(k, j) * length.pow(k - j).unsqueeze(-1) * moments[j] for j in range(k))
        return sum(terms, start=torch.zeros_like(moments[0]))


def _scale_sweeps(forest: Forest, factor: Tensor, scale: Tensor, x: Tensor) -> Tensor:
    """``Down diag(scale) Up x`` for ``[H, N]`` factors and scales."""

    def multiply(columns: Tensor) -> Tensor:
        return down_sweep(forest, factor, scale.unsqueeze(-1) * up_sweep(forest, factor, columns))

    return _by_columns(multiply, x.expand(len(factor), -1, -1))


def _by_columns(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``function`` of ``[H, N, C]``, slice by slice of columns."""
    width = _COLUMN_MEMORY // max(1, x[..., :1].numel() * x.element_size())
    slices = run_slices(function, max(_COLUMNS, width), x)
    return slices[0] if len(slices) == 1 else torch.cat(slices, -1)
