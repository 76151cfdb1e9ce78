"""A small learned feature map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphmask._checks import check_integer, value_error

from .base import FeatureMap


class LearnedFeatures(FeatureMap):
    r"""Hedgehog features: a softmax over a learned projection and its negative.

    .. math:: \phi(x) = \mathrm{softmax}\big([g(x),\ -g(x)]\big)

    with g linear, or with ``hidden`` a network of one hidden layer (ReLU). Queries and keys have
    maps of their own, which all heads share. Features lie between 0 and 1 and sum to 1: nothing
    overflows.

    Args:
        channels: d, of queries and keys.
        num_features: m, even.
        hidden: width of the hidden layer. (default: :obj:`None`, no hidden layer)

    Raises:
        ValueError: for an odd number of features.

    Cost: O(m d) per node and head, or O((m + d) hidden).

    Source: Zhang et al., "The Hedgehog and the Porcupine: Expressive Linear Attentions with Softmax
    Mimicry" (ICLR 2024), section 4.

    Example:
        >>> import torch
        >>> from graphmask.features import LearnedFeatures
        >>> LearnedFeatures(channels=4, num_features=8).queries(torch.zeros(4)).tolist()
        [0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125]
    """

    def __init__(self, channels: int, num_features: int, hidden: int | None = None) -> None:
        super().__init__()
        self.channels = check_integer("channels", channels, 1)
        self.num_features = check_integer("num_features", num_features, 2)
        if num_features % 2:
            expected = "even, each projection with its negative"
            raise value_error("num_features", expected, num_features)
        self.hidden = None if hidden is None else check_integer("hidden", hidden, 1)
        self.of_queries, self.of_keys = self._make_map(), self._make_map()
        self.reset_parameters()

    def queries(self, x: Tensor) -> Tensor:
        return _softmax_of_signs(self.of_queries(x))

    def keys(self, x: Tensor) -> Tensor:
        return _softmax_of_signs(self.of_keys(x))

    def reset_parameters(self) -> None:
        """Draw orthogonal weights: linear maps preserve lengths, up to the number of features."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.orthogonal_(module.weight)
                nn.init.zeros_(module.bias)

    def extra_repr(self) -> str:
        return f"{self.channels}, {self.num_features}, hidden={self.hidden}"

    def _make_map(self) -> nn.Module:
        half = self.num_features // 2
        if self.hidden is None:
            return nn.Linear(self.channels, half)
        return nn.Sequential(
            nn.Linear(self.channels, self.hidden), nn.ReLU(), nn.Linear(self.hidden, half)
        )


def _softmax_of_signs(x: Tensor) -> Tensor:
    return torch.cat([x, -x], -1).softmax(-1)
