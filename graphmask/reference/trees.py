"""Functions of the distance in a weighted forest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def path_distances(edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None = None) -> Tensor:
    """Lengths of the shortest paths, [N, N], infinite where there is none (Floyd 1962).

    In a forest, of the only ones.

    >>> path_distances(torch.tensor([[0, 1], [1, 0]]), 3, torch.tensor([2.0, 2.0])).tolist()
    [[0.0, 2.0, inf], [2.0, 0.0, inf], [inf, inf, 0.0]]
    """
    length = torch.ones(edge_index.shape[1]) if edge_weight is None else edge_weight
    D = torch.full((num_nodes, num_nodes), torch.inf, dtype=torch.float64)
    D.fill_diagonal_(0)
    for (j, i), w in zip(edge_index.T.tolist(), length.double(), strict=True):
        # min, for several edges between the same nodes
        place = torch.zeros(num_nodes, num_nodes, dtype=torch.bool)
        place[i, j] = True
        D = torch.where(place, torch.minimum(D, w), D)
    for k in range(num_nodes):
        D = torch.minimum(D, D[:, k, None] + D[None, k, :])
    return D


def exponential_distance(D: Tensor, offset: Tensor, slope: Tensor) -> Tensor:
    """The mask M_h = exp(offset_h - slope_h D), [H, N, N], 0 where D is infinite (Choromanski et al. 2022).

    >>> exponential_distance(torch.tensor([[0.0, torch.inf]]), torch.zeros(1), torch.ones(1)).tolist()
    [[[1.0, 0.0]]]
    """
    return polynomial_exponential_distance(D, offset.double().exp()[:, None], slope)


def polynomial_exponential_distance(D: Tensor, c: Tensor, slope: Tensor) -> Tensor:
    """The mask M_h = sum_k c[h, k] D^k exp(-slope_h D), [H, N, N], 0 where D is infinite (Choromanski et al. 2024).

    >>> polynomial_exponential_distance(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 3.0]]), torch.zeros(1)).tolist()
    [[[1.0, 7.0]]]
    """
    joined = D.isfinite()
    d = torch.where(joined, D, 0.0).double()
    polynomial = sum(c[:, k, None, None].double() * d**k for k in range(c.shape[1]))
    return torch.where(joined, polynomial * torch.exp(-slope.double()[:, None, None] * d), 0.0)


def table_distance(D: Tensor, table: Tensor, unit: float) -> Tensor:
    """The mask M_h = table[h, D / unit], [H, N, N], 0 past the table (Choromanski et al. 2024).

    >>> table_distance(torch.tensor([[0.0, 1.0, torch.inf]]), torch.tensor([[5.0, 6.0, 7.0]]), unit=0.5).tolist()
    [[[5.0, 7.0, 0.0]]]
    """
    n = table.shape[1]
    place = torch.where(D.isfinite(), (D / unit).round(), n).clamp(max=n).long()
    return torch.nn.functional.pad(table.double(), (0, 1))[:, place]
