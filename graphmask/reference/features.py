"""Feature maps; random features are functions of scaled inputs and given projections W."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


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


def unit_plus_cosine(x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
    """Features [..., 1 + d] whose inner products are 1 + tanh(g) cos(q, k), for queries.

    Keys have the gain infinity. Of a zero vector the cosine is 0.

    >>> unit_plus_cosine(torch.tensor([3.0, 4.0]), torch.tensor(torch.inf), 0.0).tolist()
    [1.0, 0.6, 0.8]
    """
    x = x.double()
    unit = x / (x.square().sum(-1, keepdim=True) + epsilon) ** 0.5
    return torch.cat([torch.ones_like(x[..., :1]), gain.double().tanh() * unit], -1)


def normalized_channels(x: Tensor, tau: Tensor, epsilon: float) -> Tensor:
    """Queries or keys [..., H, d] of the length tau d^1/2 (Henry et al. 2020), tau [H, 1].

    >>> normalized_channels(torch.tensor([3.0, 4.0]), torch.tensor(1.0), 0.0).square().mean().item()
    1.0
    """
    x, tau = x.double(), tau.double()
    return tau * x.shape[-1] ** 0.5 * x / (x.square().sum(-1, keepdim=True) + epsilon) ** 0.5


def focused_features(x: Tensor, power: float | Tensor, epsilon: float) -> Tensor:
    """The feature map phi(x) = |r| r^p / |r^p|, r = max(x, 0) + epsilon (Han et al. 2023).

    >>> focused_features(torch.tensor([2.0, -1.0]), 3.0, 1e-9).round().tolist()
    [2.0, 0.0]
    """
    r = functional.relu(x.double()) + epsilon
    return r.norm(dim=-1, keepdim=True) * r**power / (r**power).norm(dim=-1, keepdim=True)


def softplus_features(x: Tensor) -> Tensor:
    """The feature map phi(x) = log(1 + e^x).

    >>> round(float(softplus_features(torch.tensor(0.0))), 4)
    0.6931
    """
    return x.double().exp().log1p()


def squared_relu_features(x: Tensor, epsilon: float = 0.0) -> Tensor:
    """The feature map phi(x) = max(x, 0)^2 + epsilon.

    >>> squared_relu_features(torch.tensor([-1.0, 2.0]), epsilon=0.5).tolist()
    [0.5, 4.5]
    """
    return functional.relu(x.double()) ** 2 + epsilon


def exponential_features(x: Tensor) -> Tensor:
    """The feature map phi(x)_r = e^(x_r) / sum_s e^(x_s) (Shen et al. 2021).

    >>> exponential_features(torch.zeros(4)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    return x.double().exp() / x.double().exp().sum(-1, keepdim=True)


def learned_features(y: Tensor) -> Tensor:
    """The feature map phi = softmax([y, -y]) of a projection y = g(x) (Zhang et al. 2024).

    >>> learned_features(torch.tensor([100.0])).round().tolist()
    [1.0, 0.0]
    """
    return exponential_features(torch.cat([y, -y], -1))


def softmax_scores(q: Tensor, k: Tensor, scale: float) -> Tensor:
    """Scores [H, N, N] exp(scale q_i . k_j) of q, k [N, H, d] (Vaswani et al. 2017, eq. 1).

    >>> softmax_scores(torch.zeros(1, 1, 2), torch.ones(1, 1, 2), 0.5).tolist()
    [[[1.0]]]
    """
    return torch.exp(scale * torch.einsum("ihd,jhd->hij", q.double(), k.double()))


def squared_relu_scores(q: Tensor, k: Tensor, scale: float) -> Tensor:
    """Scores [H, N, N] max(scale q_i . k_j, 0)^2 of q, k [N, H, d] (Hua et al. 2022, sec. 3.1).

    >>> q = torch.tensor([[[2.0]], [[-1.0]]])
    >>> squared_relu_scores(q, torch.ones(2, 1, 1), 0.5).tolist()
    [[[1.0, 1.0], [0.0, 0.0]]]
    """
    return (scale * torch.einsum("ihd,jhd->hij", q.double(), k.double())).clamp(min=0) ** 2


def positive_random_features(x: Tensor, W: Tensor) -> Tensor:
    """FAVOR+: m^-1/2 exp(w_r . x - |x|^2 / 2) (Choromanski et al. 2021, lemma 1).

    >>> phi = positive_random_features(torch.tensor([2.0]), torch.tensor([[1.0], [-1.0]]))
    >>> phi.mul(2**0.5).log().round().tolist()
    [0.0, -4.0]
    """
    x, W = x.double(), W.double()
    exponent = torch.einsum("rd,...d->...r", W, x) - (x**2).sum(-1, keepdim=True) / 2
    return torch.exp(exponent) / math.sqrt(len(W))


def optimal_positive_features(x: Tensor, W: Tensor, A: Tensor) -> Tensor:
    """OPRF: m^-1/2 D exp(A |w|^2 + B w . x - |x|^2 / 2) (Likhosherstov et al. 2022).

    B = (1 - 4A)^1/2, D = (1 - 4A)^(d/4).

    >>> W = torch.tensor([[1.0, -2.0]])
    >>> bool(optimal_positive_features(W, W, torch.tensor(0.0)) == positive_random_features(W, W))
    True
    """
    x, W, A = x.double(), W.double(), A.double()
    B, D = torch.sqrt(1 - 4 * A), (1 - 4 * A) ** (x.shape[-1] / 4)
    linear = B * torch.einsum("rd,...d->...r", W, x)
    exponent = A * (W**2).sum(-1) + linear - (x**2).sum(-1, keepdim=True) / 2
    return D * torch.exp(exponent) / math.sqrt(len(W))


def linear_randomized_features(x: Tensor, means: Tensor, noise: Tensor) -> Tensor:
    """LARA's features, [..., m], of means and noise [m, d] (Zheng et al. 2022, balance heuristic).

        w_c = mu_c + eps_c
        phi_c = (N(w_c; 0) / sum_b N(w_c; mu_b))^(1/2) exp(w_c . x - |x|^2 / 2)

    >>> linear_randomized_features(torch.zeros(1), torch.zeros(4, 1), torch.ones(4, 1)).tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    x, means, w = x.double(), means.double(), means.double() + noise.double()
    plain = torch.exp(-w.square().sum(1) / 2)
    mixture = torch.exp(-(w[:, None] - means[None]).square().sum(2) / 2).sum(1)
    exponent = x @ w.mT - x.square().sum(-1, keepdim=True) / 2
    return (plain / mixture).sqrt() * torch.exp(exponent)


def count_features(x: Tensor, counts: Tensor, chance: Tensor, shift: Tensor) -> Tensor:
    """Features of random powers, [..., m], of counts and probabilities [m, d] (Likhosherstov 2022).

        m^-1/2 exp(c . x - |c|^2 / 2) prod_l (x_l - c_l)^w_l / sqrt(w_l! P(w_l))

    >>> two = torch.full((1, 1), 2.0)
    >>> count_features(two, torch.ones(1, 1), torch.full((1, 1), 0.25), torch.zeros(1)).tolist()
    [[4.0]]
    """
    x, c, w = x.double(), shift.double(), counts.double()
    powers = (x - c).unsqueeze(-2) ** w
    sizes = torch.exp(torch.lgamma(w + 1)) * chance.double()
    scale = torch.exp(x @ c - c.square().sum() / 2) / len(counts) ** 0.5
    return scale.unsqueeze(-1) * (powers / sizes.sqrt()).prod(-1)


def poisson_chance(counts: Tensor, rate: Tensor) -> Tensor:
    """Probabilities of counts [m, d] under Poisson laws of rates [d].

    >>> poisson_chance(torch.zeros(1, 1), torch.zeros(1) + 2).log().item()
    -2.0
    """
    w, rate = counts.double(), rate.double()
    return rate**w * torch.exp(-rate - torch.lgamma(w + 1))


def geometric_chance(counts: Tensor, product: Tensor) -> Tensor:
    """Probabilities p (1 - p)^w of counts [m, d], p that of the least I_0(2 z / sqrt(1 - p)) / p.

    Among 0.001, 0.002, ..., 0.999, for products z [d].

    >>> round(geometric_chance(torch.ones(1, 1), torch.full((1,), 1e-9)).item(), 9)
    0.000999
    """
    p = torch.arange(1, 1000, dtype=torch.float64) / 1000
    moment = torch.special.i0(2 * product.double().unsqueeze(1) / torch.sqrt(1 - p)) / p
    best = p[moment.argmin(1)]
    return best * (1 - best) ** counts.double()


def randomized_attention(q: Tensor, k: Tensor, v: Tensor, j: Tensor, noise: Tensor) -> Tensor:
    """One draw of randomized attention, [N, d], of q, k [N, c] (Zheng et al. 2022).

        w_i = q_i + k_{j_i} + eps_i,   out_i = sum_l e^(w_i . k_l - |k_l|^2 / 2) v_l / sum_l ...

    With j_i drawn by the softmax scores of i and standard normal noise it is unbiased for softmax
    attention with scores exp(q_i . k_l): quadratic, as every query has directions of its own.

    >>> one = torch.ones(2, 1)
    >>> randomized_attention(one, one, one, torch.tensor([0, 1]), torch.zeros(2, 1)).tolist()
    [[1.0], [1.0]]
    """
    q, k, v, noise = (x.double() for x in (q, k, v, noise))
    w = q + k[j] + noise
    return (w @ k.mT - k.square().sum(1) / 2).softmax(1) @ v


def optimal_curvature(phi: float, d: int) -> float:
    """The A of OPRF for a mean phi of |q + k|^2: (1 - 1/rho) / 8 (Likhosherstov 2022, thm. 3.2).

    >>> round(optimal_curvature(4.0, 4), 4)
    -0.3202
    """
    rho = (math.sqrt((2 * phi + d) ** 2 + 8 * d * phi) - 2 * phi - d) / (4 * phi)
    return (1 - 1 / rho) / 8


def sharp_positive_features(x: Tensor, W: Tensor, A: Tensor, Q: Tensor) -> Tensor:
    """FAVOR#, symmetric, for a diagonal A [d, d].

        m^-1/2 det(I - 4A)^1/4 exp(w^T A w + w^T (I - 4A)^1/2 Q^T x - |x|^2 / 2)

    >>> W, eye = torch.tensor([[1.0, -2.0]]), torch.eye(2)
    >>> scalar = optimal_positive_features(W, W, torch.tensor(-0.5))
    >>> round(float(sharp_positive_features(W, W, -0.5 * eye, eye) / scalar), 9)
    1.0
    """
    x, W, A, Q = x.double(), W.double(), A.double(), Q.double()
    rest = torch.eye(len(A), dtype=A.dtype, device=A.device) - 4 * A
    B = torch.sqrt(rest) @ Q.T
    exponent = torch.einsum("rd,de,re->r", W, A, W) + torch.einsum("rd,de,...e->...r", W, B, x)
    scale = torch.linalg.det(rest) ** 0.25 / math.sqrt(len(W))
    return scale * torch.exp(exponent - (x**2).sum(-1, keepdim=True) / 2)


def trigonometric_features(x: Tensor, W: Tensor) -> Tensor:
    """Features of the Gaussian kernel: R^-1/2 (cos(w_r . x), sin(w_r . x)) (Rahimi, Recht 2007).

    >>> trigonometric_features(torch.zeros(2), torch.ones(1, 2)).tolist()
    [1.0, 0.0]
    """
    angle = torch.einsum("rd,...d->...r", W.double(), x.double())
    return torch.cat([torch.cos(angle), torch.sin(angle)], -1) / math.sqrt(len(W))


def trigonometric_softmax_features(x: Tensor, W: Tensor) -> Tensor:
    """Features of the softmax kernel: exp(|x|^2 / 2) times the Gaussian's (2021, eq. 5).

    >>> trigonometric_softmax_features(torch.zeros(2), torch.ones(1, 2)).tolist()
    [1.0, 0.0]
    """
    return torch.exp((x.double() ** 2).sum(-1, keepdim=True) / 2) * trigonometric_features(x, W)


def hybrid_query_features(x: Tensor, positive: Tensor, trigonometric: Tensor, T: Tensor) -> Tensor:
    """Hybrid features of queries, for s = sgn(T x) n^-1/2 and both features of x.

        ([1, s] (x) positive, [1, s] (x) trigonometric) / sqrt(2)

    >>> one = torch.ones(1)
    >>> (hybrid_query_features(one, one, 2 * one, torch.ones(1, 1)) * 2**0.5).round().tolist()
    [1.0, 1.0, 2.0, 2.0]
    """
    return _hybrid(x, positive, trigonometric, T, 1)


def hybrid_key_features(x: Tensor, positive: Tensor, trigonometric: Tensor, T: Tensor) -> Tensor:
    """Hybrid features of keys (Choromanski et al. 2022).

        ([1, -s] (x) positive, [1, s] (x) trigonometric) / sqrt(2)

    With those of queries the left factors have the inner products lambda = 1/2 - mean_t
    sgn(t . q) sgn(t . k) / 2 and 1 - lambda.

    >>> one = torch.ones(1)
    >>> (hybrid_key_features(one, one, 2 * one, torch.ones(1, 1)) * 2**0.5).round().tolist()
    [1.0, -1.0, 2.0, 2.0]
    """
    return _hybrid(x, positive, trigonometric, T, -1)


def _hybrid(x: Tensor, positive: Tensor, trigonometric: Tensor, T: Tensor, side: int) -> Tensor:
    ones = torch.ones_like(x[..., :1])
    s = torch.einsum("td,...d->...t", T.double(), x.double()).sign() / math.sqrt(len(T))
    parts = (torch.cat([ones, side * s], -1), positive), (torch.cat([ones, s], -1), trigonometric)
    products = [torch.einsum("...t,...r->...tr", *part).flatten(-2) for part in parts]
    return torch.cat(products, -1) / math.sqrt(2)
