"""Sums over graphs whose nodes several processes hold: ``left_i . sum_j right_j x_j``.

A process sums over its own nodes, and the sums of all processes are added: a matrix per graph and
head, whatever the size of the graphs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphmask.topology import Topology


def multiply_by_states(
    topology: Topology, left: Tensor, right: Tensor, x: Tensor, with_ones: bool = False
) -> Tensor:
    """``[H, N, c]``, rows ``left_i @ sum_j right_j^T x_j`` for j in the graph of i.

    Args:
        topology: the graphs.
        left: ``[H or 1, N, r]``.
        right: ``[H or 1, N, r]``.
        x: ``[H or 1, N, c]``.
        with_ones: whether x shall have a last column of ones. (default: :obj:`False`)
    """
    part, batch = topology.part, topology.batch
    heads = max(len(left), len(right), len(x))
    left, right, x = (factor.expand(heads, -1, -1) for factor in (left, right, x))
    right, x = part.own(right, 1), part.own(x, 1)
    if batch is None or topology.num_graphs == 1:
        return left @ part.sum(_state(right, x, with_ones))
    own, sizes = _by_graph(part.own(batch), topology.num_graphs)
    groups = zip(right[:, own].split(sizes, 1), x[:, own].split(sizes, 1), strict=True)
    states = part.sum(torch.stack([_state(a, b, with_ones) for a, b in groups]))
    order, sizes = _by_graph(batch, topology.num_graphs)
    rows = [a @ state for a, state in zip(left[:, order].split(sizes, 1), states, strict=True)]
    return torch.cat(rows, 1)[:, torch.argsort(order)]


def _state(right: Tensor, x: Tensor, with_ones: bool) -> Tensor:
    """``[H, r, c]``, the sum of products."""
    state = right.mT @ x
    # The sum rounds less than the product with ones, which adds one row after the other.
    return torch.cat([state, right.sum(1).unsqueeze(-1)], -1) if with_ones else state


def _by_graph(batch: Tensor, num_graphs: int) -> tuple[Tensor, list[int]]:
    """Nodes by graph, and how many each graph has."""
    return torch.argsort(batch, stable=True), torch.bincount(batch, minlength=num_graphs).tolist()
