"""Masks of the degrees of both nodes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from graphmask.operators import LowRankOperator, MaskOperator
from graphmask.topology import Topology

from .base import TopologicalMask


class DegreeMask(TopologicalMask):
    r"""The mask :math:`M_{ij} = \sin(\tfrac\pi4 (z_i + z_j))` of the degrees of both nodes.

    It is 0 between graphs, and larger where degrees are.
    :math:`z_i = (\log(1 + d_i) / \max_j \log(1 + d_j))^p` lies in [0, 1], for the weighted degree
    :math:`d_i = \sum_j |A_{ij}|` of the edges into node i and the maximum over its graph. The
    source leaves z open. The power p > 0 is learned per head and starts at 1. A node of degree 0
    has z = 0, and M is 0 between two of them.

    M is of rank 2: :math:`\sin a \cos b + \cos a \sin b`, all factors non-negative.

    Args:
        heads: H. (default: :obj:`1`)

    Raises:
        ValueError: for fewer than one head.

    Cost: O(N) per product column; attention in O(N m d).

    Source: Chen et al., "Masked Graph Transformer for Large-Scale Recommendation" (SIGIR 2024).

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> gm.masks.DegreeMask()(path).to_dense()  # degrees 1, 2, 1
        tensor([[[0.8366, 0.9583, 0.8366],
                 [0.9583, 1.0000, 0.9583],
                 [0.8366, 0.9583, 0.8366]]], grad_fn=<ViewBackward0>)
    """

    cost = "N"

    def __init__(self, heads: int = 1) -> None:
        super().__init__(heads)
        self.log_power = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    @property
    def power(self) -> Tensor:
        """``[H]``, p."""
        return self.log_power.exp()

    def reset_parameters(self) -> None:
        self.log_power.data.zero_()

    @property
    def reach(self) -> int | None:
        return 0

    def _operator(self, topology: Topology) -> MaskOperator:
        if topology.requires_grad:
            degree = relative_log_degree(topology)
        else:
            degree = topology.derive(relative_log_degree)
        # Masked before the power, so that no gradient is NaN.
        empty = degree == 0
        z = (degree.masked_fill(empty, 1) ** self.power.unsqueeze(1)).masked_fill(empty, 0)
        sine, cosine = torch.sin(math.pi / 4 * z), torch.cos(math.pi / 4 * z)
        left, right = torch.stack([sine, cosine], -1), torch.stack([cosine, sine], -1)
        return LowRankOperator(topology, left, right, nonnegative=True)

    def __repr__(self) -> str:
        return f"DegreeMask(heads={self.heads})"


def relative_log_degree(topology: Topology) -> Tensor:
    """``[N]``, log(1 + d) over the largest of the graph; 0 in a graph without edges."""
    pattern, weight = topology.adjacency(None)
    zeros, count = weight.new_zeros(topology.num_nodes), max(1, pattern.nnz)
    total, share = (zeros.index_add(0, pattern.row, weight.abs() / n) for n in (1, count))
    # Sums that overflow have a logarithm all the same.
    huge = share.clamp(min=torch.finfo(share.dtype).tiny).log() + math.log(count)
    size = torch.where(total.isinf(), huge, total.log1p())
    batch = topology.batch
    if batch is None:
        batch = torch.zeros(topology.num_nodes, dtype=torch.long, device=topology.device)
    with torch.no_grad():
        part = topology.part
        largest = size.new_zeros(topology.num_graphs)
        largest = largest.scatter_reduce(0, part.own(batch), part.own(size), "amax")
        if not part.is_whole:
            scale = part.max(largest)[batch]
            empty = scale == 0
            return (size / scale.masked_fill(empty, 1)).masked_fill(empty, 0)
        # One node per graph carries the gradient of the maximum, the last of the largest, so that
        # derivatives of any order exist.
        node = torch.arange(topology.num_nodes, device=batch.device)
        candidate = torch.where(size == largest[batch], node, 0)
        top = node.new_zeros(topology.num_graphs).scatter_reduce(0, batch, candidate, "amax")
    scale = size[top[batch]]
    empty = scale == 0
    return (size / scale.masked_fill(empty, 1)).masked_fill(empty, 0)
