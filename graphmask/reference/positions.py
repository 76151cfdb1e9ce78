"""Masks that are functions of distances, of positions, or of degrees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import torch
from torch import Tensor

from .walks import nonzero


def path_distances(edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None = None) -> Tensor:
    """Lengths of the shortest paths, [N, N], infinite where there is none (Floyd 1962).

    >>> path_distances(torch.tensor([[0, 1], [1, 0]]), 3, torch.tensor([2.0, 2.0])).tolist()
    [[0.0, 2.0, inf], [2.0, 0.0, inf], [inf, inf, 0.0]]
    """
    length = torch.ones(edge_index.shape[1]) if edge_weight is None else edge_weight
    D = torch.full((num_nodes, num_nodes), torch.inf, dtype=torch.float64)
    D.fill_diagonal_(0)
    for (j, i), w in zip(edge_index.T.tolist(), length.double(), strict=True):
        # The shortest of several edges between the same nodes.
        entry = torch.zeros(num_nodes, num_nodes, dtype=torch.bool)
        entry[i, j] = True
        D = torch.where(entry, torch.minimum(D, w), D)
    for k in range(num_nodes):
        D = torch.minimum(D, D[:, k, None] + D[None, k, :])
    return D


def exponential_distance(D: Tensor, offset: Tensor, slope: Tensor) -> Tensor:
    """The mask M_h = exp(offset_h - slope_h D), [H, N, N], 0 at D = inf (Choromanski et al. 2022).

    >>> D = torch.tensor([[0.0, torch.inf]])
    >>> exponential_distance(D, torch.zeros(1), torch.ones(1)).tolist()
    [[[1.0, 0.0]]]
    """
    return polynomial_exponential_distance(D, offset.double().exp()[:, None], slope)


def polynomial_exponential_distance(D: Tensor, c: Tensor, slope: Tensor) -> Tensor:
    """The mask M_h = sum_k c[h, k] D^k exp(-slope_h D), [H, N, N], 0 at D = inf (2024).

    >>> D, c = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 3.0]])
    >>> polynomial_exponential_distance(D, c, torch.zeros(1)).tolist()
    [[[1.0, 7.0]]]
    """
    joined = D.isfinite()
    d = torch.where(joined, D, 0.0).double()
    polynomial = sum(c[:, k, None, None].double() * d**k for k in range(c.shape[1]))
    return torch.where(joined, polynomial * torch.exp(-slope.double()[:, None, None] * d), 0.0)


def table_distance(D: Tensor, table: Tensor, unit: float) -> Tensor:
    """The mask M_h = table[h, D / unit], [H, N, N], 0 past the table (Choromanski et al. 2024).

    >>> D, table = torch.tensor([[0.0, 1.0, torch.inf]]), torch.tensor([[5.0, 6.0, 7.0]])
    >>> table_distance(D, table, unit=0.5).tolist()
    [[[5.0, 7.0, 0.0]]]
    """
    n = table.shape[1]
    index = torch.where(D.isfinite(), (D / unit).round(), n).clamp(max=n).long()
    return torch.nn.functional.pad(table.double(), (0, 1))[:, index]


def shortest_path_mask(edge_index: Tensor, num_nodes: int, alpha: Tensor) -> Tensor:
    """The mask M_hij = alpha[h, d(j -> i)], [H, N, N], 0 for d > K (Ying et al. 2021, eq. 6).

    >>> shortest_path_mask(torch.tensor([[0, 1], [1, 2]]), 3, torch.tensor([[5.0, 7.0]])).tolist()
    [[[5.0, 0.0, 0.0], [7.0, 5.0, 0.0], [0.0, 7.0, 5.0]]]
    """
    return table_distance(path_distances(edge_index, num_nodes), alpha, unit=1)


def approximate_distances(
    d: Tensor, first: list[int], first_seed: list[int], second: list[int], second_seed: list[int]
) -> Tensor:
    """Distances d, [N, N], between two sets of nodes replaced by those of representatives c.

        d~_ij = d~_ji = d_{c(i) c(j)}    for i in the first set and j in the second

    >>> d = path_distances(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 3)
    >>> approximate_distances(d, first=[0], first_seed=[1], second=[2], second_seed=[2]).tolist()
    [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """
    result = d.clone()
    for i, c in zip(first, first_seed, strict=True):
        for j, e in zip(second, second_seed, strict=True):
            result[i, j] = result[j, i] = d[c, e]
    return result


def causal_mask(num_nodes: int, gamma: Tensor, batch: Tensor | None = None) -> Tensor:
    """M_ij = gamma_h^s for j <= i in one graph with s nodes from j to i - 1, else 0: [H, N, N].

    >>> causal_mask(3, torch.tensor([0.5]), torch.tensor([0, 1, 0])).tolist()
    [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.0, 1.0]]]
    """
    graph = [0] * num_nodes if batch is None else batch.tolist()
    steps = torch.zeros(num_nodes, num_nodes, dtype=torch.long)
    present = torch.zeros(num_nodes, num_nodes, dtype=torch.double)
    for i, j in np.ndindex(num_nodes, num_nodes):
        if j <= i and graph[i] == graph[j]:
            present[i, j] = 1
            steps[i, j] = sum(graph[k] == graph[i] for k in range(j, i))
    return present * gamma.double()[:, None, None] ** steps


def blocks_of(block: Tensor, batch: Tensor) -> Tensor:
    """One block [H, P, P] repeated for each graph, its nodes in ascending order: [H, N, N].

    >>> blocks_of(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([0, 1, 1, 0]))[0].tolist()
    [[1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 2.0, 0.0], [0.0, 3.0, 4.0, 0.0], [3.0, 0.0, 0.0, 4.0]]
    """
    graph = batch.tolist()
    rank = [graph[:i].count(graph[i]) for i in range(len(graph))]
    return block.double()[:, rank][:, :, rank] * (batch[:, None] == batch[None, :])


def toeplitz_mask(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """M_ij = value[h, x_i - x_j + n - 1] on a grid of lengths n, in row-major order: [H, P, P].

    >>> toeplitz_mask(torch.tensor([[1.0, 2.0, 3.0]]), (2,)).tolist()
    [[[2.0, 1.0], [3.0, 2.0]]]
    """
    nodes = list(np.ndindex(*shape))
    middle = torch.tensor(shape) - 1
    rows = []
    for x in nodes:
        offsets = [torch.tensor(x) - torch.tensor(y) + middle for y in nodes]
        rows.append(torch.stack([value[(slice(None), *offset)] for offset in offsets], -1))
    return torch.stack(rows, 1).double()


def grid_distance_mask(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """M_ij = value[h, |x_i - x_j|_1], the length of a shortest path on the grid: [H, P, P].

    >>> grid_distance_mask(torch.tensor([[1.0, 2.0, 3.0]]), (2, 2))[0, 0].tolist()
    [1.0, 2.0, 2.0, 3.0]
    """
    nodes = torch.tensor(list(np.ndindex(*shape)))
    return value.double()[:, (nodes[:, None] - nodes[None]).abs().sum(-1)]


def with_class_token(block: Tensor) -> Tensor:
    """A block with one more node in front, whose row and column are ones: [H, P + 1, P + 1].

    >>> with_class_token(torch.tensor([[[5.0]]])).tolist()
    [[[1.0, 1.0], [1.0, 5.0]]]
    """
    heads, size, _ = block.shape
    column = torch.ones(heads, size, 1, dtype=torch.double)
    row = torch.ones(heads, 1, size + 1, dtype=torch.double)
    return torch.cat([row, torch.cat([column, block.double()], 2)], 1)


def grid_laplacian(shape: tuple[int, ...], axis: int) -> Tensor:
    """D - A of the edges along one axis of a grid, nodes in row-major order: [P, P].

    >>> grid_laplacian((3,), axis=0).tolist()
    [[1.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 1.0]]
    """
    nodes = list(np.ndindex(*shape))
    A = torch.zeros(len(nodes), len(nodes), dtype=torch.double)
    for i, x in enumerate(nodes):
        if x[axis] + 1 < shape[axis]:
            j = nodes.index((*x[:axis], x[axis] + 1, *x[axis + 1 :]))
            A[i, j] = A[j, i] = 1
    return torch.diag(A.sum(1)) - A


def grid_diffusion_mask(t: Tensor, shape: tuple[int, ...]) -> Tensor:
    """M_h = exp(-sum_a t[h, a] L_a) for the Laplacians of the edges along each axis a: [H, P, P].

    >>> [round(x, 4) for x in grid_diffusion_mask(torch.tensor([[0.5]]), (2,))[0, 0].tolist()]
    [0.6839, 0.3161]
    """
    L = torch.stack([grid_laplacian(shape, axis) for axis in range(len(shape))])
    return torch.matrix_exp(-torch.einsum("ha,aij->hij", t.double(), L))


def hypercube_mask(t: Tensor, dimensions: int) -> Tensor:
    """M_h = exp(-t_h L), L the Laplacian of words of n bits that differ in one: [H, P, P].

    >>> [round(x, 4) for x in hypercube_mask(torch.tensor([0.5]), 1)[0, 0].tolist()]
    [0.6839, 0.3161]
    """
    size = 2**dimensions
    bits = [[float((i ^ j).bit_count() == 1) for j in range(size)] for i in range(size)]
    A = torch.tensor(bits, dtype=torch.double)
    return torch.matrix_exp(-t.double()[:, None, None] * (torch.diag(A.sum(1)) - A))


def kronecker_mask(A: Tensor, B: Tensor) -> Tensor:
    """M_ij = A[i_a, j_a] B[i_b, j_b] for i = i_a N_b + i_b: [H, P, P].

    >>> A = torch.tensor([[[1.0, 2.0], [0.0, 1.0]]])
    >>> kronecker_mask(A, torch.tensor([[[1.0, 3.0], [3.0, 1.0]]]))[0, 0].tolist()
    [1.0, 3.0, 2.0, 6.0]
    """
    product = torch.einsum("hij,hkl->hikjl", A.double(), B.double())
    return product.flatten(3, 4).flatten(1, 2)


def hadamard(A: Tensor, B: Tensor) -> Tensor:
    """The entrywise product M_ij = A_ij B_ij, [H, N, N], of masks [H or 1, N, N].

    >>> A, B = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[2.0, 0.0], [1.0, -1.0]]]])
    >>> hadamard(A, B).tolist()
    [[[2.0, 0.0], [3.0, -4.0]]]
    """
    return A.double() * B.double()


def wave_adjacency(pos: Tensor, frequency: Tensor, weight: Tensor) -> Tensor:
    """Estimated adjacency of points, [N, N], from frequencies [m, D] and weights c [m] (2023, RFD).

        W_ij = 1/m sum_k c_k cos(omega_k . (x_i - x_j))

    >>> pos = torch.tensor([[0.0], [1.0]])
    >>> wave_adjacency(pos, torch.zeros(2, 1), torch.tensor([1.0, 3.0]))[0].tolist()
    [2.0, 2.0]
    """
    offset = pos[:, None].double() - pos[None].double()
    waves = (offset @ frequency.double().mT).cos()
    return torch.einsum("k,ijk->ij", weight.double(), waves) / len(weight)


def cloud_diffusion(W: Tensor, scale: Tensor, batch: Tensor | None = None) -> Tensor:
    """The mask M_h = exp(scale_h W / n), [H, N, N], of W [N, N], for each graph of n nodes.

    >>> cloud_diffusion(torch.zeros(2, 2), torch.ones(1)).tolist()
    [[[1.0, 0.0], [0.0, 1.0]]]
    """
    graph = torch.zeros(len(W), device=W.device) if batch is None else batch
    same = (graph[:, None] == graph[None, :]).double()
    scaled = W.double() * same / same.sum(1, keepdim=True)
    return torch.matrix_exp(scale.double()[:, None, None] * scaled)


def gaussian_mixture(xi: Tensor, w: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
    """The Fourier transform of a bias, [H, r], at xi [r, D] (2024, FLT).

        tau_h(xi) = sum_t w_ht exp(-|xi - mu_ht|^2 / sigma_ht^2)

    >>> w, mu, sigma = torch.tensor([[3.0]]), torch.zeros(1, 1, 2), torch.ones(1, 1)
    >>> gaussian_mixture(torch.zeros(1, 2), w, mu, sigma).tolist()
    [[3.0]]
    """
    distance = ((xi.double()[None, None] - mu.double()[:, :, None]) ** 2).sum(-1)
    return (w.double()[..., None] * torch.exp(-distance / sigma.double()[..., None] ** 2)).sum(1)


def fourier_bias(offset: Tensor, xi: Tensor, tau: Tensor) -> Tensor:
    """The positional bias, [H, ...], of offsets z [..., D] for xi ~ p = N(0, I), tau [H, r] (FLT).

        f_h(z) = 1/r sum_k tau_h(xi_k) / p(xi_k) cos(2 pi xi_k . z)

    >>> tau = torch.tensor([[1 / (2 * torch.pi)]])
    >>> fourier_bias(torch.zeros(2), torch.zeros(1, 2), tau).round(decimals=6).tolist()
    [1.0]
    """
    p = torch.exp(-(xi.double() ** 2).sum(-1) / 2) / (2 * torch.pi) ** (xi.shape[-1] / 2)
    waves = torch.cos(2 * torch.pi * offset.double() @ xi.double().mT)
    return torch.einsum("hk,...k->h...", tau.double() / p, waves) / len(xi)


def positive_product(a: Tensor, b: Tensor, omega: Tensor) -> Tensor:
    """Estimates of exp(a_i . b_j), [H, N, N], by positive features omega [m, C] (Performers, 2021).

        M_ij = 1/m sum_l exp(omega_l . a_i - |a_i|^2 / 2) exp(omega_l . b_j - |b_j|^2 / 2)

    >>> positive_product(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2), torch.ones(3, 2)).tolist()
    [[[1.0]]]
    """
    exponent = [
        x.double() @ omega.double().mT - (x.double() ** 2).sum(-1, keepdim=True) / 2 for x in (a, b)
    ]
    return torch.exp(exponent[0][:, :, None] + exponent[1][:, None]).sum(-1) / len(omega)


def degree_mask(A: Tensor, batch: Tensor, power: Tensor) -> Tensor:
    """The degree mask of an adjacency A, [H, N, N], of power [H] (Chen et al. 2024).

        M_h[i, j] = sin(pi/4 (z_hi + z_hj))  for nodes i, j of the same graph, else 0
        z_hi = (log(1 + d_i) / max over nodes j of the graph of log(1 + d_j)) ^ power[h]
        d_i = sum_j |A_ij|,    0 / 0 := 0

    The source leaves z open: this choice, and the power, are ours.

    >>> pair = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> degree_mask(pair, torch.tensor([0, 0]), torch.tensor([1.0])).tolist()
    [[[1.0, 1.0], [1.0, 1.0]]]
    """
    size = (1 + A.double().abs().sum(1)).log()
    same = batch[:, None] == batch[None, :]
    # A graph without nodes has no largest size.
    share = size / nonzero(torch.where(same, size, 0.0).amax(1)) if len(size) else size
    z = torch.where(share == 0, 0.0, nonzero(share) ** power.double()[:, None])
    return same * torch.sin(math.pi / 4 * (z[:, :, None] + z[:, None, :]))


def chebyshev_distances(shape: Sequence[int]) -> Tensor:
    """The distances max_d |x_d - y_d| between the places of a grid in row-major order, [P, P].

    >>> chebyshev_distances((1, 3)).tolist()
    [[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]]
    """
    place = torch.tensor(list(product(*map(range, shape))), dtype=torch.float64)
    return (place[:, None] - place[None]).abs().amax(-1)


def ripple_mask(distance: Tensor, radii: Sequence[int], alpha: Tensor) -> Tensor:
    """Weights by rings of distance [N, N], [H, N, N], for alpha [N or 1, H, R + 1] (Zheng 2022).

        M_h[i, j] = alpha[i, h, k] for the least k with distance[i, j] <= radii[k],
                    alpha[i, h, R] beyond the last radius

    >>> distance = chebyshev_distances((3,))
    >>> ripple_mask(distance, (0,), torch.tensor([[[4.0, 1.0]]])).tolist()
    [[[4.0, 1.0, 1.0], [1.0, 4.0, 1.0], [1.0, 1.0, 4.0]]]
    """
    n = len(distance)
    alpha = alpha.double().expand(n, -1, -1).permute(1, 0, 2)
    bounds = [-1.0, *radii, torch.inf]
    rings = [(distance > low) & (distance <= high) for low, high in pairwise(bounds)]
    weights = zip(alpha.unbind(2), rings, strict=True)
    return torch.stack([weight[..., None] * ring for weight, ring in weights]).sum(0)
