"""Masks that are functions of the shortest-path distance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def path_lengths(edge_index: Tensor, num_nodes: int, length: Tensor | None = None) -> Tensor:
    """Lengths of the shortest directed paths, [N, N]: row i, column j for paths from j to i; infinite where there is none.

    Without ``length`` every edge has length 1. By Floyd and Warshall: after step k, paths through nodes 0 to k.

    >>> path_lengths(torch.tensor([[0, 1], [1, 2]]), 3).tolist()
    [[0.0, inf, inf], [1.0, 0.0, inf], [2.0, 1.0, 0.0]]
    """
    d = torch.full((num_nodes, num_nodes), torch.inf, dtype=torch.float64)
    lengths = [1.0] * edge_index.shape[1] if length is None else length.tolist()
    for (source, target), step in zip(edge_index.mT.tolist(), lengths, strict=True):
        d[target, source] = min(d[target, source], step)
    d.fill_diagonal_(0)
    for k in range(num_nodes):
        d = torch.minimum(d, d[:, k, None] + d[None, k, :])
    return d


def shortest_path_mask(edge_index: Tensor, num_nodes: int, alpha: Tensor) -> Tensor:
    """The mask M_hij = alpha[h, d(j -> i)], [H, N, N], of hop distances d up to K; zero beyond (Ying et al. 2021, eq. 6).

    >>> shortest_path_mask(torch.tensor([[0, 1], [1, 2]]), 3, torch.tensor([[5.0, 7.0]])).tolist()
    [[[5.0, 0.0, 0.0], [7.0, 5.0, 0.0], [0.0, 7.0, 5.0]]]
    """
    d = path_lengths(edge_index, num_nodes)
    M = torch.zeros(len(alpha), num_nodes, num_nodes, dtype=torch.float64)
    for hop in range(alpha.shape[1]):
        M = M + alpha.double()[:, hop, None, None] * (d == hop)
    return M


def told_lengths(d: Tensor, first: list[int], first_seed: list[int], second: list[int], second_seed: list[int]) -> Tensor:
    """Lengths d, [N, N], with those between two sets of nodes, in both directions, told by the seeds of the nodes.

        d~_ij = d~_ji = d_{c(i) c(j)}    for i in the first set and j in the second

    >>> d = path_lengths(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3)
    >>> told_lengths(d, first=[0], first_seed=[1], second=[2], second_seed=[2]).tolist()
    [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """
    told = d.clone()
    for i, c in zip(first, first_seed, strict=True):
        for j, e in zip(second, second_seed, strict=True):
            told[i, j] = told[j, i] = d[c, e]
    return told
