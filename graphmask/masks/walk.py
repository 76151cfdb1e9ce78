"""Masks that are a weighted sum of walks."""

from __future__ import annotations

from collections.abc import Callable

from graphmask.kernels import Pattern
from graphmask.operators import MaskOperator
from graphmask.topology import Topology
from graphmask.walks import Walks, WalkSampler

from ._on_walks import MaskOnWalks
from .coefficients import Coefficients, Free, make_coefficients


class WalkMask(MaskOnWalks):
    r"""The asymmetric walk mask :math:`M = \sum_{t=0}^{K} \alpha_t S_t`, where the walks give :math:`E[S_t] = W^t`.

    Unbiased for :math:`\sum_t \alpha_t W^t`; its support is sparse, so that coefficients of any
    sign are served and attention runs as pairs. With ``symmetrize`` both directions are averaged,
    :math:`M = \sum_t \alpha_t (S_t + S_t^T) / 2`: a symmetric mask, unbiased for :math:`\sum_t
    \alpha_t (W^t + (W^t)^T) / 2`, which for a symmetric W is the same series, estimated with less
    variance.

    Args:
        hops: K. (default: :obj:`8`)
        heads: H. (default: :obj:`1`)
        alpha: coefficients, see :mod:`graphmask.masks.coefficients`. (default:
            :class:`~graphmask.masks.Free`)
        sampler: draws the walks of a topology that has none. (default: :obj:`None`,
            ``ResampledWalks(hops=hops)``)
        seed: of those draws: the same seed and graph give the same walks. (default: :obj:`0`)
        symmetrize: whether both directions are averaged; the support grows to the pairs that either
            connects. (default: :obj:`False`)

    Raises:
        ValueError: where the sampler, or the walks of a topology, have fewer hops than the mask.

    Cost: O(nnz(S) H) for the values, O(p) per product column for p pairs; attention in O(p (m +
    d)). Symmetrising sorts the walks once, in O(nnz(S) log nnz(S)).

    Source: Reid et al. (ICLR 2025), Appendix D, eqs. 25-28.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> mask = gm.masks.WalkMask(hops=3, alpha=gm.masks.Diffusion)
        >>> operator = mask(mask.prepare(path))
        >>> bool(torch.allclose(operator.to_dense(), mask.target(path).to_dense()))  # exact: the balls fit the budget
        True
    """

    cost = "N p"

    def __init__(
        self,
        hops: int = 8,
        heads: int = 1,
        alpha: Callable[[int, int], Coefficients] = Free,
        sampler: WalkSampler | None = None,
        seed: int = 0,
        symmetrize: bool = False,
    ) -> None:
        super().__init__(make_coefficients(alpha, hops, heads), sampler, seed)
        self.symmetrize = symmetrize

    @property
    def alpha(self) -> Coefficients:
        """The coefficients."""
        return self.coefficients

    @property
    def num_sets(self) -> int:
        return 1

    def target(self, topology: Topology) -> MaskOperator:
        series = self._series(topology)
        return 0.5 * (series + series.mT) if self.symmetrize else series

    def _operator(self, topology: Topology) -> MaskOperator:
        (mask,) = self._factors(topology)
        return mask

    def _support(self, topology: Topology) -> Pattern:
        return self._read(topology)[0].pattern

    def _read(self, topology: Topology) -> tuple[Walks, ...]:
        (walks,) = super()._read(topology)
        return (walks.symmetrized if self.symmetrize else walks,)

    def __repr__(self) -> str:
        both = ", symmetrize=True" if self.symmetrize else ""
        return f"WalkMask(hops={self.hops}, heads={self.heads}, alpha={type(self.coefficients).__name__}{both})"
