"""Functions of the adjacency: coefficients of power series, heat kernels and the resolvent."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def diffusion(scale: float | Tensor, hops: int) -> Tensor:
    """The heat kernel exp(-s (I - W)): alpha_k = e^-s s^k / k! (Gasteiger et al. 2019).

    >>> (diffusion(2.0, hops=3) * torch.e**2).round(decimals=6).tolist()
    [1.0, 2.0, 2.0, 1.333333]
    """
    s, k = _scale_and_hops(scale, hops)
    return torch.exp(-s) * s**k / k.clamp(min=1).cumprod(0)


def pagerank(teleport: float | Tensor, hops: int) -> Tensor:
    """Personalised PageRank p (I - (1 - p) W)^-1: alpha_k = p (1 - p)^k (Gasteiger et al. 2019).

    >>> pagerank(0.5, hops=3).tolist()
    [0.5, 0.25, 0.125, 0.0625]
    """
    p, k = _scale_and_hops(teleport, hops)
    return p * (1 - p) ** k


def regularized_laplacian(scale: float | Tensor, hops: int, power: float = 1) -> Tensor:
    """The kernel (I + s (I - W))^-p (Smola and Kondor 2003).

        alpha_k = binom(k + p - 1, k) x^k (1 + s)^-p,    x = s / (1 + s)

    >>> regularized_laplacian(1.0, hops=3).tolist()
    [0.5, 0.25, 0.125, 0.0625]
    >>> regularized_laplacian(1.0, hops=3, power=2).tolist()
    [0.25, 0.25, 0.1875, 0.125]
    """
    s, k = _scale_and_hops(scale, hops)
    count = [math.prod((power + j) / (j + 1) for j in range(n)) for n in range(hops + 1)]
    binomial = torch.tensor(count, dtype=torch.float64, device=k.device)
    return binomial * (s / (1 + s)) ** k * (1 + s) ** -power


def stick_breaking(beta: Tensor) -> Tensor:
    """Shares of a stick, [H, K + 1], of the parts beta [H, K] that are broken off one by one.

        alpha_k = beta_k prod_{s<k} (1 - beta_s),    alpha_K = prod_{s<K} (1 - beta_s)

    >>> stick_breaking(torch.tensor([[0.5, 0.25]])).tolist()
    [[0.5, 0.125, 0.375]]
    """
    left, shares = torch.ones(len(beta), dtype=torch.float64), []
    for part in beta.double().unbind(1):
        shares.append(part * left)
        left = left * (1 - part)
    return torch.stack([*shares, left], 1)


def p_step_walk(scale: float | Tensor, hops: int, steps: int) -> Tensor:
    """The lazy walk ((1 - s) I + s W)^p (Smola and Kondor 2003).

        alpha_k = binom(p, k) (1 - s)^(p - k) s^k,    0 for k > p

    >>> p_step_walk(0.5, hops=3, steps=2).tolist()
    [0.25, 0.5, 0.25, 0.0]
    """
    s, _ = _scale_and_hops(scale, hops)
    chances = [
        math.comb(steps, k) * (1 - s) ** (steps - k) * s**k for k in range(min(steps, hops) + 1)
    ]
    return functional.pad(torch.cat(chances, -1), (0, max(hops - steps, 0)))


def cosine(scale: float | Tensor, hops: int) -> Tensor:
    """The kernel cos(s W) + sin(s W): alpha_k = (-1)^floor(k/2) s^k / k! (Smola and Kondor 2003).

    >>> cosine(1.0, hops=3).tolist() == [1.0, 1.0, -1 / 2, -1 / 6]
    True
    """
    s, k = _scale_and_hops(scale, hops)
    return (-1) ** (k // 2) * s**k / k.clamp(min=1).cumprod(0)


def convolution(f: Tensor, factors: int = 2) -> Tensor:
    """Coefficients of n factors f [..., K + 1] convolved, [..., nK + 1] (Reid 2025, Lemma 3.1).

        alpha_k = sum of f_{p_1} ... f_{p_n} over p_1 + ... + p_n = k

    >>> convolution(torch.tensor([1.0, 2.0, 3.0])).tolist()
    [1.0, 4.0, 10.0, 12.0, 9.0]
    >>> convolution(torch.tensor([1.0, 1.0]), factors=3).tolist()
    [1.0, 3.0, 3.0, 1.0]
    """
    f = f.double()
    alpha = torch.ones_like(f[..., :1])
    for _ in range(factors):
        sums = [
            functional.pad(alpha * f[..., p : p + 1], (p, f.shape[-1] - 1 - p))
            for p in range(f.shape[-1])
        ]
        alpha = torch.stack(sums).sum(0)
    return alpha


def deconvolution(alpha: Tensor, factors: int = 2) -> Tensor:
    """The f [..., K + 1], n of which convolve to alpha up to hop K (Reid 2024, eq. 6, for n = 2).

        f_0 = alpha_0^(1/n)
        f_k = (alpha_k - [(f_0, ..., f_{k-1}) * ... * (f_0, ..., f_{k-1})]_k) / (n f_0^(n-1))

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
        without = convolution(functional.pad(f, (0, 1)), factors)[..., k : k + 1]
        difference = alpha[..., k : k + 1] - without
        f = torch.cat([f, difference / (factors * f[..., :1] ** (factors - 1))], -1)
    return f


def _scale_and_hops(scale: float | Tensor, hops: int) -> tuple[Tensor, Tensor]:
    """A scale of shape [..., 1] and the hops k = 0, ..., K, both in float64."""
    s = torch.as_tensor(scale, dtype=torch.float64)
    return s.unsqueeze(-1), torch.arange(hops + 1, dtype=torch.float64, device=s.device)


def heat_kernel(W: Tensor, t: Tensor) -> Tensor:
    """The mask M_h = exp(-t_h (I - W)), [H, N, N], of t [H] (Kondor and Lafferty 2002).

    >>> pair = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> heat_kernel(pair, torch.tensor([100.0]))
    tensor([[[0.5000, 0.5000],
             [0.5000, 0.5000]]], dtype=torch.float64)
    """
    t = t.double()[:, None, None]
    return torch.exp(-t) * torch.matrix_exp(t * W.double())


def resolvent(W: Tensor, a: Tensor) -> Tensor:
    """The mask M_h = (I - a_h W)^-1, [H, N, N], of a [H] (Lahoti et al. 2025).

    >>> chain = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> resolvent(chain, torch.tensor([0.5])).tolist()
    [[[1.0, 0.0], [0.5, 1.0]]]
    """
    eye = torch.eye(len(W), dtype=torch.float64, device=W.device)
    return torch.linalg.inv(eye - a.double()[:, None, None] * W.double())


def cotangent_laplacian(pos: Tensor, face: Tensor) -> tuple[Tensor, Tensor]:
    """The Laplacian L [N, N] and lumped masses m [N] of a surface of triangles (Sun et al. 2009).

        L_ij = -1/2 sum of cot of the angles that face the edge ij,    L_ii = -sum_j L_ij
        m_i = 1/3 sum of the areas of the triangles at i

    >>> pos = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> L, m = cotangent_laplacian(pos, torch.tensor([[0], [1], [2]]))
    >>> (L.round(decimals=6) + 0.0).tolist(), round(float(m[0]), 6)
    ([[1.0, -0.5, -0.5], [-0.5, 0.5, 0.0], [-0.5, 0.0, 0.5]], 0.166667)
    """
    n = len(pos)
    L, m = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    for corners in zip(*(list(map(int, row)) for row in face), strict=True):
        a, b, c = pos[list(corners)].double()
        area = torch.linalg.norm(torch.linalg.cross(b - a, c - a)) / 2
        if area == 0:
            continue
        for turn in range(3):
            i, j, k = (corners[(turn + step) % 3] for step in range(3))
            u, v = pos[i].double() - pos[k].double(), pos[j].double() - pos[k].double()
            angle = torch.acos((u @ v) / (u.norm() * v.norm()))
            entries = torch.tensor([[i, j, i, j], [j, i, i, j]])
            half = 0.5 / torch.tan(angle)
            L = L.index_put(
                tuple(entries), torch.stack([-half, -half, half, half]), accumulate=True
            )
            m = m.index_add(0, torch.tensor([i]), area[None] / 3)
    return L, m


def heat_kernel_signature(L: Tensor, m: Tensor, num_times: int, k: int) -> Tensor:
    """Heat left at each vertex, [N, T], of a Laplacian L and masses m (Sun et al. 2009, eq. 4).

        HKS_i(t) = sum_k exp(-lambda_k t) phi_k(i)^2,    L phi_k = lambda_k diag(m) phi_k

    over all lambda = 0 and the k least above, at times by equal factors from 4 ln 10 / the largest
    to 4 ln 10 / the smallest of these. 0 where m is 0.

    >>> L = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    >>> heat_kernel_signature(L, torch.ones(2), num_times=1, k=1)  # 1/2 + 1/2 e^-4 ln 10
    tensor([[0.5000],
            [0.5000]], dtype=torch.float64)
    """
    massive = m > 0
    root = m[massive].double().sqrt()
    value, vector = torch.linalg.eigh(L[massive][:, massive].double() / root[:, None] / root)
    is_zero = value < 1e-9 * value.abs().max()
    above = value[~is_zero][:k]
    share = torch.linspace(0, 1, num_times, dtype=torch.float64)
    times = 4 * math.log(10) / (above[-1] ** (1 - share) * above[0] ** share)
    square = (vector / root[:, None]).square()
    heat = square[:, is_zero].sum(1, keepdim=True) + square[:, ~is_zero][:, :k] @ torch.exp(
        -above[:, None] * times
    )
    signature = torch.zeros(len(m), num_times, dtype=torch.float64)
    signature[massive] = heat
    return signature
