"""Weights by rings of distance around each node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from graphmask._checks import check_integer, value_error
from graphmask.operators import GridRippleOperator, MaskOperator, Rings, RippleOperator
from graphmask.operators._grids import check_shape
from graphmask.operators.ripple import grid_rings, runs_by_pairs
from graphmask.topology import Topology

from ._node_coefficients import make_shift, node_coefficients
from .base import Structure, TopologicalMask
from .coefficients import Coefficients, StickBreaking, make_coefficients
from .shortest_path import k_hop_balls_of

_MAX_ENTRIES = 2**26


class RippleMask(TopologicalMask):
    r"""A learned weight per ring of distance, and one for everything beyond the rings.

    .. math:: M_{ij} = \alpha_{r(d_{ij})}, \qquad r(d) = \min\{k : d \le \rho_k\}, \text{ or } R

    for radii :math:`\rho_0 < \dots < \rho_{R-1}`. With a ``shape`` every graph is a grid of it, its
    nodes in row-major order, and d is the Chebyshev distance :math:`\max_d |x_{id} - x_{jd}|`, so
    that rings are the frames of squares or cubes; edges are not read. Without, d counts the hops of
    a shortest path from j to i, on any graph, and nodes without a path lie beyond all rings.

    Weights break a stick: each ring takes a share of what nearer ones have left, and the rest goes
    beyond (:class:`~graphmask.masks.StickBreaking`). Any other family of coefficients will do. With
    ``channels`` each query has weights of its own: a linear function of its features moves the
    parameters, as in :class:`~graphmask.masks.AdaptiveWalkMask`.

    Args:
        radii: R ascending whole numbers from 0 on; or R, for the radii 0 to R - 1. (default:
            :obj:`4`)
        heads: H. (default: :obj:`1`)
        shape: lengths of the 1, 2 or 3 axes of grids. (default: :obj:`None`, hop distances)
        alpha: the weights of rings 0 to R, see :mod:`graphmask.masks.coefficients`. (default:
            :class:`~graphmask.masks.StickBreaking`)
        channels: C, of the features of nodes that weights depend on. (default: :obj:`None`, all
            nodes share them)
        max_entries: pairs within the last radius that may be stored, for hop distances. (default:
            67,108,864)

    Raises:
        ValueError: for radii that do not ascend; on a topology, for graphs of another number of
            nodes than the shape, features of other than C channels, and, by hops, more pairs than
            ``max_entries``.

    Cost: on grids of D axes O(N R D) per product column, whatever the radii; attention runs over
    the p pairs within the last radius and once over all nodes, in O(p (m + d) + N m d), where these
    are few, else lifted. By hops O(p + N) per column, and p pairs are found once per graph.

    Source: Zheng, Pan and Kong, "Ripple Attention for Visual Perception with Sub-quadratic
    Complexity" (ICML 2022), for images. There rings end where less than a threshold of the stick is
    left, here with ``radii``; there is no public code of it, and how weights follow from features
    was chosen here.

    Example:
        >>> import torch, graphmask as gm
        >>> mask = gm.masks.RippleMask(radii=2, shape=(1, 4), alpha=gm.masks.Free)
        >>> mask.alpha.value.data = torch.tensor([[1.0, 0.5, 0.1]])
        >>> mask(gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=4)).to_dense()
        tensor([[[1.0000, 0.5000, 0.1000, 0.1000],
                 [0.5000, 1.0000, 0.5000, 0.1000],
                 [0.1000, 0.5000, 1.0000, 0.5000],
                 [0.1000, 0.1000, 0.5000, 1.0000]]], grad_fn=<IndexBackward0>)
    """

    def __init__(
        self,
        radii: int | Sequence[int] = 4,
        heads: int = 1,
        shape: int | Sequence[int] | None = None,
        alpha: Callable[[int, int], Coefficients] = StickBreaking,
        channels: int | None = None,
        max_entries: int = _MAX_ENTRIES,
    ) -> None:
        super().__init__(heads)
        self.radii = _check_radii(radii)
        self.shape = None if shape is None else check_shape(shape, (1, 2, 3))
        self.alpha = make_coefficients(alpha, len(self.radii), heads)
        self.shift = None if channels is None else make_shift(self.alpha, channels)
        self.max_entries = check_integer("max_entries", max_entries, 1)

    @property
    def cost(self) -> str:  # type: ignore[override]
        """N R on grids, N p by hops."""
        return "N p" if self.shape is None else "N R"

    @property
    def ordered(self) -> bool:  # type: ignore[override]
        """True for grids."""
        return self.shape is not None

    def reset_parameters(self) -> None:
        self.alpha.reset_parameters()
        if self.shift is not None:
            self.shift.data.zero_()

    def weights(self, topology: Topology) -> Tensor:
        """``[N, H, R + 1]``, the weights of the rings of each node, or ``[1, H, R + 1]`` of all."""
        if self.shift is None:
            return self.alpha().unsqueeze(0)
        return node_coefficients(self.alpha, self.shift, topology)

    def _operator(self, topology: Topology) -> MaskOperator:
        alpha, nonnegative = self.weights(topology), self.alpha.nonnegative
        if self.shape is not None:
            return GridRippleOperator(topology, self.shape, self.radii, alpha, nonnegative)
        rings = topology.derive(hop_rings, self.radii, self.max_entries)
        return RippleOperator(topology, rings, alpha, nonnegative)

    def _structure(self, topology: Topology) -> Structure:
        if self.shape is None:
            return Structure([topology.derive(hop_rings, self.radii, self.max_entries).pattern])
        if not runs_by_pairs(topology, self.shape, self.radii):
            return Structure()
        return Structure([topology.derive(grid_rings, self.shape, self.radii).pattern])

    def __repr__(self) -> str:
        alpha = type(self.alpha).__name__
        channels = "" if self.shift is None else f", channels={self.shift.shape[2]}"
        shape = "" if self.shape is None else f", shape={self.shape}"
        return f"RippleMask(radii={self.radii}, heads={self.heads}{shape}, alpha={alpha}{channels})"


def hop_rings(topology: Topology, radii: tuple[int, ...], max_entries: int) -> Rings:
    """Pairs within the last radius by hops, and their rings."""
    pattern, hops = k_hop_balls_of(topology, radii[-1], max_entries)
    lower = [-1, *radii[:-1]]
    hop = torch.arange(radii[-1] + 1, device=topology.device)
    inside = [(hop > low) & (hop <= high) for low, high in zip(lower, radii, strict=True)]
    return Rings(pattern, hops @ torch.stack(inside, 1).to(hops.dtype))


def _check_radii(radii: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(radii, int):
        return tuple(range(check_integer("radii", radii, 1)))
    if not isinstance(radii, (list, tuple)) or not radii:
        raise value_error("radii", "ascending whole numbers from 0 on, or how many", radii)
    radii = tuple(check_integer("radii", radius, 0) for radius in radii)
    if any(a >= b for a, b in pairwise(radii)):
        raise value_error("radii", "ascending", radii)
    return radii
