"""Graph random features of short walks, stitched together."""

from __future__ import annotations

from collections.abc import Callable

from graphmask.walks import WalkSampler

from ._factored import FactoredMask
from .coefficients import Coefficients


class StitchedMask(FactoredMask):
    r"""Stitched walks of degree l: :math:`M = \prod_{i=1}^{l} \Phi_{2i-1} \Phi_{2i}^T`.

    The factors :math:`\Phi_i = \sum_{t=0}^{K} f_t S^{(i)}_t` are those of
    :class:`~graphmask.masks.GRFMask`, which is degree 1. All 2l have independent walks, so that M
    is unbiased for :math:`\big( \sum_{s,t} f_s f_t W^s (W^t)^T \big)^l`. For a symmetric W that is
    :math:`\sum_{k=0}^{2lK} \alpha_k W^k` with :math:`\alpha` the 2l-fold convolution of f. Short
    walks reach far: 2lK hops.

    Given the kernel ``alpha``, its coefficients are learned and f is their root of order 2l
    (:class:`~graphmask.masks.Deconvolution`); the product then agrees with alpha up to hop K.

    Args:
        degree: l. (default: :obj:`2`)
        hops: K, of each factor. (default: :obj:`4`)
        heads: H. (default: :obj:`1`)
        f: the modulation function, see :mod:`graphmask.masks.coefficients`. Signed coefficients are
            refused by attention unless graphs are small. (default: :obj:`None`,
            :class:`~graphmask.masks.NonNegative` unless alpha is given)
        alpha: coefficients of the kernel, instead of f. (default: :obj:`None`)
        sampler: draws the walks of a topology that has none. (default: :obj:`None`,
            ``ResampledWalks(hops=hops)``)
        seed: of those draws. (default: :obj:`0`)

    Raises:
        ValueError: for both f and alpha, or a degree below 1; where the topology has fewer than 2l
            sets of walks, walks of fewer hops, or of different normalisations; where alpha has no
            root.

    Cost: O(2 l p) per product column, for p pairs in each factor; attention runs lifted, in O(l p m
    d).

    Source: Choromanski et al., "Graph Random Features++" (arXiv 2510.07716, 2025).

    Example:
        >>> import torch, graphmask as gm
        >>> step = torch.arange(9)
        >>> path = gm.Topology(torch.stack([torch.cat([step, step + 1]), torch.cat([step + 1, step])]), num_nodes=10)
        >>> mask = gm.masks.StitchedMask(degree=2, hops=2, alpha=gm.masks.Diffusion)
        >>> (mask(mask.prepare(path)).to_dense()[0, 0] > 0).tolist()  # 8 hops from walks of 2
        [True, True, True, True, True, True, True, True, True, False]
    """

    cost = "N l p"

    def __init__(
        self,
        degree: int = 2,
        hops: int = 4,
        heads: int = 1,
        f: Callable[[int, int], Coefficients] | None = None,
        alpha: Callable[[int, int], Coefficients] | None = None,
        sampler: WalkSampler | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(degree, hops, heads, f, alpha, sampler, seed)

    def __repr__(self) -> str:
        return f"StitchedMask(degree={self.degree}, hops={self.hops}, heads={self.heads}, {self._describe_f()})"
