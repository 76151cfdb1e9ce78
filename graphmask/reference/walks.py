"""Adjacency, walks and their estimates as matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from ._zero import nonzero

if TYPE_CHECKING:
    from torch import Tensor


def adjacency(
    edge_index: Tensor,
    num_nodes: int,
    edge_weight: Tensor | None = None,
    normalization: Literal["sym", "rw"] | None = "sym",
) -> Tensor:
    """The weighted adjacency W, [N, N] (Reid et al. 2025, below eq. 4).

        A_ij = sum of the weights of the edges j -> i,    r_i = sum_j |A_ij|,    c_j = sum_i |A_ij|
        W_ij = A_ij / sqrt(r_i c_j)  ("sym"),    A_ij / r_i  ("rw"),    A_ij  (None),    0 / 0 := 0

    On an undirected graph "sym" is D^-1/2 A D^-1/2; on any graph its spectral norm is at most 1.
    Parallel edges add before absolute values are taken.

    >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    >>> adjacency(path, 3, normalization="rw").tolist()
    [[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]
    """
    source, target = edge_index
    weight = torch.ones(len(source), device=source.device) if edge_weight is None else edge_weight
    A = weight.new_zeros(num_nodes, num_nodes, dtype=torch.float64)
    A = A.index_put((target, source), weight.double(), accumulate=True)
    row_degree, column_degree = A.abs().sum(1, keepdim=True), A.abs().sum(0, keepdim=True)
    if normalization is None:
        return A
    if normalization == "sym":
        return A / (nonzero(row_degree).sqrt() * nonzero(column_degree).sqrt())
    if normalization == "rw":
        return A / nonzero(row_degree)
    raise ValueError(f"`normalization` must be 'sym', 'rw' or None, got {normalization!r}")


def edge_weights(
    edge_attr: Tensor, a: Tensor, b: Tensor, edge_weight: Tensor | None = None
) -> Tensor:
    """Weights of edges by their features, [H, E]: w_h(e) = w_e log(1 + exp(a_h .

    Z_e + b_h)), of a [H, D], b [H], z [E, D].

    >>> z, a, b = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[3.0, -1.5]]), torch.zeros(1)
    >>> edge_weights(z, a, b, torch.tensor([1.0, 2.0])).exp().tolist()
    [[2.0, 4.0]]
    """
    weight = (1 + (a.double() @ edge_attr.double().mT + b.double()[:, None]).exp()).log()
    return weight if edge_weight is None else weight * edge_weight.double()


def walk_powers(W: Tensor, hops: int) -> Tensor:
    """The powers W^0, ..., W^K, [K + 1, N, N].

    The expectation of the walks S_t of any unbiased sampler.

    >>> walk_powers(torch.tensor([[0.0, 2.0], [2.0, 0.0]]), hops=2).tolist()
    [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 2.0], [2.0, 0.0]], [[4.0, 0.0], [0.0, 4.0]]]
    """
    powers = [torch.eye(len(W), dtype=torch.float64, device=W.device)]
    for _ in range(hops):
        powers.append(powers[-1] @ W.double())
    return torch.stack(powers)


def walk_matrices(
    row: Tensor, col: Tensor, hop: Tensor, weight: Tensor, num_nodes: int, num_hops: int
) -> Tensor:
    """Drawn walks as matrices, [K + 1, N, N] (Reid et al. 2025, eq.

    10, without its coefficients f).

        S_t[i, j] = sum of the weights of the entries with row i, column j and hop t

    >>> row, col, hop = torch.tensor([0, 1, 0, 0]), torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 1, 1])
    >>> walk_matrices(row, col, hop, torch.tensor([1.0, 1.0, 0.25, 0.5]), num_nodes=2, num_hops=1).tolist()
    [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.75], [0.0, 0.0]]]
    """
    S = weight.new_zeros(num_hops + 1, num_nodes, num_nodes, dtype=torch.float64)
    return S.index_put((hop, row, col), weight.double(), accumulate=True)


def path_walks(W: Tensor, degree: Tensor, paths: Tensor, survival: Tensor) -> Tensor:
    """The estimate of the powers of W from the paths of n walks per node, [K + 1, N, N] (Reid et al. 2025, eqs. 9 and 10).

        S_t[i, j] = 1/n sum over the walks i = u_0, ..., u_t = j of  prod_{s<t} W[u_s, u_s+1] degree[u_s]  /  survival[t]

    ``paths`` [N, n, K + 1] holds nodes, and -1 where a walk has ended. With each of the ``degree``
    neighbours of a node as probable, and P(L >= t) = ``survival[t]`` for the number L of hops, the
    denominator is the probability of the path.

    >>> W, degree = torch.tensor([[0.0, 0.5], [0.5, 0.0]]), torch.tensor([1, 1])
    >>> paths = torch.tensor([[[0, 1], [0, -1]], [[1, -1], [1, 0]]])
    >>> path_walks(W, degree, paths, survival=torch.tensor([1.0, 0.5])).tolist()
    [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.5], [0.5, 0.0]]]
    """
    num_nodes, n, num_places = paths.shape
    S = torch.zeros(num_places, num_nodes, num_nodes, dtype=torch.float64)
    for i, walk, t in torch.cartesian_prod(*map(torch.arange, (num_nodes, n, num_places))).tolist():
        u = paths[i, walk, : t + 1]
        if u[t] >= 0:
            share = (W[u[:-1], u[1:]].double() * degree[u[:-1]]).prod() / (n * survival[t])
            S = S.index_put((torch.tensor(t), torch.tensor(i), u[t]), share, accumulate=True)
    return S


def symmetric_part(S: Tensor) -> Tensor:
    """Both directions of walks averaged, (S_t + S_t^T) / 2, [K + 1, N, N].

    >>> symmetric_part(torch.tensor([[[1.0, 4.0], [0.0, 1.0]]])).tolist()
    [[[1.0, 2.0], [2.0, 1.0]]]
    """
    return (S.double() + S.double().mT) / 2


def resampling_threshold(weights: Tensor, budget: int) -> float:
    """The threshold c of optimal resampling (Fearnhead and Clifford 2003).

        sum_j min(|w_j| / c, 1) = budget

    With at most ``budget`` non-zero weights nothing needs dropping: c = 0. Otherwise the largest
    weights, as few as possible, are kept for certain, and the rest share the remaining places
    equally, none of them above c.

    >>> resampling_threshold(torch.tensor([8.0, 1.0, -1.0, 2.0]), budget=3)
    2.0
    """
    sizes = sorted((abs(w) for w in weights.tolist() if w != 0), reverse=True)
    if len(sizes) <= budget:
        return 0.0
    shares = [sum(sizes[kept:]) / (budget - kept) for kept in range(budget)]
    return next(
        c for c, largest_of_the_rest in zip(shares, sizes, strict=False) if largest_of_the_rest <= c
    )
