"""Graph random features."""

from __future__ import annotations

from collections.abc import Callable

from graphmask.operators import SparseOperator
from graphmask.topology import Topology
from graphmask.walks import WalkSampler

from ._factored import FactoredMask
from .coefficients import Coefficients


class GRFMask(FactoredMask):
    r"""Graph random features: :math:`M = \Phi \Phi'^T` with :math:`\Phi = \sum_{t=0}^{K} f_t S_t`.

    When queries and keys have independent walks it is unbiased for :math:`\sum_{s,t} f_s f_t W^s
    (W^t)^T`. For a symmetric W (an undirected graph, normalised ``"sym"`` or not at all) that is
    :math:`\sum_{k=0}^{2K} \alpha_k W^k` with :math:`\alpha = f * f`, the convolution.

    There are two ways in. Given ``f``, the factors learn it directly, as published. Given the
    kernel ``alpha``, its coefficients are learned and f is their root
    (:class:`~graphmask.masks.Deconvolution`): then :math:`f * f` agrees with alpha up to hop K, and
    goes on to hop 2K with what the truncated f makes of it.

    Args:
        hops: K. (default: :obj:`8`)
        heads: H. (default: :obj:`1`)
        f: the modulation function, see :mod:`graphmask.masks.coefficients`. Signed coefficients are
            refused by attention
            unless graphs are small: the product hides the absolute values that the normaliser sums.
            (default: :obj:`None`, :class:`~graphmask.masks.NonNegative` unless alpha is given)
        shared_walks: one set of walks for both factors: keeps M positive semi-definite, but biases
            its diagonal upward. (default: :obj:`False`)
        sampler: draws the walks of a topology that has none. (default: :obj:`None`,
            ``ResampledWalks(hops=hops)``)
        seed: of those draws. (default: :obj:`0`)
        alpha: coefficients of the kernel, instead of f. (default: :obj:`None`)

    Raises:
        ValueError: for both f and alpha; where the topology has fewer sets of walks than needed,
            walks of fewer hops, or of different normalisations; where alpha has no root.

    Cost: O(p) per product column and factor, for p pairs; attention runs lifted, in O(p m d).

    Source: Reid et al. (ICLR 2025), eqs. 4-10 and algorithm 1.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> mask = gm.masks.GRFMask(hops=6, alpha=gm.masks.Diffusion)
        >>> kernel = torch.matrix_exp(path.pattern.to_dense(path.adjacency()[1]) - torch.eye(3))
        >>> bool(torch.allclose(mask(mask.prepare(path)).to_dense(), kernel, atol=1e-4))
        True
    """

    cost = "N p"

    def __init__(
        self,
        hops: int = 8,
        heads: int = 1,
        f: Callable[[int, int], Coefficients] | None = None,
        shared_walks: bool = False,
        sampler: WalkSampler | None = None,
        seed: int = 0,
        alpha: Callable[[int, int], Coefficients] | None = None,
    ) -> None:
        super().__init__(1, hops, heads, f, alpha, sampler, seed)
        self.shared_walks = shared_walks

    @property
    def num_sets(self) -> int:
        return 1 if self.shared_walks else 2

    def _factors(self, topology: Topology) -> list[SparseOperator]:
        factors = super()._factors(topology)
        return factors * 2 if self.shared_walks else factors

    def __repr__(self) -> str:
        shared = ", shared_walks=True" if self.shared_walks else ""
        return f"GRFMask(hops={self.hops}, heads={self.heads}, {self._describe_f()}{shared})"
