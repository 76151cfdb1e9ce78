"""Masks on walks: coefficients per hop times estimates of the powers of W."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Literal

import torch

from graphmask._checks import check_integer, type_error, value_error
from graphmask.operators import MaskOperator, PowerSeriesOperator, SparseOperator
from graphmask.topology import Normalization, Topology
from graphmask.walks import ResampledWalks, Walks, WalkSampler

from ._drawing import WalkDemand
from .base import Structure, TopologicalMask
from .coefficients import Coefficients, Free, make_coefficients
from .shortest_path import shell_operator


class MaskOnWalks(TopologicalMask):
    """A mask of coefficients per hop, with a sampler for topologies without walks."""

    def __init__(self, coefficients: Coefficients, sampler: WalkSampler | None, seed: int) -> None:
        super().__init__(coefficients.heads)
        self.coefficients = coefficients
        self.sampler = ResampledWalks(hops=self.hops) if sampler is None else sampler
        if not isinstance(self.sampler, WalkSampler):
            raise type_error("sampler", "a WalkSampler, such as ResampledWalks()", sampler)
        if self.sampler.hops < self.hops:
            expected = f"of at least {self.hops} hops, as the mask"
            raise value_error("sampler", expected, repr(self.sampler))
        self.seed = check_integer("seed", seed, 0)

    @property
    def hops(self) -> int:
        """K."""
        return self.coefficients.hops

    @property
    @abstractmethod
    def num_sets(self) -> int:
        """Number of independent sets of walks that this mask reads."""

    @abstractmethod
    def target(self, topology: Topology) -> MaskOperator:
        """Return the mask that this one estimates, exact.

        W has the normalisation that the topology's walks were drawn with, or the sampler's where
        they do not know it. Where walks are those of :class:`~graphmask.walks.Shells`, the exact
        matrices of hop distances, those of :class:`~graphmask.masks.ShortestPathMask`, stand in the
        place of the powers of W.

        Cost: nothing yet; its products are those of a power series, O(K E) per column and factor.
        For hop distances O(p) for the p pairs of all balls, which are formed.

        Raises:
            ValueError: for hop distances, if there are more than 67,108,864 pairs.
        """

    @property
    def walk_demand(self) -> WalkDemand:
        return WalkDemand(self.num_sets, self.sampler, self.seed)

    def _structure(self, topology: Topology) -> Structure:
        sets = self._walk_sets(topology)
        return Structure([pattern for walks in sets for pattern in walks.structures])

    def _walk_sets(self, topology: Topology) -> tuple[Walks, ...]:
        """Read the sets of walks of this mask, checked."""
        sets = topology.walk_sets[: self.num_sets]
        if len(sets) < self.num_sets:
            raise value_error(
                "topology",
                f"with {self.num_sets} set(s) of walks: topology.with_walks(...), "
                f"AddWalks(sampler, sets={self.num_sets}), or mask.prepare(topology)",
                repr(topology),
            )
        needs_gradient = topology.requires_grad and torch.is_grad_enabled()
        for walks in sets:
            if walks.num_hops < self.hops:
                expected = f"with walks of at least {self.hops} hops, as the mask"
                raise value_error("topology", expected, repr(walks))
            has_gradient = walks.requires_grad or walks.normalization == "shells"  # that is zero
            if needs_gradient and not has_gradient and bool((walks.hop > 0).any()):
                raise value_error(
                    "edge_weight",
                    "without gradient beside walks that were drawn without one: detach() it, or "
                    "leave the walks to a mask whose sampler carries gradients, such as "
                    "WalkMask(sampler=IIDWalks())",
                    topology.edge_weight,
                )
        self._normalization(sets)
        return sets

    def _factors(self, topology: Topology) -> list[SparseOperator]:
        """Return ``sum_t c_t S_t`` for each set of walks and the coefficients c ``[H, K + 1]``."""
        c, factors = self.coefficients(), []
        for walks in self._walk_sets(topology):
            # Walks may have more hops than the mask.
            unused = c.new_zeros(self.heads, walks.num_hops - self.hops)
            value = walks.values(torch.cat([c, unused], 1))
            nonnegative = self.coefficients.nonnegative and walks.nonnegative
            factors.append(SparseOperator(topology, walks.pattern, value, nonnegative))
        return factors

    def _series(self, topology: Topology) -> MaskOperator:
        """Return ``sum_t c_t W^t``, or ``sum_t c_t D_t``, which each of the factors estimates."""
        normalization = self._normalization(topology.walk_sets[: self.num_sets])
        if normalization == "shells":
            return shell_operator(topology, self.coefficients)
        pattern, weight = topology.adjacency(normalization)
        nonnegative = self.coefficients.nonnegative and topology.nonnegative
        return PowerSeriesOperator(topology, pattern, weight, self.coefficients(), nonnegative)

    def _normalization(self, sets: tuple[Walks, ...]) -> Normalization | Literal["shells"]:
        """The normalisation of the W that the walks of this mask estimate, or "shells"."""
        drawn_with = {walks.normalization for walks in sets} - {"unknown"}
        if len(drawn_with) > 1:
            expected, actual = "with walks of one normalisation", sorted(map(str, drawn_with))
            raise value_error("topology", expected, actual)
        return drawn_with.pop() if drawn_with else self.sampler.normalization  # type: ignore[return-value]


class WalkMask(MaskOnWalks):
    r"""The asymmetric walk mask :math:`M = \sum_{t=0}^{K} \alpha_t S_t`.

    The walks give :math:`E[S_t] = W^t`, so that it is unbiased for :math:`\sum_t \alpha_t W^t`. Its
    support is sparse, so that attention runs as pairs and coefficients may have any sign. With
    ``symmetrize`` both directions are averaged, :math:`M = \sum_t \alpha_t (S_t + S_t^T) / 2`: a
    symmetric mask, unbiased for :math:`\sum_t \alpha_t (W^t + (W^t)^T) / 2`, which for a symmetric
    W is the same series, estimated with less variance.

    Args:
        hops: K. (default: :obj:`8`)
        heads: H. (default: :obj:`1`)
        alpha: coefficients, see :mod:`graphmask.masks.coefficients`. (default:
            :class:`~graphmask.masks.Free`)
        sampler: draws the walks of a topology that has none; :class:`~graphmask.walks.Shells` for
            coefficients of hop distances instead of powers. (default: :obj:`None`,
            ``ResampledWalks(hops=hops)``)
        seed: of those draws: the same seed and graph give the same walks. (default: :obj:`0`)
        symmetrize: whether to average both directions; the support grows to the pairs that either
            connects. (default: :obj:`False`)

    Raises:
        ValueError: if the sampler, or the walks of a topology, have fewer hops than the mask.

    Cost: O(nnz(S) H) for the values, O(p) per product column for p pairs; attention in O(p (m +
    d)). Symmetrising sorts the walks once, in O(nnz(S) log nnz(S)).

    Source: Reid et al. (ICLR 2025), Appendix D, eqs. 25-28.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> mask = gm.masks.WalkMask(hops=3, alpha=gm.masks.Diffusion)
        >>> dense = mask(mask.prepare(path)).to_dense()
        >>> bool(torch.allclose(dense, mask.target(path).to_dense()))  # the balls fit the budget
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

    @property
    def reach(self) -> int | None:
        return None if self.symmetrize else 0

    def target(self, topology: Topology) -> MaskOperator:
        series = self._series(topology)
        return 0.5 * (series + series.mT) if self.symmetrize else series

    def _operator(self, topology: Topology) -> MaskOperator:
        (mask,) = self._factors(topology)
        return mask

    def _structure(self, topology: Topology) -> Structure:
        (walks,) = self._walk_sets(topology)
        return Structure(walks.structures, walks.pattern)

    def _walk_sets(self, topology: Topology) -> tuple[Walks, ...]:
        (walks,) = super()._walk_sets(topology)
        return (walks.symmetrized if self.symmetrize else walks,)

    def __repr__(self) -> str:
        alpha = type(self.coefficients).__name__
        symmetrize = ", symmetrize=True" if self.symmetrize else ""
        return f"WalkMask(hops={self.hops}, heads={self.heads}, alpha={alpha}{symmetrize})"
