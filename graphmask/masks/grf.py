"""Graph random features: products of masks on independent walks."""

from __future__ import annotations

from collections.abc import Callable

from graphmask._checks import check_integer, value_error
from graphmask.operators import MaskOperator, ProductOperator
from graphmask.topology import Topology
from graphmask.walks import WalkSampler

from .base import Structure
from .coefficients import Coefficients, Deconvolution, NonNegative, make_coefficients
from .walk import MaskOnWalks

Make = Callable[[int, int], Coefficients]


class StitchedMask(MaskOnWalks):
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
        f: the modulation function, see :mod:`graphmask.masks.coefficients`. Signed
            coefficients raise an error in attention unless graphs are small. (default: :obj:`None`,
            :class:`~graphmask.masks.NonNegative` unless alpha is given)
        alpha: coefficients of the kernel, instead of f. (default: :obj:`None`)
        sampler: draws the walks of a topology that has none. (default: :obj:`None`,
            ``ResampledWalks(hops=hops)``)
        seed: of those draws. (default: :obj:`0`)

    Raises:
        ValueError: for both f and alpha, or a degree below 1; if the topology has fewer than 2l
            sets of walks, walks of fewer hops, or of different normalisations; if alpha has no
            root.

    Cost: O(2 l p) per product column, for p pairs in each factor; attention runs lifted, in O(l p m
    d).

    Source: Choromanski et al., "Graph Random Features++" (arXiv 2510.07716, 2025).

    Example:
        >>> import torch, graphmask as gm
        >>> step = torch.arange(9)
        >>> edges = torch.stack([torch.cat([step, step + 1]), torch.cat([step + 1, step])])
        >>> path = gm.Topology(edges, num_nodes=10)
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
        f: Make | None = None,
        alpha: Make | None = None,
        sampler: WalkSampler | None = None,
        seed: int = 0,
    ) -> None:
        if f is not None and alpha is not None:
            expected = "given one at most: the coefficients of each factor, or of the product"
            raise value_error("f, alpha", expected, "both")
        check_integer("degree", degree, 1)
        if alpha is None:
            modulation = make_coefficients(NonNegative if f is None else f, hops, heads)
        else:
            modulation = Deconvolution(make_coefficients(alpha, hops, heads), 2 * degree)
        super().__init__(modulation, sampler, seed)
        self.degree = degree

    @property
    def f(self) -> Coefficients:
        """The modulation function."""
        return self.coefficients

    @property
    def num_sets(self) -> int:
        return 2 * self.degree

    def target(self, topology: Topology) -> MaskOperator:
        factor = self._series(topology)
        return ProductOperator(*[factor, factor.mT] * self.degree)

    def _operator(self, topology: Topology) -> MaskOperator:
        factors: list[MaskOperator] = list(self._factors(topology))
        if self.num_sets == 1:
            factors = factors * 2
        factors[1::2] = [factor.mT for factor in factors[1::2]]
        return ProductOperator(*factors)

    def _structure(self, topology: Topology) -> Structure:
        sets = self._walk_sets(topology)
        patterns = [pattern for walks in sets for pattern in walks.structures]
        transposed = sets[1::2] or sets
        return Structure([*patterns, *(walks.pattern.mT for walks in transposed)])

    def _describe_f(self) -> str:
        """The argument that f was made from."""
        if isinstance(self.f, Deconvolution):
            return f"alpha={type(self.f.alpha).__name__}"
        return f"f={type(self.f).__name__}"

    def __repr__(self) -> str:
        sizes = f"degree={self.degree}, hops={self.hops}, heads={self.heads}"
        return f"StitchedMask({sizes}, {self._describe_f()})"


class GRFMask(StitchedMask):
    r"""Graph random features: :math:`M = \Phi \Phi'^T` with :math:`\Phi = \sum_{t=0}^{K} f_t S_t`.

    Both factors have independent walks, so that M is unbiased for :math:`\sum_{s,t} f_s f_t W^s
    (W^t)^T`. For a symmetric W (an undirected graph, normalised ``"sym"`` or not at all) that is
    :math:`\sum_{k=0}^{2K} \alpha_k W^k` with :math:`\alpha = f * f`, the convolution.

    Given ``f``, the factors learn it directly, as published. Given the kernel ``alpha``, its
    coefficients are learned and f is their root (:class:`~graphmask.masks.Deconvolution`): then
    :math:`f * f` agrees with alpha up to hop K, and continues to hop 2K with what the truncated f
    gives.

    Args:
        hops: K. (default: :obj:`8`)
        heads: H. (default: :obj:`1`)
        f: the modulation function, see :mod:`graphmask.masks.coefficients`. Signed
            coefficients raise an error in attention unless graphs are small: its normaliser sums
            absolute values, which the product hides. (default: :obj:`None`,
            :class:`~graphmask.masks.NonNegative` unless alpha is given)
        shared_walks: one set of walks for both factors: keeps M positive semi-definite, but biases
            its diagonal upward. (default: :obj:`False`)
        sampler: draws the walks of a topology that has none. (default: :obj:`None`,
            ``ResampledWalks(hops=hops)``)
        seed: of those draws. (default: :obj:`0`)
        alpha: coefficients of the kernel, instead of f. (default: :obj:`None`)

    Raises:
        ValueError: for both f and alpha; if the topology has fewer sets of walks than needed, walks
            of fewer hops, or of different normalisations; if alpha has no root.

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
        f: Make | None = None,
        shared_walks: bool = False,
        sampler: WalkSampler | None = None,
        seed: int = 0,
        alpha: Make | None = None,
    ) -> None:
        super().__init__(1, hops, heads, f, alpha, sampler, seed)
        self.shared_walks = shared_walks

    @property
    def num_sets(self) -> int:
        return 1 if self.shared_walks else 2

    def __repr__(self) -> str:
        shared = ", shared_walks=True" if self.shared_walks else ""
        return f"GRFMask(hops={self.hops}, heads={self.heads}, {self._describe_f()}{shared})"
