"""Elementwise feature maps, m = d."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import elu, relu

from graphmask._checks import check_number

from .base import FeatureMap


class ReLU(FeatureMap):
    r"""``phi(x) = max(x, 0) + epsilon``.

    The floor keeps every score positive: a query with no positive channel attends by the mask alone.

    Args:
        epsilon: the floor. (default: :obj:`1e-3`, as in generalised Performer attention)

    Cost: O(d) per node.

    Source: Reid et al., "Linear Transformer Topological Masking with Graph Random Features" (ICLR 2025), section 4;
    Choromanski et al., "Rethinking Attention with Performers" (ICLR 2021).

    Example:
        >>> import torch
        >>> from graphmask.features import ReLU
        >>> ReLU(epsilon=0.5).keys(torch.tensor([-1.0, 2.0]))
        tensor([0.5000, 2.5000])
    """

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.epsilon = check_number("epsilon", epsilon, low=0)

    def queries(self, x: Tensor) -> Tensor:
        return relu(x) + self.epsilon

    def keys(self, x: Tensor) -> Tensor:
        return relu(x) + self.epsilon

    def __repr__(self) -> str:
        return f"ReLU(epsilon={self.epsilon})"


class EluPlusOne(FeatureMap):
    """``phi(x) = elu(x) + 1``: positive everywhere, with a gradient everywhere.

    Cost: O(d) per node.

    Source: Katharopoulos et al., "Transformers are RNNs" (ICML 2020), eq. 7.

    Example:
        >>> import torch
        >>> from graphmask.features import EluPlusOne
        >>> EluPlusOne().queries(torch.tensor([0.0, 2.0]))
        tensor([1., 3.])
    """

    def queries(self, x: Tensor) -> Tensor:
        return elu(x) + 1

    def keys(self, x: Tensor) -> Tensor:
        return elu(x) + 1

    def __repr__(self) -> str:
        return "EluPlusOne()"
