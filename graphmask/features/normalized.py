"""Queries and keys of one length, before any feature map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphmask._checks import check_integer, check_number, value_error
from graphmask._part import Part
from graphmask.kernels.products import is_half

from ._unit import unit
from .base import FeatureMap, check_feature_map


class Normalized(FeatureMap):
    r"""A feature map of queries and keys that are first divided by their length.

    .. math:: \hat x^h = \tau_h \sqrt d\, \frac{x^h}{\sqrt{\|x^h\|^2 + \varepsilon}}

    With :math:`\tau_h = 1`, the start, channels have unit mean square; scores depend on the angles
    of queries and keys alone, and their sharpness is learned per head. In
    :class:`~graphmask.features.SoftmaxScores` logits are :math:`\tau_h^2 \sqrt d \cos(q, k)`.

    Args:
        feature_map: of the normalised queries and keys.
        heads: H, or 1 for a scale that all heads share. (default: :obj:`1`)
        epsilon: added to squared norms, so that gradients are bounded. (default: :obj:`1e-4`)

    Attributes:
        tau: :math:`\tau` ``[H]``, learned.

    Raises:
        ValueError: for queries or keys of another number of heads.

    Cost: O(d) per node, and that of the feature map.

    Source: Henry et al., "Query-Key Normalization for Transformers" (Findings of EMNLP 2020), eq. 2
    (one learned scale there); Dehghani et al., "Scaling Vision Transformers to 22 Billion
    Parameters" (ICML 2023), section 2.

    Example:
        >>> import torch
        >>> from graphmask.features import Normalized, ReLU
        >>> phi = Normalized(ReLU(epsilon=0.0), heads=2)
        >>> x = torch.tensor([[[3.0, 4.0], [-1.0, 0.0]]])
        >>> bool(torch.allclose(phi.queries(x), phi.queries(10 * x), atol=1e-3))
        True
    """

    def __init__(self, feature_map: FeatureMap, heads: int = 1, epsilon: float = 1e-4) -> None:
        super().__init__()
        self.feature_map = check_feature_map(feature_map)
        self.heads = check_integer("heads", heads, 1)
        self.epsilon = check_number("epsilon", epsilon, 0)
        self.nonnegative, self.sized = feature_map.nonnegative, feature_map.sized
        self.scores = feature_map.scores
        self.tau = nn.Parameter(torch.ones(heads))

    def queries(self, x: Tensor) -> Tensor:
        return self.feature_map.queries(self._normalized(x))

    def keys(self, x: Tensor) -> Tensor:
        return self.feature_map.keys(self._normalized(x))

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        batch: Tensor | None = None,
        num_graphs: int | None = None,
        part: Part | None = None,
    ) -> tuple[Tensor, Tensor]:
        return self.feature_map(self._normalized(q), self._normalized(k), batch, num_graphs, part)

    @property
    def in_parts(self) -> bool:
        return self.feature_map.in_parts

    def largest(self, k: Tensor) -> Tensor | None:
        return self.feature_map.largest(self._normalized(k))

    def of_part(self, q: Tensor, k: Tensor, largest: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.feature_map.of_part(self._normalized(q), self._normalized(k), largest)

    def _normalized(self, x: Tensor) -> Tensor:
        if self.heads not in (1, x.shape[-2]):
            raise value_error("feature_map", f"of {x.shape[-2]} heads, as q and k", repr(self))
        wide = unit(x.float() if is_half(x) else x, self.epsilon)
        return (self.tau.unsqueeze(-1) * x.shape[-1] ** 0.5 * wide).to(x.dtype)

    def reset_parameters(self) -> None:
        nn.init.ones_(self.tau)
        self.feature_map.reset_parameters()

    def extra_repr(self) -> str:
        return f"{self.feature_map!r}, heads={self.heads}"
