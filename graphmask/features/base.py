"""Feature maps: the kernel of attention, k(q, k) = phi(q) . phi(k) >= 0."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from graphmask._checks import refuse_type


class FeatureMap(nn.Module, ABC):
    r"""Features :math:`\phi` whose inner products are the scores of linear attention.

    A feature map of ``[..., d]`` gives ``[..., m]``, non-negative, so that normalisers cannot vanish by cancellation. Queries
    and keys may be mapped differently.
    """

    @abstractmethod
    def queries(self, x: Tensor) -> Tensor:
        """``[..., d] -> [..., m]``."""

    @abstractmethod
    def keys(self, x: Tensor) -> Tensor:
        """``[..., d] -> [..., m]``."""

    def reset_parameters(self) -> None:
        """Nothing to reset where there are no parameters."""


def check_feature_map(feature_map: FeatureMap) -> FeatureMap:
    """A feature map."""
    if not isinstance(feature_map, FeatureMap):
        raise refuse_type("feature_map", "a FeatureMap, such as ReLU()", feature_map)
    return feature_map
