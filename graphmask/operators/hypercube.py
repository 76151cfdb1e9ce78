"""Heat kernels of hypercubes, bit by bit."""

from __future__ import annotations

from functools import partial, reduce

import torch
from torch import Tensor

from graphmask._blocks import Blocks
from graphmask._checks import value_error
from graphmask.kernels.products import in_one_type
from graphmask.topology import Topology

from ._grids import AXIS_COST, BlockwiseOperator, graphs_by_size, kronecker, multiply_axis
from .base import MaskOperator

# Bits of a group: one product with the matrix of this number of bits is cheaper than that number of
# passes over all nodes.
BITS = 5


class HypercubeOperator(BlockwiseOperator):
    r"""``M = exp(-t_h L)`` for the Laplacian ``L = D - A`` of hypercubes, nodes in binary order.

    .. math::
        M_{ij} = p^{n - \delta} r^\delta, \quad p = (1 + e^{-2t}) / 2, \quad r = (1 - e^{-2t}) / 2

    for nodes of a graph of ``2^n`` nodes whose indices differ in :math:`\delta` of n bits: the
    Kronecker product of n matrices ``[[p, r], [r, p]]``.

    Args:
        topology: graphs whose sizes are powers of two, not necessarily the same.
        t: ``[H]``, at least 0.

    Raises:
        ValueError: where a graph's size is no power of two.

    Cost: O(N log N) per column. No number is subtracted: rounding is relative, and products with
    non-negative numbers are non-negative.

    Source: Choromanski et al., "From block-Toeplitz matrices to differential equations on graphs"
    (ICML 2022).

    Example:
        >>> import torch, graphmask as gm
        >>> pair = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=2)
        >>> gm.operators.HypercubeOperator(pair, torch.tensor([0.5])) @ torch.tensor([1.0, 0.0])
        tensor([[0.6839, 0.3161]])
    """

    def __init__(self, topology: Topology, t: Tensor) -> None:
        self.t, graphs = in_one_type(t)[0], hypercubes_of(topology)
        cost = sum(
            count * size * sum(2**bits for bits in _groups(size)) for count, size in graphs.shapes
        )
        super().__init__(topology, graphs, len(t), nonnegative=True, cost=cost, unit_cost=AXIS_COST)

    def _matmul(self, x: Tensor) -> Tensor:
        t, x = in_one_type(self.t, x)
        return self.graphs.map(partial(_spread, t), [x])

    def _transpose(self) -> MaskOperator:
        return self

    def _between(self, i: Tensor, j: Tensor, size: int | Tensor) -> Tensor:
        bits = range(self.topology.largest_graph.bit_length())
        differing = sum(((i ^ j) >> bit & 1 for bit in bits), start=torch.zeros_like(i ^ j))
        total = sum(torch.as_tensor(size, device=i.device) >> bit > 1 for bit in bits)
        e = torch.exp(-2 * self.t).reshape(-1, *[1] * differing.dim())
        return ((1 + e) / 2) ** (total - differing).clamp(min=0) * ((1 - e) / 2) ** differing

    def block(self, size: int) -> Tensor:
        return _of_bits(self.t, size.bit_length() - 1)


def hypercubes_of(topology: Topology) -> Blocks:
    """The graphs of a topology, each of them of ``2^n`` nodes."""
    graphs = topology.derive(graphs_by_size)
    wrong = [size for _, size in graphs.shapes if size & (size - 1)]
    if wrong:
        raise value_error(
            "topology",
            "of graphs whose numbers of nodes are powers of two",
            f"graphs of {wrong} nodes",
        )
    return graphs


def _groups(size: int) -> list[int]:
    """The bits of ``2^n`` nodes in groups, the first for the highest bits."""
    n = size.bit_length() - 1
    groups = max(1, -(-n // BITS))
    return [n // groups + (i < n % groups) for i in range(groups)]


def _spread(t: Tensor, x: Tensor) -> Tensor:
    """``[H, B, P, C]``, group of bits by group of bits."""
    groups = _groups(x.shape[2])
    x = x.unflatten(2, [2**bits for bits in groups])
    for axis, bits in enumerate(groups, 2):
        x = multiply_axis(axis, _of_bits(t, bits), x)
    return x.flatten(2, -2)


def _of_bits(t: Tensor, bits: int) -> Tensor:
    """``[H, 2^n, 2^n]`` of n bits."""
    p, r = (1 + torch.exp(-2 * t)) / 2, -torch.expm1(-2 * t) / 2
    bit = torch.stack([torch.stack([p, r], -1), torch.stack([r, p], -1)], -1)
    return reduce(kronecker, [bit] * bits, torch.ones_like(bit[:, :1, :1]))
