"""Feature maps: the kernel of attention, k(q, k) = phi(q) . phi(k) >= 0."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from graphmask._buffers import SingleBuffers
from graphmask._checks import check_number, type_error, value_error
from graphmask._part import Part
from graphmask.config import ConfigMixin

from .scores import Exponentials, InnerProducts, Scores, SquaredProducts


class FeatureMap(ConfigMixin, SingleBuffers, ABC):
    r"""Features :math:`\phi` whose inner products are the scores of linear attention.

    A feature map sends ``[..., d]`` to ``[..., m]``. A subclass implements ``queries``, and also
    ``keys`` if keys are mapped differently.

    Attributes:
        nonnegative: whether no feature can be negative, so that normalisers cannot vanish by
            cancellation.
        scores: computes the scores of pairs from features. (default: their inner products)
        sized: whether scores are given as they are, and not up to a factor per row. (default:
            :obj:`True`)
    """

    nonnegative: bool = True
    sized: bool = True
    scores: Scores = InnerProducts()

    @abstractmethod
    def queries(self, x: Tensor) -> Tensor:
        """``[..., d] -> [..., m]``."""

    def keys(self, x: Tensor) -> Tensor:
        """``[..., d] -> [..., m]``; by default as queries."""
        return self.queries(x)

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        batch: Tensor | None = None,
        num_graphs: int | None = None,
        part: Part | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Features of queries and keys ``[N, H, d]``, for attention within the graphs of ``batch``.

        A map may scale them, as long as all scores of a query and head within its graph change by
        one positive factor: numerator and normaliser share it. ``num_graphs`` spares reading it
        from ``batch``; ``part`` tells which nodes are those of this process, where several hold
        the graphs.
        """
        return self.queries(q), self.keys(k)

    @property
    def in_parts(self) -> bool:
        """True if :meth:`of_part` agrees with ``forward``: a class defines both, or none."""
        owner = next(cls for cls in type(self).__mro__ if "forward" in vars(cls))
        return "of_part" in vars(owner)

    def largest(self, k: Tensor) -> Tensor | None:
        """``[..., m]`` of keys ``[..., d]``, whose maxima over a graph :meth:`of_part` reads.

        :obj:`None` where features depend on their own node alone.
        """
        return None

    def of_part(self, q: Tensor, k: Tensor, largest: Tensor | None) -> tuple[Tensor, Tensor]:
        """``forward`` of some nodes of a graph, from the maxima of :meth:`largest` over all.

        Attention that sums nodes part by part maps them so, and again for derivatives.
        """
        return self.queries(q), self.keys(k)

    @property
    def nonnegative_scores(self) -> bool:
        """True if no score can be negative, as of exponentials, squares and such features."""
        return self.nonnegative or isinstance(self.scores, (Exponentials, SquaredProducts))

    def reset_parameters(self) -> None:
        """Reset all learnable parameters; maps without parameters do nothing."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


def check_feature_map(feature_map: FeatureMap) -> FeatureMap:
    """Check that an argument is a feature map."""
    if not isinstance(feature_map, FeatureMap):
        raise type_error("feature_map", "a FeatureMap, such as ReLU()", feature_map)
    return feature_map


def check_scale(scale: float) -> float:
    """Check that the scale of a kernel is positive."""
    if check_number("scale", scale, 0) == 0:
        raise value_error("scale", "positive", scale)
    return float(scale)
