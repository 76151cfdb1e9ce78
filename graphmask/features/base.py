"""Feature maps: the kernel of attention, k(q, k) = phi(q) . phi(k) >= 0."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


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
