"""Random features: phi(x) for given projections W, of x that are already scaled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def positive_random_features(x: Tensor, W: Tensor) -> Tensor:
    """FAVOR+: m^-1/2 exp(w_r . x - |x|^2 / 2) (Choromanski et al. 2021, lemma 1).

    >>> positive_random_features(torch.tensor([2.0]), torch.tensor([[1.0], [-1.0], [1.0], [1.0]])).mul(2).log().round().tolist()
    [0.0, -4.0, 0.0, 0.0]
    """
    x, W = x.double(), W.double()
    return torch.exp(
        torch.einsum("rd,...d->...r", W, x) - (x**2).sum(-1, keepdim=True) / 2
    ) / math.sqrt(len(W))


def optimal_positive_features(x: Tensor, W: Tensor, A: Tensor) -> Tensor:
    """OPRF: m^-1/2 D exp(A |w|^2 + B w .

    X - |x|^2 / 2), B = (1 - 4A)^1/2, D = (1 - 4A)^(d/4) (Likhosherstov et al. 2022).

    >>> W = torch.tensor([[1.0, -2.0]])
    >>> bool(optimal_positive_features(W, W, torch.tensor(0.0)) == positive_random_features(W, W))
    True
    """
    x, W, A = x.double(), W.double(), A.double()
    B, D = torch.sqrt(1 - 4 * A), (1 - 4 * A) ** (x.shape[-1] / 4)
    exponent = (
        A * (W**2).sum(-1)
        + B * torch.einsum("rd,...d->...r", W, x)
        - (x**2).sum(-1, keepdim=True) / 2
    )
    return D * torch.exp(exponent) / math.sqrt(len(W))


def optimal_curvature(phi: float, d: int) -> float:
    """The A of OPRF for the mean phi of |q + k|^2: (1 - 1/rho) / 8 (Likhosherstov et al.

    2022, theorem 3.2).

    >>> round(optimal_curvature(4.0, 4), 4)
    -0.3202
    """
    rho = (math.sqrt((2 * phi + d) ** 2 + 8 * d * phi) - 2 * phi - d) / (4 * phi)
    return (1 - 1 / rho) / 8


def sharp_positive_features(x: Tensor, W: Tensor, A: Tensor, Q: Tensor) -> Tensor:
    """FAVOR#, symmetric: m^-1/2 det(I - 4A)^1/4 exp(w^T A w + w^T (I - 4A)^1/2 Q^T x - |x|^2 / 2), A [d, d] diagonal.

    >>> W, eye = torch.tensor([[1.0, -2.0]]), torch.eye(2)
    >>> equal = sharp_positive_features(W, W, -0.5 * eye, eye) / optimal_positive_features(W, W, torch.tensor(-0.5))
    >>> round(float(equal), 9)
    1.0
    """
    x, W, A, Q = x.double(), W.double(), A.double(), Q.double()
    rest = torch.eye(len(A), dtype=A.dtype, device=A.device) - 4 * A
    B = torch.sqrt(rest) @ Q.T
    exponent = torch.einsum("rd,de,re->r", W, A, W) + torch.einsum("rd,de,...e->...r", W, B, x)
    return (
        torch.linalg.det(rest) ** 0.25
        * torch.exp(exponent - (x**2).sum(-1, keepdim=True) / 2)
        / math.sqrt(len(W))
    )


def trigonometric_features(x: Tensor, W: Tensor) -> Tensor:
    """Of the Gaussian kernel: R^-1/2 (cos(w_r . x), sin(w_r .

    X)), r = 1..R (Rahimi and Recht 2007).

    >>> trigonometric_features(torch.zeros(2), torch.ones(1, 2)).tolist()
    [1.0, 0.0]
    """
    angle = torch.einsum("rd,...d->...r", W.double(), x.double())
    return torch.cat([torch.cos(angle), torch.sin(angle)], -1) / math.sqrt(len(W))


def trigonometric_softmax_features(x: Tensor, W: Tensor) -> Tensor:
    """Of the softmax kernel: those of the Gaussian one, times exp(|x|^2 / 2) (Choromanski et al.

    2021, eq. 5).

    >>> trigonometric_softmax_features(torch.zeros(2), torch.ones(1, 2)).tolist()
    [1.0, 0.0]
    """
    return torch.exp((x.double() ** 2).sum(-1, keepdim=True) / 2) * trigonometric_features(x, W)


def hybrid_query_features(x: Tensor, positive: Tensor, trigonometric: Tensor, T: Tensor) -> Tensor:
    """Of queries: [1, s] (x) positive, [1, s] (x) trigonometric, with s = sgn(T x) n^-1/2, all over sqrt(2).

    >>> one = torch.ones(1)
    >>> hybrid_query_features(one, one, 2 * one, torch.ones(1, 1)).mul(math.sqrt(2)).round().tolist()
    [1.0, 1.0, 2.0, 2.0]
    """
    return _hybrid(x, positive, trigonometric, T, 1)


def hybrid_key_features(x: Tensor, positive: Tensor, trigonometric: Tensor, T: Tensor) -> Tensor:
    """Of keys: [1, -s] (x) positive, [1, s] (x) trigonometric, over sqrt(2) (Choromanski et al.

    2022).

    Inner products of the left factors are lambda = 1/2 - mean_t sgn(t . q) sgn(t . k) / 2 and 1 -
    lambda.

    >>> one = torch.ones(1)
    >>> hybrid_key_features(one, one, 2 * one, torch.ones(1, 1)).mul(math.sqrt(2)).round().tolist()
    [1.0, -1.0, 2.0, 2.0]
    """
    return _hybrid(x, positive, trigonometric, T, -1)


def _hybrid(x: Tensor, positive: Tensor, trigonometric: Tensor, T: Tensor, side: int) -> Tensor:
    ones, s = (
        torch.ones_like(x[..., :1]),
        torch.sign(torch.einsum("td,...d->...t", T.double(), x.double())) / math.sqrt(len(T)),
    )
    parts = (torch.cat([ones, side * s], -1), positive), (torch.cat([ones, s], -1), trigonometric)
    return torch.cat(
        [torch.einsum("...t,...r->...tr", *part).flatten(-2) for part in parts], -1
    ) / math.sqrt(2)
