"""The random-walk graph-node kernel: the similarity of the walks from two nodes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from graphmask._checks import check_integer, value_error
from graphmask.operators import MaskOperator, ProductOperator, SparseOperator
from graphmask.topology import Topology
from graphmask.walks import ResampledWalks, Walks, WalkSampler

from .base import Structure
from .coefficients import Coefficients, make_coefficients
from .walk import MaskOnWalks


class RandomWalkKernelMask(MaskOnWalks):
    r"""The cosine of visit frequencies, :math:`M_{ij} = \langle f_i, f_j \rangle / (|f_i| |f_j|)`.

    :math:`f_i(v) = \sum_{t=0}^{K} (S_t)_{iv}` counts the visits to v of walks from i, of K hops
    each to a random neighbour (weighted by edges), the start included. Both nodes read the same set
    of walks: the diagonal is 1. A node without visits has a row of zeros; one without neighbours
    visits itself.

    Published walks are independent ones of a fixed length, ``sampler=IIDWalks(100, hops=4,
    normalization="rw", length_law=FixedLength(4))``, whose frequencies are counts. The default
    sampler estimates the same expectation with less noise, and is exact where the ball of a node
    fits its budget.

    Args:
        hops: K. (default: :obj:`4`)
        heads: H. (default: :obj:`1`)
        alpha: weights of the hops per head, :math:`f_i(v) = \sum_t \alpha_t (S_t)_{iv}`, see
            :mod:`graphmask.masks.coefficients`. (default: :obj:`None`, all 1, as published: nothing
            is learned)
        sampler: draws the walks of a topology that has none.
            (default: :obj:`None`, ``ResampledWalks(hops=hops, normalization="rw")``)
        seed: of those draws. (default: :obj:`0`)

    Raises:
        ValueError: if the sampler, or the walks of a topology, have fewer hops than the mask or
            another normalisation.

    Cost: O(p) per product column, for p pairs of the walks; attention runs lifted, in O(p m d).

    Source: Choromanski et al. (ICML 2022), whose released code (GKAT) counts visits.

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> mask = gm.masks.RandomWalkKernelMask(hops=1)
        >>> # f_0 = (1, 1, 0), f_1 = (1/2, 1, 1/2), f_2 = (0, 1, 1)
        >>> mask(mask.prepare(path)).to_dense()
        tensor([[[1.0000, 0.8660, 0.5000],
                 [0.8660, 1.0000, 0.8660],
                 [0.5000, 0.8660, 1.0000]]])
    """

    cost = "N p"

    def __init__(
        self,
        hops: int = 4,
        heads: int = 1,
        alpha: Callable[[int, int], Coefficients] | None = None,
        sampler: WalkSampler | None = None,
        seed: int = 0,
    ) -> None:
        make = _Ones if alpha is None else alpha
        coefficients = make_coefficients(make, check_integer("hops", hops, 0), heads)
        if sampler is None:
            sampler = ResampledWalks(hops=hops, normalization="rw")
        super().__init__(coefficients, sampler, seed)
        _check_normalization("sampler", self.sampler.normalization)

    @property
    def num_sets(self) -> int:
        return 1

    def target(self, topology: Topology) -> MaskOperator:
        """Return the kernel of the expected frequencies.

        Cost: O(N^2), for the norms: for tests and small graphs.
        """
        series = self._series(topology)
        norm = _reciprocal_root(series.to_dense().square().sum(-1))
        scale = SparseOperator(topology, topology.pattern.identity, norm, nonnegative=True)
        return ProductOperator(scale, series, series.mT, scale)

    def _operator(self, topology: Topology) -> MaskOperator:
        (frequency,) = self._factors(topology)
        value, row = frequency.value, frequency.pattern.row
        square = value.new_zeros(len(value), topology.num_nodes).index_add(1, row, value.square())
        value = value * _reciprocal_root(square)[:, row]
        factor = SparseOperator(topology, frequency.pattern, value, frequency.nonnegative)
        return ProductOperator(factor, factor.mT)

    def _structure(self, topology: Topology) -> Structure:
        (walks,) = self._walk_sets(topology)
        return Structure([*walks.structures, walks.pattern.mT])

    def _walk_sets(self, topology: Topology) -> tuple[Walks, ...]:
        sets = super()._walk_sets(topology)
        _check_normalization("topology", self._normalization(sets))
        return sets

    def __repr__(self) -> str:
        kernel = type(self.coefficients).__name__
        alpha = "" if isinstance(self.coefficients, _Ones) else f", alpha={kernel}"
        return f"RandomWalkKernelMask(hops={self.hops}, heads={self.heads}{alpha})"


class _Ones(Coefficients):
    """Coefficients 1, which are not learned."""

    place: Tensor

    def __init__(self, hops: int, heads: int = 1) -> None:
        super().__init__(hops, heads)
        # Without values, which would be outside of the state dict: it knows device and type.
        self.register_buffer("place", torch.empty(0), persistent=False)

    def forward(self) -> Tensor:
        return self.place.new_ones(self.heads, self.hops + 1)

    def reset_parameters(self) -> None:
        pass


def _check_normalization(name: str, normalization: str | None) -> None:
    if normalization != "rw":
        expected = "with walks of normalization='rw', as visits follow probabilities"
        raise value_error(name, expected, normalization)


def _reciprocal_root(square: Tensor) -> Tensor:
    """``x^-1/2``, and 0 where x is 0: masked before the power, so that no gradient is NaN."""
    empty = square == 0
    return square.masked_fill(empty, 1).rsqrt().masked_fill(empty, 0)
