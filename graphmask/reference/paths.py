"""Masks that are functions of the shortest-path distance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .trees import path_distances

if TYPE_CHECKING:
    from torch import Tensor


def shortest_path_mask(edge_index: Tensor, num_nodes: int, alpha: Tensor) -> Tensor:
    """The mask M_hij = alpha[h, d(j -> i)], [H, N, N], of hop distances d up to K.

    Zero beyond (Ying et al. 2021, eq. 6).

    >>> shortest_path_mask(torch.tensor([[0, 1], [1, 2]]), 3, torch.tensor([[5.0, 7.0]])).tolist()
    [[[5.0, 0.0, 0.0], [7.0, 5.0, 0.0], [0.0, 7.0, 5.0]]]
    """
    d = path_distances(edge_index, num_nodes)
    M = torch.zeros(len(alpha), num_nodes, num_nodes, dtype=torch.float64)
    for hop in range(alpha.shape[1]):
        M = M + alpha.double()[:, hop, None, None] * (d == hop)
    return M


def told_distances(
    d: Tensor, first: list[int], first_seed: list[int], second: list[int], second_seed: list[int]
) -> Tensor:
    """Distances d, [N, N], with those between two sets of nodes, in both directions, told by the seeds of the nodes.

        d~_ij = d~_ji = d_{c(i) c(j)}    for i in the first set and j in the second

    >>> d = path_distances(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3)
    >>> told_distances(d, first=[0], first_seed=[1], second=[2], second_seed=[2]).tolist()
    [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """
    told = d.clone()
    for i, c in zip(first, first_seed, strict=True):
        for j, e in zip(second, second_seed, strict=True):
            told[i, j] = told[j, i] = d[c, e]
    return told
