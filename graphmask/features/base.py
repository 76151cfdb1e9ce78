"""Feature maps: the kernel of attention, k(q, k) = phi(q) . phi(k) >= 0."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from graphmask._checks import type_error
from graphmask._recipes import Recorded

from .scores import InnerProducts, Scores


class FeatureMap(Recorded, nn.Module, ABC):
    r"""Features :math:`\phi` whose inner products are the scores of linear attention.

    A feature map of ``[..., d]`` gives ``[..., m]``. Queries and keys may be mapped differently.

    Attributes:
        nonnegative: whether no feature can be negative, so that normalisers cannot vanish by
            cancellation.
        scores: how the scores of pairs are had from features. (default: their inner products)
    """

    nonnegative: bool = True
    scores: Scores = InnerProducts()

    @abstractmethod
    def queries(self, x: Tensor) -> Tensor:
        """``[..., d] -> [..., m]``."""

    @abstractmethod
    def keys(self, x: Tensor) -> Tensor:
        """``[..., d] -> [..., m]``."""

    def forward(
        self, q: Tensor, k: Tensor, batch: Tensor | None = None, num_graphs: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Features of queries and keys ``[N, H, d]``, for attention within the graphs of ``batch``.

        Maps of wide range may scale them, as long as all scores of a query and head within its
        graph change by one positive
        factor: numerator and normaliser share it. ``num_graphs``, where it is known, spares reading
            it from ``batch``.
        """
        return self.queries(q), self.keys(k)

    def reset_parameters(self) -> None:
        """Nothing to reset where there are no parameters."""


def check_feature_map(feature_map: FeatureMap) -> FeatureMap:
    """A feature map."""
    if not isinstance(feature_map, FeatureMap):
        raise type_error("feature_map", "a FeatureMap, such as ReLU()", feature_map)
    return feature_map
