"""Feature maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


def relu_features(x: Tensor, epsilon: float = 0.0) -> Tensor:
    """The feature map phi(x) = max(x, 0) + epsilon (Reid et al. 2025, Algorithm 1).

    >>> import torch
    >>> relu_features(torch.tensor([-1.0, 2.0]), epsilon=0.5).tolist()
    [0.5, 2.5]
    """
    return functional.relu(x.double()) + epsilon


def elu_plus_one(x: Tensor) -> Tensor:
    """The feature map phi(x) = x + 1 where x > 0, e^x elsewhere (Katharopoulos et al. 2020, eq. 7).

    >>> import torch
    >>> elu_plus_one(torch.tensor([0.0, 2.0])).tolist()
    [1.0, 3.0]
    """
    return functional.elu(x.double()) + 1


def softplus_features(x: Tensor) -> Tensor:
    """The feature map phi(x) = log(1 + e^x).

    >>> import torch
    >>> round(float(softplus_features(torch.tensor(0.0))), 4)
    0.6931
    """
    return x.double().exp().log1p()


def squared_relu_features(x: Tensor, epsilon: float = 0.0) -> Tensor:
    """The feature map phi(x) = max(x, 0)^2 + epsilon.

    >>> import torch
    >>> squared_relu_features(torch.tensor([-1.0, 2.0]), epsilon=0.5).tolist()
    [0.5, 4.5]
    """
    return functional.relu(x.double()) ** 2 + epsilon


def exponential_features(x: Tensor) -> Tensor:
    """The feature map phi(x)_r = e^(x_r) / sum_s e^(x_s) (Shen et al. 2021).

    >>> import torch
    >>> exponential_features(torch.zeros(4)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    return x.double().exp() / x.double().exp().sum(-1, keepdim=True)


def learned_features(y: Tensor) -> Tensor:
    """The feature map phi = softmax([y, -y]) of a projection y = g(x) (Zhang et al. 2024).

    >>> import torch
    >>> learned_features(torch.tensor([100.0])).round().tolist()
    [1.0, 0.0]
    """
    return exponential_features(torch.cat([y, -y], -1))


def softmax_scores(q: Tensor, k: Tensor, scale: float) -> Tensor:
    """Scores [H, N, N] exp(scale q_i . k_j) of q, k [N, H, d] (Vaswani et al. 2017, eq. 1).

    >>> import torch
    >>> softmax_scores(torch.zeros(1, 1, 2), torch.ones(1, 1, 2), 0.5).tolist()
    [[[1.0]]]
    """
    return torch.exp(scale * torch.einsum("ihd,jhd->hij", q.double(), k.double()))
