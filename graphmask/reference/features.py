"""Feature maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
