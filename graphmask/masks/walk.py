"""Masks estimated from walks, in the asymmetric and the symmetric form."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from graphmask._checks import check_integer, refuse, refuse_type
from graphmask.kernels import spmm
from graphmask.operators import MaskOperator, PowerSeriesOperator, ProductOperator, SparseOperator
from graphmask.topology import Topology
from graphmask.walks import ResampledWalks, Walks, WalkSampler

from .base import TopologicalMask, WalkDemand
from .coefficients import Coefficients, Free, NonNegative, make_coefficients


class _OnWalks(TopologicalMask):
    """What masks on walks share: coefficients per hop, and a sampler for topologies without walks."""

    def __init__(
        self,
        hops: int,
        heads: int,
        coefficients: Callable[[int, int], Coefficients],
        sampler: WalkSampler | None,
        seed: int,
    ) -> None:
        super().__init__(heads)
        self.coefficients = make_coefficients(coefficients, hops, heads)
        self.sampler = ResampledWalks(hops=hops) if sampler is None else sampler
        if not isinstance(self.sampler, WalkSampler):
            raise refuse_type("sampler", "a WalkSampler, such as ResampledWalks()", sampler)
        if self.sampler.hops < hops:
            raise refuse("sampler", f"of at least {hops} hops, as the mask", repr(self.sampler))
        self.seed = check_integer("seed", seed, 0)

    @property
    def hops(self) -> int:
        """K."""
        return self.coefficients.hops

    @property
    @abstractmethod
    def num_sets(self) -> int:
        """Number of independent sets of walks that this mask reads."""

    @property
    def walk_demand(self) -> WalkDemand:
        return WalkDemand(self.num_sets, self.sampler, self.seed)

    def _sets(self, topology: Topology) -> tuple[Walks, ...]:
        if len(topology.walk_sets) < self.num_sets:
            raise refuse(
                "topology",
                f"with {self.num_sets} set(s) of walks: topology.with_walks(...), AddWalks(sampler, sets={self.num_sets}), "
                "or mask.prepare(topology)",
                repr(topology),
            )
        for walks in topology.walk_sets[: self.num_sets]:
            if walks.num_hops < self.hops:
                raise refuse("topology", f"with walks of at least {self.hops} hops, as the mask", repr(walks))
        return topology.walk_sets[: self.num_sets]

    def _combine(self, topology: Topology, walks: Walks) -> SparseOperator:
        """``sum_t c_t S_t`` for the coefficients c of each head."""
        coefficients = self.coefficients()
        unused = coefficients.new_zeros(self.heads, walks.num_hops - self.hops)
        table = torch.cat([coefficients, unused], 1).mT.unsqueeze(0)
        value = spmm(walks.hop_pattern, walks.weight.unsqueeze(0), table)[0].mT.contiguous()
        return SparseOperator(topology, walks.pattern, value, self.coefficients.nonnegative and walks.nonnegative)

    def _series(self, topology: Topology, alpha: Tensor) -> MaskOperator:
        pattern, weight = topology.adjacency(self.sampler.normalization)
        return PowerSeriesOperator(topology, pattern, weight, alpha)


class WalkMask(_OnWalks):
    r"""The asymmetric walk mask :math:`M = \sum_{t=0}^{K} \alpha_t S_t`, where the walks give :math:`E[S_t] = W^t`.

    Unbiased for :math:`\sum_t \alpha_t W^t`; its support is sparse, so that coefficients of any sign are served and attention
    runs as pairs.

    Args:
        hops: K. (default: :obj:`8`)
        heads: H. (default: :obj:`1`)
        alpha: coefficients, see :mod:`graphmask.masks.coefficients`. (default: :class:`~graphmask.masks.Free`)
        sampler: draws the walks of a topology that has none. (default: :obj:`None`, ``ResampledWalks(hops=hops)``)
        seed: of those draws: the same seed and graph give the same walks. (default: :obj:`0`)

    Raises:
        ValueError: where the sampler, or the walks of a topology, have fewer hops than the mask.

    Cost: O(nnz(S) H) for the values, O(p) per product column for p pairs; attention in O(p (m + d)).

    Source: Reid et al. (ICLR 2025), Appendix D, eqs. 25-28.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> mask = gm.masks.WalkMask(hops=3, alpha=gm.masks.Diffusion)
        >>> operator = mask(mask.prepare(path))
        >>> bool(torch.allclose(operator.to_dense(), mask.target(path).to_dense()))  # exact: the balls fit the budget
        True
    """

    def __init__(
        self,
        hops: int = 8,
        heads: int = 1,
        alpha: Callable[[int, int], Coefficients] = Free,
        sampler: WalkSampler | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(hops, heads, alpha, sampler, seed)

    @property
    def alpha(self) -> Coefficients:
        """The coefficients."""
        return self.coefficients

    @property
    def num_sets(self) -> int:
        return 1

    def target(self, topology: Topology) -> MaskOperator:
        """The mask that this one estimates, with the normalisation of its own sampler."""
        return self._series(topology, self.coefficients())

    def _operator(self, topology: Topology) -> MaskOperator:
        return self._combine(topology, *self._sets(topology))

    def __repr__(self) -> str:
        return f"WalkMask(hops={self.hops}, heads={self.heads}, alpha={type(self.coefficients).__name__})"


class GRFMask(_OnWalks):
    r"""Graph random features: :math:`M = \Phi \Phi'^T` with :math:`\Phi = \sum_{t=0}^{K} f_t S_t`.

    When queries and keys have independent walks it is unbiased for :math:`\sum_{s,t} f_s f_t W^s (W^t)^T`. For a symmetric W
    (an undirected graph, normalised ``"sym"`` or not at all) that is :math:`\sum_{k=0}^{2K} \alpha_k W^k` with
    :math:`\alpha = f * f`, the convolution.

    Args:
        hops: K. (default: :obj:`8`)
        heads: H. (default: :obj:`1`)
        f: the modulation function, see :mod:`graphmask.masks.coefficients`; ``partial(Diffusion, scale=s / 2)`` gives the heat
            kernel of scale s. Signed coefficients are refused by attention unless graphs are small: the product hides the
            absolute values that the normaliser sums. (default: :class:`~graphmask.masks.NonNegative`)
        shared_walks: one set of walks for both factors: keeps M positive semi-definite, but biases its diagonal upward.
            (default: :obj:`False`)
        sampler: draws the walks of a topology that has none. (default: :obj:`None`, ``ResampledWalks(hops=hops)``)
        seed: of those draws. (default: :obj:`0`)

    Raises:
        ValueError: where the topology has fewer sets of walks than needed, or walks of fewer hops.

    Cost: O(p) per product column and factor, for p pairs; attention runs lifted, in O(p m d).

    Source: Reid et al. (ICLR 2025), eqs. 4-10 and algorithm 1.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> mask = gm.masks.GRFMask(hops=2)
        >>> operator = mask(mask.prepare(path))
        >>> bool(torch.allclose(operator.to_dense(), mask.target(path).to_dense(), atol=1e-5))
        True
    """

    def __init__(
        self,
        hops: int = 8,
        heads: int = 1,
        f: Callable[[int, int], Coefficients] = NonNegative,
        shared_walks: bool = False,
        sampler: WalkSampler | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(hops, heads, f, sampler, seed)
        self.shared_walks = shared_walks

    @property
    def f(self) -> Coefficients:
        """The modulation function."""
        return self.coefficients

    @property
    def num_sets(self) -> int:
        return 1 if self.shared_walks else 2

    def target(self, topology: Topology) -> MaskOperator:
        """The mask that this one estimates, with the normalisation of its own sampler."""
        factor = self._series(topology, self.coefficients())
        return ProductOperator(factor, factor.mT)

    def _operator(self, topology: Topology) -> MaskOperator:
        factors = [self._combine(topology, walks) for walks in self._sets(topology)]
        return ProductOperator(factors[0], factors[-1].mT)

    def __repr__(self) -> str:
        shared = ", shared_walks=True" if self.shared_walks else ""
        return f"GRFMask(hops={self.hops}, heads={self.heads}, f={type(self.coefficients).__name__}{shared})"
