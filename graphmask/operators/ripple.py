"""Weights by rings of distance: near pairs by rings, and one weight for everything beyond."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from graphmask._checks import value_error
from graphmask.features.scores import Scores
from graphmask.kernels import Pattern, combine_hops, combine_hops_by_row
from graphmask.kernels.products import in_one_type
from graphmask.topology import Topology

from ._grids import check_shape, coordinates, grids_of
from .algebra import SumOperator
from .attend import attend_unchecked
from .base import Attended, EntrywiseOperator, MaskOperator, Rule, Sign
from .low_rank import LowRankOperator
from .sparse import SparseOperator

# Pairs that may be stored; and pairs per multiply-add of a product up to which attention by pairs
# is the faster one: lifted columns over channels, for heads of 8 channels or more.
_MAX_PAIRS = 2**25
_LIFTED_COST = 16


class Rings(NamedTuple):
    """Near pairs of nodes and their rings.

    Attributes:
        pattern: the P pairs.
        table: ``[P, R]``, 1 at the ring of each pair.
    """

    pattern: Pattern
    table: Tensor


class _NearAndFar(SumOperator):
    """A mask of near pairs added to one of rank 1, whose sign is known.

    Near entries may have any sign, since they are what the sum is more than the other term.
    """

    def __init__(self, near: MaskOperator, far: MaskOperator) -> None:
        super().__init__(far, near)
        self.sign = Sign.of(far.nonnegative)
        self.nonnegative, self.estimate = self.sign.flags

    def _transpose(self) -> MaskOperator:
        far, near = self.terms
        return _NearAndFar(near.mT, far.mT)


class RippleOperator(_NearAndFar):
    r"""``M_ij = alpha[i, r(i, j)]`` for the ring r of near pairs, ``alpha[i, R]`` for all others.

    All others are those of the same graph. It is a sparse mask of near pairs plus one of rank 1:
    attention runs over the near pairs, and once over all nodes.

    Args:
        topology: the graphs.
        rings: near pairs, and their rings 0 to R - 1.
        alpha: ``[N, H, R + 1]``, or ``[1, H, R + 1]`` for all nodes.
        nonnegative: whether alpha cannot be negative. (default: :obj:`False`)

    Cost: O(P + N) per column for P near pairs; attention in O(P (m + d) + N m d).

    Example:
        >>> import torch, graphmask as gm
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> rings = gm.operators.Rings(path.pattern.identity, torch.ones(3, 1))
        >>> alpha = torch.tensor([[[1.0, 0.25]]])
        >>> gm.operators.RippleOperator(path, rings, alpha).to_dense()
        tensor([[[1.0000, 0.2500, 0.2500],
                 [0.2500, 1.0000, 0.2500],
                 [0.2500, 0.2500, 1.0000]]])
    """

    def __init__(
        self, topology: Topology, rings: Rings, alpha: Tensor, nonnegative: bool = False
    ) -> None:
        far = alpha[..., -1:]
        change, (pattern, table) = alpha[..., :-1] - far, rings
        if len(alpha) == 1:
            value = combine_hops(table, change[0])
        else:
            value = combine_hops_by_row(pattern, table, change)
        left = far.transpose(0, 1).expand(-1, topology.num_nodes, -1)
        near = SparseOperator(topology, pattern, value, estimate=nonnegative)
        ones = torch.ones_like(left[:1])
        super().__init__(near, LowRankOperator(topology, left, ones, nonnegative))


class GridRippleOperator(EntrywiseOperator):
    r"""``M_ij = alpha[i, r]`` for the ring r of ``max_d |x_id - x_jd|`` on a grid.

    Ring r holds distances above ``radii[r - 1]`` and up to ``radii[r]``, and ring R all beyond.
    Each graph is such a grid, its nodes in row-major order, and M is 0 between graphs.

    Products sum over windows along one axis after the other, each by differences of cumulative
    sums. Attention runs over near pairs (:class:`RippleOperator`) where these are few. Weights of
    any sign are served: their absolute values, which the denominator sums, are a ripple as well.

    Args:
        topology: graphs of ``prod(shape)`` nodes each.
        shape: ``(n_1, ..., n_D)``.
        radii: R ascending numbers from 0 on.
        alpha: ``[N, H, R + 1]``, or ``[1, H, R + 1]`` for all nodes.
        nonnegative: whether alpha cannot be negative. (default: :obj:`False`)
        of_keys: whether columns have weights, and not rows. (default: :obj:`False`)

    Raises:
        ValueError: where alpha does not fit the radii, or any graph has another number of nodes.

    Cost: O(N R D) per column; rounding is small against sums along an axis.

    Source: Zheng, Pan and Kong, "Ripple Attention for Visual Perception with Sub-quadratic
    Complexity" (ICML 2022).

    Example:
        >>> import torch, graphmask as gm
        >>> line = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=4)
        >>> alpha = torch.tensor([[[1.0, 0.5, 0.0]]])
        >>> gm.operators.GridRippleOperator(line, (4,), (0, 1), alpha) @ torch.ones(4)
        tensor([[1.5000, 2.0000, 2.0000, 1.5000]])
    """

    def __init__(
        self,
        topology: Topology,
        shape: Sequence[int],
        radii: Sequence[int],
        alpha: Tensor,
        nonnegative: bool = False,
        of_keys: bool = False,
    ) -> None:
        self.grid, self.radii, self.of_keys = check_shape(shape), tuple(radii), of_keys
        self.alpha = in_one_type(alpha)[0]
        nodes, heads, weights = alpha.shape
        if weights != len(self.radii) + 1 or nodes not in (1, topology.num_nodes):
            expected = f"of shape [N or 1, H, R + 1] with R = {len(self.radii)} radii"
            raise value_error("alpha", expected, alpha)
        self.graphs = grids_of(topology, self.grid)
        cost = topology.num_nodes * len(self.radii) * (3 * len(self.grid) + 1)
        super().__init__(topology, heads, Sign.of(nonnegative), cost)

    def _matmul(self, x: Tensor) -> Tensor:
        x, alpha = in_one_type(x, self.alpha)
        steps = torch.cat([alpha[..., :-1] - alpha[..., 1:], alpha[..., -1:]], -1).transpose(0, 1)
        x = x.expand(self.heads, -1, -1)
        if len(alpha) == 1:
            return self.graphs.map(partial(self._sum_balls, steps.unsqueeze(1)), [x])
        return self.graphs.map(self._sum_balls, [steps, x])

    def _sum_balls(self, steps: Tensor, nodes: Tensor) -> Tensor:
        """Sums over balls ``[H, G, P, C]``, times the steps ``[H, G, P, R + 1]`` of the weights."""
        x, sides = nodes.unflatten(2, self.grid), range(2, 2 + len(self.grid))
        shape = self.grid if steps.shape[2] > 1 else (1,) * len(self.grid)
        *near, far = steps.unflatten(2, shape).split(1, -1)
        if self.of_keys:
            total = (far * x).sum(tuple(sides), keepdim=True)
            for factor, radius in zip(near, self.radii, strict=True):
                (ball,) = _balls(factor * x, (radius,))
                total = total + ball
        else:
            total = far * x.sum(tuple(sides), keepdim=True)
            for factor, ball in zip(near, _balls(x, self.radii), strict=True):
                total = total + factor * ball
        return total.expand(len(total), *x.shape[1:]).flatten(2, -2)

    def _transpose(self) -> MaskOperator:
        arguments = self.topology, self.grid, self.radii, self.alpha, self.nonnegative
        return GridRippleOperator(*arguments, not self.of_keys)

    def _at(self, row: Tensor, col: Tensor) -> Tensor:
        rank = self.topology.local_index
        pairs = zip(*(coordinates(rank[node], self.grid) for node in (row, col)), strict=True)
        distance = torch.stack(torch.broadcast_tensors(*((x - y).abs() for x, y in pairs))).amax(0)
        ring, node = _ring_of(distance, self.radii), col if self.of_keys else row
        alpha = self.alpha.transpose(0, 1)
        value = alpha[:, 0, ring] if alpha.shape[1] == 1 else alpha[:, node, ring]
        return self._within_graphs(value, row, col)

    def _own_rule(self, channels: int, scores: Scores) -> Rule | None:
        if runs_by_pairs(self.topology, self.grid, self.radii):
            return self._attend_near
        return None if self.nonnegative or not scores.normalized else self._attend_signed

    def _attend_near(self, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        rings = self.topology.derive(grid_rings, self.grid, self.radii)
        near = RippleOperator(self.topology, rings, self.alpha, self.nonnegative)
        mask = near.mT if self.of_keys else near
        return attend_unchecked(mask, q, k, v, scores=scores)

    def _attend_signed(self, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Attended:
        # The denominator sums absolute weights, which are those of another ripple.
        arguments = self.topology, self.grid, self.radii, self.alpha.abs(), True, self.of_keys
        attend = partial(attend_unchecked, scores=scores.unnormalized())
        total = attend(GridRippleOperator(*arguments), q, k, torch.ones_like(v[..., :1]))
        return Attended(attend(self, q, k, v).numerator, total.numerator.squeeze(-1))


def _balls(x: Tensor, radii: Sequence[int]) -> Iterator[Tensor]:
    """Sums over the balls of each radius around all places of ``x [H, G, n_1, ..., n_D, C]``."""
    first, *others = range(2, x.dim() - 1)
    sums = x.cumsum(first)
    for radius in radii:
        if not radius:
            yield x
            continue
        ball = _window(sums, first, radius)
        for axis in others:
            ball = _window(ball.cumsum(axis), axis, radius)
        yield ball


def _window(sums: Tensor, axis: int, radius: int) -> Tensor:
    """Sums over the places of an axis within a radius, from its cumulative sums."""
    n = sums.shape[axis]
    last, ahead = sums.narrow(axis, n - 1, 1), max(0, n - radius)
    shape = [min(radius, n) if side == axis else -1 for side in range(sums.dim())]
    window = torch.cat([sums.narrow(axis, n - ahead, ahead), last.expand(shape)], axis)
    behind = max(0, n - radius - 1)
    if behind:
        window.narrow(axis, n - behind, behind).sub_(sums.narrow(axis, 0, behind))
    return window


def _ring_of(distance: Tensor, radii: Sequence[int]) -> Tensor:
    """The ring of each distance, R beyond the last radius."""
    bounds = torch.tensor(radii, dtype=distance.dtype, device=distance.device)
    return torch.searchsorted(bounds, distance.contiguous())


def runs_by_pairs(topology: Topology, shape: Sequence[int], radii: Sequence[int]) -> bool:
    """True if attention runs over near pairs of grids, and not lifted."""
    pairs = topology.num_nodes / math.prod(shape)
    for n in shape:
        reach = min(radii[-1], n - 1)
        pairs *= n * (2 * reach + 1) - reach * (reach + 1)
    lifted = topology.num_nodes * len(radii) * (3 * len(shape) + 1)
    return pairs <= min(_MAX_PAIRS, _LIFTED_COST * lifted)


def grid_rings(topology: Topology, shape: tuple[int, ...], radii: tuple[int, ...]) -> Rings:
    """Pairs within the last radius on the grids of a topology, and their rings."""
    grids_of(topology, shape)  # which checks the sizes of graphs
    device, size = topology.device, math.prod(shape)
    place = torch.stack(coordinates(torch.arange(size, device=device), shape))
    steps = [torch.arange(2 * min(radii[-1], n - 1) + 1) - min(radii[-1], n - 1) for n in shape]
    offset = torch.stack(torch.meshgrid(*steps, indexing="ij")).flatten(1).to(device)
    other = place.unsqueeze(2) + offset.unsqueeze(1)
    inside = (other >= 0) & (other < torch.tensor(shape, device=device)[:, None, None])
    row, which = inside.all(0).nonzero(as_tuple=True)
    stride = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    col = row + (offset * torch.tensor(stride, device=device).unsqueeze(1)).sum(0)[which]
    table = one_hot(_ring_of(offset.abs().amax(0), radii)[which], len(radii))
    table = table.to(torch.get_default_dtype())
    n = topology.num_nodes
    if topology.batch is None:
        return Rings(Pattern.from_coo(row, col, (n, n)) if n else topology.pattern, table[: n * n])
    nodes = torch.argsort(topology.batch, stable=True).view(-1, size)
    key, order = torch.sort((nodes[:, row] * n + nodes[:, col]).flatten())
    pattern = Pattern.from_coo(
        torch.div(key, max(n, 1), rounding_mode="floor"), key % max(n, 1), (n, n)
    )
    return Rings(pattern, table[order % max(len(row), 1)])
