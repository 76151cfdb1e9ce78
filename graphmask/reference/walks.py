"""Adjacency, walks as matrices, and the masks that are made of walks."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def nonzero(x: Tensor) -> Tensor:
    """The denominator x with its zeros replaced by ones: 0 / 0 := 0, with a finite gradient."""
    return torch.where(x == 0, 1.0, x)


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
    Parallel edges add before absolute values are taken. Where a sum is zero W is constant, with
    gradient zero: it jumps there to the sign of a weight of any other size.

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
        W = A / (nonzero(row_degree).sqrt() * nonzero(column_degree).sqrt())
        return torch.where((row_degree == 0) | (column_degree == 0), 0.0, W)
    if normalization == "rw":
        return torch.where(row_degree == 0, 0.0, A / nonzero(row_degree))
    raise ValueError(f"`normalization` must be 'sym', 'rw' or None, got {normalization!r}")


def edge_weights(
    edge_attr: Tensor, a: Tensor, b: Tensor, edge_weight: Tensor | None = None
) -> Tensor:
    """Weights of edges by their features z [E, D], [H, E], of a [H, D] and b [H].

        w_h(e) = w_e log(1 + exp(a_h . z_e + b_h))

    >>> z, a = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[3.0, -1.5]])
    >>> edge_weights(z, a, torch.zeros(1), torch.tensor([1.0, 2.0])).exp().tolist()
    [[2.0, 4.0]]
    """
    weight = (1 + (a.double() @ edge_attr.double().mT + b.double()[:, None]).exp()).log()
    return weight if edge_weight is None else weight * edge_weight.double()


def walk_powers(W: Tensor, hops: int) -> Tensor:
    """The powers W^0, ..., W^K, [K + 1, N, N], the expectation of the walks of unbiased samplers.

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
    """Drawn walks as matrices, [K + 1, N, N] (Reid et al. 2025, eq. 10, without coefficients f).

        S_t[i, j] = sum of the weights of the entries with row i, column j and hop t

    >>> row, col, hop = torch.tensor([[0, 1, 0, 0], [0, 1, 1, 1], [0, 0, 1, 1]])
    >>> weight = torch.tensor([1.0, 1.0, 0.25, 0.5])
    >>> walk_matrices(row, col, hop, weight, num_nodes=2, num_hops=1).tolist()
    [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.75], [0.0, 0.0]]]
    """
    S = weight.new_zeros(num_hops + 1, num_nodes, num_nodes, dtype=torch.float64)
    return S.index_put((hop, row, col), weight.double(), accumulate=True)


def path_walks(W: Tensor, degree: Tensor, paths: Tensor, survival: Tensor) -> Tensor:
    """Estimates of the powers of W from n walks per node, [K + 1, N, N] (Reid 2025, eqs. 9, 10).

        S_t[i, j] = 1/n sum over the walks i = u_0, ..., u_t = j of
                        prod_{s<t} W[u_s, u_s+1] degree[u_s]  /  survival[t]

    ``paths`` [N, n, K + 1] holds nodes, and -1 where a walk has ended. With each of the ``degree``
    neighbours of a node as probable, and P(L >= t) = ``survival[t]`` for the number L of hops, the
    denominator is the probability of the path.

    >>> W, degree = torch.tensor([[0.0, 0.5], [0.5, 0.0]]), torch.tensor([1, 1])
    >>> paths = torch.tensor([[[0, 1], [0, -1]], [[1, -1], [1, 0]]])
    >>> path_walks(W, degree, paths, survival=torch.tensor([1.0, 0.5])).tolist()
    [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.5], [0.5, 0.0]]]
    """
    num_nodes, n, steps = paths.shape
    S = torch.zeros(steps, num_nodes, num_nodes, dtype=torch.float64)
    for i, walk, t in torch.cartesian_prod(*map(torch.arange, paths.shape)).tolist():
        u = paths[i, walk, : t + 1]
        if u[t] >= 0:
            share = (W[u[:-1], u[1:]].double() * degree[u[:-1]]).prod() / (n * survival[t])
            S = S.index_put((torch.tensor(t), torch.tensor(i), u[t]), share, accumulate=True)
    return S


def symmetric_part(S: Tensor) -> Tensor:
    """The average of both directions of walks, (S_t + S_t^T) / 2, [K + 1, N, N].

    >>> symmetric_part(torch.tensor([[[1.0, 4.0], [0.0, 1.0]]])).tolist()
    [[[1.0, 2.0], [2.0, 1.0]]]
    """
    return (S.double() + S.double().mT) / 2


def resampling_threshold(weights: Tensor, budget: int) -> float:
    """The threshold c of optimal resampling (Fearnhead and Clifford 2003).

        sum_j min(|w_j| / c, 1) = budget

    With at most ``budget`` non-zero weights nothing needs dropping: c = 0. Otherwise the largest
    weights, as few as possible, are kept for certain, and the rest share the remaining budget
    equally, none of them above c.

    >>> resampling_threshold(torch.tensor([8.0, 1.0, -1.0, 2.0]), budget=3)
    2.0
    """
    sizes = sorted((abs(w) for w in weights.tolist() if w != 0), reverse=True)
    if len(sizes) <= budget:
        return 0.0
    shares = [sum(sizes[kept:]) / (budget - kept) for kept in range(budget)]
    return next(c for c, next_size in zip(shares, sizes, strict=False) if next_size <= c)


def global_mask(num_nodes: int, batch: Tensor | None = None) -> Tensor:
    """The mask of unmasked attention, [1, N, N].

    M_ij = 1 where i and j are nodes of the same graph, else 0.

    >>> global_mask(3, torch.tensor([0, 1, 0])).tolist()
    [[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]]
    """
    graph = torch.zeros(num_nodes) if batch is None else batch
    return (graph[:, None] == graph[None, :]).double()[None]


def power_series(W: Tensor, alpha: Tensor) -> Tensor:
    """The mask M_h = sum_k alpha[h, k] W^k, [H, N, N], of alpha [H, K + 1] (Reid 2025, eq. 4).

    >>> W, alpha = torch.tensor([[0.0, 2.0], [2.0, 0.0]]), torch.tensor([[1.0, 10.0, 100.0]])
    >>> power_series(W, alpha).tolist()
    [[[401.0, 20.0], [20.0, 401.0]]]
    """
    return torch.einsum("hk,kij->hij", alpha.double(), walk_powers(W, alpha.shape[-1] - 1))


def walk_mask(S: Tensor, alpha: Tensor) -> Tensor:
    """The asymmetric mask M_h = sum_t alpha[h, t] S_t, [H, N, N] (Reid et al. 2025, Algorithm 2).

    >>> S = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.5, 0.0]]])
    >>> walk_mask(S, alpha=torch.tensor([[1.0, 4.0]])).tolist()
    [[[1.0, 4.0], [2.0, 1.0]]]
    """
    return torch.einsum("ht,tij->hij", alpha.double(), S.double())


def adaptive_walk_mask(S: Tensor, alpha: Tensor, of_keys: bool = False) -> Tensor:
    """The walk mask whose nodes have their own coefficients alpha [N, H, K + 1], [H, N, N].

        M_h[i, j] = sum_t alpha[i, h, t] S_t[i, j],  with the coefficients of j for ``of_keys``

    >>> S = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.5, 0.0]]])
    >>> alpha = torch.tensor([[[1.0, 4.0]], [[2.0, 6.0]]])
    >>> adaptive_walk_mask(S, alpha).tolist()
    [[[1.0, 4.0], [3.0, 2.0]]]
    >>> adaptive_walk_mask(S, alpha, of_keys=True).tolist()
    [[[1.0, 6.0], [2.0, 2.0]]]
    """
    node = "j" if of_keys else "i"
    return torch.einsum(f"{node}ht,tij->hij", alpha.double(), S.double())


def grf_mask(S_query: Tensor, S_key: Tensor, f: Tensor) -> Tensor:
    """The symmetric mask of graph random features, [H, N, N] (Reid et al. 2025, Algorithm 1).

        M_h = Phi_h Phi'_h^T,    Phi_h = sum_t f[h, t] S_t,    Phi'_h = sum_t f[h, t] S'_t

    With exact walks, S_t = S'_t = W^t and W symmetric, it is the power series of
    ``convolution(f)``.

    >>> S = walk_powers(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), hops=1)
    >>> grf_mask(S, S, torch.tensor([[1.0, 2.0]])).tolist()
    [[[5.0, 4.0], [4.0, 5.0]]]
    """
    return walk_mask(S_query, f) @ walk_mask(S_key, f).mT


def stitched_mask(S: list[Tensor], f: Tensor) -> Tensor:
    """The mask of 2l sets of walks stitched together, [H, N, N] (Choromanski et al. 2025).

        M_h = Phi_h1 Phi_h2^T ... Phi_h,2l-1 Phi_h,2l^T,    Phi_hi = sum_t f[h, t] S^i_t

    With exact walks and W symmetric it is the power series of ``convolution(f, 2l)``.

    >>> S = walk_powers(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), hops=1)
    >>> stitched_mask([S, S, S, S], torch.tensor([[1.0, 1.0]])).tolist()
    [[[8.0, 8.0], [8.0, 8.0]]]
    """
    M = torch.eye(S[0].shape[-1], dtype=torch.float64, device=f.device)
    for i in range(0, len(S), 2):
        M = M @ grf_mask(S[i], S[i + 1], f)
    return M


def random_walk_kernel(S: Tensor, alpha: Tensor) -> Tensor:
    """Cosines of visit frequencies, [H, N, N], of walks S [K + 1, N, N], hop weights [H, K + 1].

        M_h[i, j] = <f_hi, f_hj> / (|f_hi| |f_hj|),    0 / 0 := 0
        f_hi = sum_t alpha[h, t] S_t[i, :]

    Published with all weights 1 (Choromanski et al. 2022).

    >>> S = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 3.0]]])
    >>> random_walk_kernel(S, torch.tensor([[3.0, 4.0]]))
    tensor([[[1.0000, 0.8000],
             [0.8000, 1.0000]]], dtype=torch.float64)
    """
    f = torch.einsum("ht,tij->hij", alpha.double(), S.double())
    f = f / nonzero(f.square().sum(-1, keepdim=True)).sqrt()
    return f @ f.mT
