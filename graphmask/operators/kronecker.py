"""Masks of products of graphs."""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask._checks import value_error
from graphmask.kernels import Pattern
from graphmask.topology import Topology

from ._grids import grids_of, kronecker, spread_blocks
from .base import MaskOperator


class KroneckerOperator(MaskOperator):
    r"""``M = A (x) B`` on each graph.

    :math:`M_{ij} = A_{i_a j_a} B_{i_b j_b}` for its node :math:`i = i_a N_b + i_b`.

    Args:
        topology: graphs of ``N_a N_b`` nodes each; nodes of other graphs may stand between those of
            one.
        a: A, on a graph of ``N_a`` nodes.
        b: B, on a graph of ``N_b`` nodes.

    Raises:
        ValueError: where A and B have different numbers of heads (but for one), and any graph
            another number of nodes.

    Cost: per column and graph, ``N_b`` columns through A and ``N_a`` through B.

    Example:
        >>> import torch, graphmask as gm
        >>> none = torch.empty(2, 0, dtype=torch.long)
        >>> pair, four = gm.Topology(none, num_nodes=2), gm.Topology(none, num_nodes=4)
        >>> causal, ones = gm.operators.CausalOperator(pair), gm.operators.GlobalOperator(pair)
        >>> gm.operators.KroneckerOperator(four, causal, ones) @ torch.tensor([1.0, 2.0, 4.0, 8.0])
        tensor([[ 3.,  3., 15., 15.]])
    """

    def __init__(self, topology: Topology, a: MaskOperator, b: MaskOperator) -> None:
        if a.heads != b.heads and 1 not in (a.heads, b.heads):
            raise value_error(
                "a, b", "of the same number of heads, or one", f"heads {[a.heads, b.heads]}"
            )
        self.a, self.b = a, b
        self._grids = grids_of(topology, (a.num_nodes, b.num_nodes))
        cost = topology.num_graphs * (a.cost * b.num_nodes + a.num_nodes * b.cost)
        super().__init__(topology, max(a.heads, b.heads), min(a.sign, b.sign), cost)

    def _matmul(self, x: Tensor) -> Tensor:
        return self._grids.map(self._multiply_grids, [x])

    def _multiply_grids(self, nodes: Tensor) -> Tensor:
        x = nodes.unflatten(2, (self.a.num_nodes, self.b.num_nodes))
        return _apply(self.a, _apply(self.b, x, 3), 2).flatten(2, 3)

    def _transpose(self) -> MaskOperator:
        return KroneckerOperator(self.topology, self.a.mT, self.b.mT)

    def lookup(self, pattern: Pattern) -> Tensor | None:
        rank = self.topology.local_index
        i, j = rank[pattern.row], rank[pattern.col]
        n = self.b.num_nodes
        left = _lookup(self.a, i // n, j // n)
        right = None if left is None else _lookup(self.b, i % n, j % n)
        if left is None or right is None:
            return None
        return self._within_graphs(left * right, pattern.row, pattern.col)

    def to_dense(self) -> Tensor:
        return spread_blocks(self.topology, kronecker(self.a.to_dense(), self.b.to_dense()))


def _apply(mask: MaskOperator, x: Tensor, axis: int) -> Tensor:
    """``M @ .`` along one axis of ``[H, B, N_a, N_b, C]``, all others side by side as columns."""
    first = x.movedim(axis, 1)
    out = mask.matmul(first.flatten(2)).unflatten(2, first.shape[2:])
    return out.movedim(1, axis)


def _lookup(mask: MaskOperator, i: Tensor, j: Tensor) -> Tensor | None:
    """``[H, P]`` entries at positions in any order, or :obj:`None` where they are not known."""
    order = torch.argsort(i, stable=True)
    pattern = Pattern.from_coo(i[order], j[order], (mask.num_nodes, mask.num_nodes))
    value = mask.lookup(pattern)
    return None if value is None else torch.empty_like(value).index_copy(1, order, value)
