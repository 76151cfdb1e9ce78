"""The definitions: every object of the library as a dense float64 formula, to judge the fast code by.

Nothing here is fast, and nothing here is shared with the fast code. Inputs are plain tensors, results are float64 and
differentiable. An edge j -> i stands in ``edge_index`` as the column (j, i) and in every matrix at row i, column j.

Letters: N nodes, E edges, H heads, K hops, m features, d channels, W weighted adjacency, M mask, S walks.

References:
    Reid et al. 2025, Linear Transformer Topological Masking with Graph Random Features, ICLR.
    Reid et al. 2024, General Graph Random Features, ICLR.
    Choromanski et al. 2025, Graph Random Features++, arXiv 2510.07716.
    Gasteiger et al. 2019, Diffusion Improves Graph Learning, NeurIPS.
    Smola and Kondor 2003, Kernels and Regularization on Graphs, COLT.
    Katharopoulos et al. 2020, Transformers are RNNs, ICML.
    Fearnhead and Clifford 2003, On-line inference for hidden Markov models via particle filters, JRSS-B.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional

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

    On an undirected graph "sym" is D^-1/2 A D^-1/2; on any graph its spectral norm is at most 1. Parallel edges add
    before absolute values are taken.

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
        return A / (_nonzero(row_degree).sqrt() * _nonzero(column_degree).sqrt())
    if normalization == "rw":
        return A / _nonzero(row_degree)
    raise ValueError(f"`normalization` must be 'sym', 'rw' or None, got {normalization!r}")


def walk_powers(W: Tensor, hops: int) -> Tensor:
    """The powers W^0, ..., W^K, [K + 1, N, N]: the expectation of the walks S_t of any unbiased sampler.

    >>> walk_powers(torch.tensor([[0.0, 2.0], [2.0, 0.0]]), hops=2).tolist()
    [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 2.0], [2.0, 0.0]], [[4.0, 0.0], [0.0, 4.0]]]
    """
    powers = [torch.eye(len(W), dtype=torch.float64, device=W.device)]
    for _ in range(hops):
        powers.append(powers[-1] @ W.double())
    return torch.stack(powers)


def walk_matrices(row: Tensor, col: Tensor, hop: Tensor, weight: Tensor, num_nodes: int, num_hops: int) -> Tensor:
    """Drawn walks as matrices, [K + 1, N, N] (Reid et al. 2025, eq. 10, without its coefficients f).

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

    ``paths`` [N, n, K + 1] holds nodes, and -1 where a walk has ended. With each of the ``degree`` neighbours of a node as
    probable, and P(L >= t) = ``survival[t]`` for the number L of hops, the denominator is the probability of the path.

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


def global_mask(num_nodes: int, batch: Tensor | None = None) -> Tensor:
    """The mask of unmasked attention, [1, N, N]: M_ij = 1 where i and j are nodes of the same graph, else 0.

    >>> global_mask(3, torch.tensor([0, 1, 0])).tolist()
    [[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]]
    """
    graph = torch.zeros(num_nodes) if batch is None else batch
    return (graph[:, None] == graph[None, :]).double()[None]


def power_series(W: Tensor, alpha: Tensor) -> Tensor:
    """The mask M_h = sum_k alpha[h, k] W^k, [H, N, N], of alpha [H, K + 1] (Reid et al. 2025, eq. 4).

    >>> power_series(torch.tensor([[0.0, 2.0], [2.0, 0.0]]), torch.tensor([[1.0, 10.0, 100.0]])).tolist()
    [[[401.0, 20.0], [20.0, 401.0]]]
    """
    return torch.einsum("hk,kij->hij", alpha.double(), walk_powers(W, alpha.shape[-1] - 1))


def walk_mask(S: Tensor, alpha: Tensor) -> Tensor:
    """The asymmetric mask M_h = sum_t alpha[h, t] S_t, [H, N, N] (Reid et al. 2025, eqs. 25 to 28, Algorithm 2).

    >>> S = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.5, 0.0]]])
    >>> walk_mask(S, alpha=torch.tensor([[1.0, 4.0]])).tolist()
    [[[1.0, 4.0], [2.0, 1.0]]]
    """
    return torch.einsum("ht,tij->hij", alpha.double(), S.double())


def symmetric_part(S: Tensor) -> Tensor:
    """Both directions of walks averaged, (S_t + S_t^T) / 2, [K + 1, N, N].

    >>> symmetric_part(torch.tensor([[[1.0, 4.0], [0.0, 1.0]]])).tolist()
    [[[1.0, 2.0], [2.0, 1.0]]]
    """
    return (S.double() + S.double().mT) / 2


def grf_mask(S_query: Tensor, S_key: Tensor, f: Tensor) -> Tensor:
    """The symmetric mask of graph random features, [H, N, N] (Reid et al. 2025, Lemma 3.1, Algorithm 1).

        M_h = Phi_h Phi'_h^T,    Phi_h = sum_t f[h, t] S_t,    Phi'_h = sum_t f[h, t] S'_t

    With exact walks, S_t = S'_t = W^t and W symmetric, it is the power series of ``convolution(f)``.

    >>> S = walk_powers(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), hops=1)
    >>> grf_mask(S, S, torch.tensor([[1.0, 2.0]])).tolist()
    [[[5.0, 4.0], [4.0, 5.0]]]
    """
    return walk_mask(S_query, f) @ walk_mask(S_key, f).mT


def stitched_mask(S: list[Tensor], f: Tensor) -> Tensor:
    """The mask of 2l sets of walks stitched together, [H, N, N] (Choromanski et al. 2025).

        M_h = Phi_h1 Phi_h2^T Phi_h3 Phi_h4^T ... Phi_h,2l-1 Phi_h,2l^T,    Phi_hi = sum_t f[h, t] S^i_t

    With exact walks and W symmetric it is the power series of ``convolution(f, 2l)``.

    >>> S = walk_powers(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), hops=1)
    >>> stitched_mask([S, S, S, S], torch.tensor([[1.0, 1.0]])).tolist()
    [[[8.0, 8.0], [8.0, 8.0]]]
    """
    M = torch.eye(S[0].shape[-1], dtype=torch.float64, device=f.device)
    for i in range(0, len(S), 2):
        M = M @ grf_mask(S[i], S[i + 1], f)
    return M


def diffusion(scale: float | Tensor, hops: int) -> Tensor:
    """The heat kernel exp(-s (I - W)): alpha_k = e^-s s^k / k! (Gasteiger et al. 2019, after eq. 1).

    >>> (diffusion(2.0, hops=3) * torch.e**2).round(decimals=6).tolist()
    [1.0, 2.0, 2.0, 1.333333]
    """
    s, k = _scale_and_hops(scale, hops)
    return torch.exp(-s) * s**k / k.clamp(min=1).cumprod(0)


def pagerank(teleport: float | Tensor, hops: int) -> Tensor:
    """Personalised PageRank p (I - (1 - p) W)^-1: alpha_k = p (1 - p)^k (Gasteiger et al. 2019, after eq. 1).

    >>> pagerank(0.5, hops=3).tolist()
    [0.5, 0.25, 0.125, 0.0625]
    """
    p, k = _scale_and_hops(teleport, hops)
    return p * (1 - p) ** k


def regularized_laplacian(scale: float | Tensor, hops: int, power: float = 1) -> Tensor:
    """The kernel (I + s (I - W))^-p: alpha_k = binom(k + p - 1, k) x^k (1 + s)^-p, x = s / (1 + s) (Smola and Kondor 2003).

    >>> regularized_laplacian(1.0, hops=3).tolist()
    [0.5, 0.25, 0.125, 0.0625]
    >>> regularized_laplacian(1.0, hops=3, power=2).tolist()
    [0.25, 0.25, 0.1875, 0.125]
    """
    s, k = _scale_and_hops(scale, hops)
    count = [math.prod((power + j) / (j + 1) for j in range(n)) for n in range(hops + 1)]
    return torch.tensor(count, dtype=torch.float64, device=k.device) * (s / (1 + s)) ** k * (1 + s) ** -power


def p_step_walk(scale: float | Tensor, hops: int, steps: int) -> Tensor:
    """The lazy walk ((1 - s) I + s W)^p: alpha_k = binom(p, k) (1 - s)^(p - k) s^k, zero for k > p (Smola and Kondor 2003).

    >>> p_step_walk(0.5, hops=3, steps=2).tolist()
    [0.25, 0.5, 0.25, 0.0]
    """
    s, _ = _scale_and_hops(scale, hops)
    chances = [math.comb(steps, k) * (1 - s) ** (steps - k) * s**k for k in range(min(steps, hops) + 1)]
    return functional.pad(torch.cat(chances, -1), (0, max(hops - steps, 0)))


def cosine(scale: float | Tensor, hops: int) -> Tensor:
    """The kernel cos(s W) + sin(s W): alpha_k = (-1)^floor(k / 2) s^k / k! (Smola and Kondor 2003).

    >>> cosine(1.0, hops=3).tolist() == [1.0, 1.0, -1 / 2, -1 / 6]
    True
    """
    s, k = _scale_and_hops(scale, hops)
    return (-1) ** (k // 2) * s**k / k.clamp(min=1).cumprod(0)


def convolution(f: Tensor, factors: int = 2) -> Tensor:
    """The mask coefficients alpha = f * ... * f of n factors, [..., nK + 1], of f [..., K + 1] (Reid et al. 2025, Lemma 3.1).

        alpha_k = sum of f_{p_1} ... f_{p_n} over p_1 + ... + p_n = k

    >>> convolution(torch.tensor([1.0, 2.0, 3.0])).tolist()
    [1.0, 4.0, 10.0, 12.0, 9.0]
    >>> convolution(torch.tensor([1.0, 1.0]), factors=3).tolist()
    [1.0, 3.0, 3.0, 1.0]
    """
    f = f.double()
    alpha = torch.ones_like(f[..., :1])
    for _ in range(factors):
        sums = [functional.pad(alpha * f[..., p : p + 1], (p, f.shape[-1] - 1 - p)) for p in range(f.shape[-1])]
        alpha = torch.stack(sums).sum(0)
    return alpha


def deconvolution(alpha: Tensor, factors: int = 2) -> Tensor:
    """The modulation f, [..., K + 1], with f * ... * f = alpha up to hop K, n factors (Reid et al. 2024, eq. 6, for n = 2).

        f_0 = alpha_0^(1/n),    f_k = (alpha_k - [(f_0, ..., f_{k-1}) * ... * (f_0, ..., f_{k-1})]_k) / (n f_0^(n-1))

    since f_k appears in the k-th number of the convolution n times, beside f_0^(n-1).

    >>> deconvolution(torch.tensor([1.0, 4.0, 10.0, 12.0, 9.0])).tolist()
    [1.0, 2.0, 3.0, 0.0, 0.0]
    >>> deconvolution(torch.tensor([1.0, 3.0, 3.0, 1.0]), factors=3).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    alpha = alpha.double()
    if not bool((alpha[..., 0] > 0).all()):
        raise ValueError(f"`alpha` must have alpha_0 > 0, got {alpha[..., 0].tolist()}")
    f = alpha[..., :1] ** (1 / factors)
    for k in range(1, alpha.shape[-1]):
        known = convolution(functional.pad(f, (0, 1)), factors)[..., k : k + 1]
        f = torch.cat([f, (alpha[..., k : k + 1] - known) / (factors * f[..., :1] ** (factors - 1))], -1)
    return f


def relu_features(x: Tensor, epsilon: float = 0.0) -> Tensor:
    """The feature map phi(x) = max(x, 0) + epsilon (Reid et al. 2025, Algorithm 1).

    >>> relu_features(torch.tensor([-1.0, 2.0]), epsilon=0.5).tolist()
    [0.5, 2.5]
    """
    return functional.relu(x.double()) + epsilon


def elu_plus_one(x: Tensor) -> Tensor:
    """The feature map phi(x) = x + 1 where x > 0, e^x elsewhere (Katharopoulos et al. 2020, eq. 7).

    >>> elu_plus_one(torch.tensor([0.0, 2.0])).tolist()
    [1.0, 3.0]
    """
    return functional.elu(x.double()) + 1


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, normaliser: Tensor | None = None) -> Tensor:
    """Masked linear attention, [N, H, d], of features q, k [N, H, m] and v [N, H, d] (Reid et al. 2025, eqs. 2, 3, 7).

        out_i = sum_j M_ij (q_i . k_j) v_j  /  sum_j Z_ij (q_i . k_j)

    Z is ``normaliser``, by default ``|M|`` (M itself in the paper, whose masks are non-negative). M and Z are
    [H or 1, N, N]. Where the denominator is zero, so is the row.

    >>> q = k = torch.ones(2, 1, 1)
    >>> attention(q, k, torch.tensor([[[1.0]], [[5.0]]]), torch.tensor([[[1.0, 3.0], [0.0, 0.0]]])).tolist()
    [[[4.0]], [[0.0]]]
    """
    nodes = torch.arange(len(q), device=q.device)
    return torch.einsum("ihj,jhd->ihd", attention_rows(q, k, mask, nodes, normaliser), v.double())


def attention_rows(q: Tensor, k: Tensor, mask: Tensor, nodes: Tensor, normaliser: Tensor | None = None) -> Tensor:
    """Rows ``nodes`` of the matrix that :func:`attention` multiplies v with, [len(nodes), H, N].

        a_ij = M_ij (q_i . k_j)  /  sum_l Z_il (q_i . k_l),    0 / 0 := 0

    >>> q = k = torch.ones(2, 1, 1)
    >>> attention_rows(q, k, torch.tensor([[[1.0, 3.0], [0.0, 0.0]]]), torch.tensor([0])).tolist()
    [[[0.25, 0.75]]]
    """
    Z = mask.abs() if normaliser is None else normaliser
    scores = torch.einsum("ihm,jhm->hij", q[nodes].double(), k.double())
    total = (Z[:, nodes].double() * scores).sum(-1, keepdim=True)
    rows = mask[:, nodes].double() * scores / _nonzero(total)
    return torch.where(total == 0, 0.0, rows).transpose(0, 1)


def resampling_threshold(weights: Tensor, budget: int) -> float:
    """The threshold c of optimal resampling (Fearnhead and Clifford 2003).

        sum_j min(|w_j| / c, 1) = budget

    With at most ``budget`` non-zero weights nothing needs dropping: c = 0. Otherwise the largest weights, as few as
    possible, are kept for certain, and the rest share the remaining places equally, none of them above c.

    >>> resampling_threshold(torch.tensor([8.0, 1.0, -1.0, 2.0]), budget=3)
    2.0
    """
    sizes = sorted((abs(w) for w in weights.tolist() if w != 0), reverse=True)
    if len(sizes) <= budget:
        return 0.0
    shares = [sum(sizes[kept:]) / (budget - kept) for kept in range(budget)]
    return next(c for c, largest_of_the_rest in zip(shares, sizes, strict=False) if largest_of_the_rest <= c)


def _nonzero(x: Tensor) -> Tensor:
    """The denominator x with its zeros replaced by ones: 0 / 0 := 0, with a finite gradient."""
    return torch.where(x == 0, 1.0, x)


def _scale_and_hops(scale: float | Tensor, hops: int) -> tuple[Tensor, Tensor]:
    """A scale of shape [..., 1] and the hops k = 0, ..., K, both in float64."""
    s = torch.as_tensor(scale, dtype=torch.float64)
    return s.unsqueeze(-1), torch.arange(hops + 1, dtype=torch.float64, device=s.device)
