"""Scores that start at one: a filter of the graph, in which attention fades in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphmask._checks import check_integer, check_number, value_error
from graphmask.kernels.products import is_half

from ._unit import unit
from .base import FeatureMap
from .scores import OnePlusProducts


class UnitPlusCosine(FeatureMap):
    r"""``k(q, k) = 1 + tanh(g) cos(q, k)``, with a gain g per head that starts at 0.

    .. math::
        \phi_q = \Big[1,\ \tanh(g)\, \frac{q}{\sqrt{\|q\|^2 + \varepsilon}}\Big] \qquad
        \phi_k = \Big[1,\ \frac{k}{\sqrt{\|k\|^2 + \varepsilon}}\Big]

    All scores are 1 at first, so that a block starts as a filter of the graph under its mask; they
    stay between 0 and 2 whatever is learned. Bounded scores need no normaliser: use it with
    :class:`~graphmask.normalizers.Unnormalized`.

    Args:
        heads: H, or 1 for a gain that all heads share. (default: :obj:`1`)
        epsilon: added to squared norms, so that gradients are bounded. (default: :obj:`1e-4`)

    Attributes:
        gain: g ``[H]``, learned.

    Raises:
        ValueError: for queries or keys of another number of heads.

    Cost: d + 1 features.

    Source: this library's; a branch that fades in by a gain from zero is that of Bachlechner et
    al., "ReZero is All You Need: Fast Convergence at Large Depth" (UAI 2021), scores by cosines
    that of Henry et al., "Query-Key Normalization for Transformers" (Findings of EMNLP 2020).

    Example:
        >>> import torch
        >>> from graphmask.features import UnitPlusCosine
        >>> phi = UnitPlusCosine(heads=2)
        >>> q, k = phi(torch.randn(3, 2, 4), torch.randn(3, 2, 4))
        >>> torch.einsum("ihm,jhm->hij", q, k)[0, 0].tolist()
        [1.0, 1.0, 1.0]
    """

    nonnegative = False  # its scores are, its features are not
    scores = OnePlusProducts()

    def __init__(self, heads: int = 1, epsilon: float = 1e-4) -> None:
        super().__init__()
        self.heads = check_integer("heads", heads, 1)
        self.epsilon = check_number("epsilon", epsilon, 0)
        self.gain = nn.Parameter(torch.zeros(heads))

    def queries(self, x: Tensor) -> Tensor:
        if self.heads not in (1, x.shape[-2]):
            raise value_error("feature_map", f"of {x.shape[-2]} heads, as q and k", repr(self))
        return self._features(x, self.gain.tanh().unsqueeze(-1))

    def keys(self, x: Tensor) -> Tensor:
        return self._features(x, 1)

    def _features(self, x: Tensor, gain: Tensor | int) -> Tensor:
        scaled = gain * unit(x.float() if is_half(x) else x, self.epsilon)
        return torch.cat([torch.ones_like(scaled[..., :1]), scaled], -1).to(x.dtype)

    @property
    def nonnegative_scores(self) -> bool:
        return True

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.gain)

    def extra_repr(self) -> str:
        return f"heads={self.heads}"
