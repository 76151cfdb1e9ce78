"""Softmax attention on the entries of a mask."""

from __future__ import annotations

from torch import Tensor

from .base import FeatureMap
from .projected import check_scale
from .scores import Exponentials


class SoftmaxScores(FeatureMap):
    r"""Exact softmax scores: masked softmax attention on the entries of a mask.

    .. math:: k(q, k) = \exp(s\, q \cdot k)

    No sums of finitely many features give these, so that they are formed one by one: under masks
    with a sparse support (:class:`~graphmask.operators.Pairs`), and for graphs small enough to
    build their blocks (:class:`~graphmask.operators.Dense`). Each row is divided by its largest
    score, so that nothing overflows. Under a mask of entries that are 0 or 1 this is softmax over
    the entries; under a positive mask, softmax with the bias log M; a signed mask changes signs of
    the numerator.

    Args:
        scale: s. (default: :obj:`None`, ``d ** -0.5`` for d channels)

    Raises:
        ValueError: for a scale that is not positive; attention refuses masks without sparse support
            on large graphs.

    Cost: O(d) per entry and head.

    Source: Vaswani et al., "Attention Is All You Need" (NeurIPS 2017), eq. 1.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> q, k, v = torch.randn(3, 3, 1, 4)
        >>> out = gm.attention(q, k, v, gm.masks.GlobalMask()(path), gm.features.SoftmaxScores())
        >>> bool(torch.allclose(out[:, 0], torch.softmax(q[:, 0] @ k[:, 0].T / 2, -1) @ v[:, 0], atol=1e-6))
        True
    """

    nonnegative = False
    scores = Exponentials()

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        self.scale = None if scale is None else check_scale(scale)

    def queries(self, x: Tensor) -> Tensor:
        return x * (x.shape[-1] ** -0.5 if self.scale is None else self.scale)

    def keys(self, x: Tensor) -> Tensor:
        return x

    def __repr__(self) -> str:
        return f"SoftmaxScores(scale={self.scale})"
