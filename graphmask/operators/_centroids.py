"""A forest taken apart at centroids.

Which sums of a function of the distance are products with Hankel matrices.

Each component of more than a few nodes is cut at the node that leaves no part with more than half
of it. Paths through that centroid have length ``D_i + D_j`` for distances D from it: the sum of g
over them is a Hankel product of sums by distance. Pairs in the same part do not pass it and are
subtracted again. What is left after O(log N) levels are small blocks, known pair by pair.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from graphmask._distances import multiples
from graphmask.kernels import Pattern
from graphmask.kernels.forest import Forest, down_sweep, up_sweep
from graphmask.topology import Topology

from ._trees import trees_of

# Nodes of components that are multiplied pair by pair.
_BLOCK = 128

# Widths of groups from which on they are rounded up to multiples of a quarter of a power of two,
# and below to powers of two.
_ROUND = 32


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of nodes by their distance from one node each: all pairs of a group meet there.

    Args:
        width: distances of a group, from 0.
        number: groups; each has as many slots as distances.
        sign: 1, or -1 where pairs are subtracted.
    """

    width: int
    number: int
    sign: int

    @property
    def slots(self) -> int:
        """Of all groups."""
        return self.width * self.number


@dataclass(frozen=True, eq=False)
class PairBlocks:
    """Components of at most ``width`` nodes.

    ``node [G, w]``, N where there is none, and distances ``[G, w, w]`` in units.
    """

    node: Tensor
    distance: Tensor


@dataclass(frozen=True, eq=False)
class Decomposition:
    """All groups and blocks; distances of ``size`` units and more are left out.

    Args:
        size: values of the table.
        groups: one after the other.
        members: which nodes each slot sums, slots of all groups by nodes.
        sign: ``[P]`` of the members' groups.
        blocks: what is known pair by pair.
    """

    size: int
    groups: list[Groups]
    members: Pattern
    sign: Tensor
    blocks: list[PairBlocks]

    @property
    def cost(self) -> float:
        """Multiply-adds per column."""
        wide = sum(each.slots * each.width.bit_length() for each in self.groups)
        return wide + 2 * self.members.nnz + sum(each.distance.numel() for each in self.blocks)


def decompose(topology: Topology, unit: float, size: int) -> Decomposition:
    """The decomposition of a topology whose lengths are multiples of a unit, for :meth:`Topology.derive`.

    Raises:
        ValueError: where they are not.

    Cost: O(N log N).
    """
    forest = topology.derive(trees_of).forest
    length = topology.derive(steps_of, unit)
    pieces, small = _taken_apart(forest, length)
    return Decomposition(
        size, *_grouped(pieces, size, len(length)), _blocks(forest, length, small, size)
    )


def steps_of(topology: Topology, unit: float) -> Tensor:
    """``[N]`` lengths of the edges above nodes in units, for :meth:`Topology.derive`.

    Raises:
        ValueError: where a length is no multiple of the unit.
    """
    return multiples(topology.derive(trees_of).lengths(topology), unit, "edge_weight")


class _Piece(NamedTuple):
    """Nodes ``[P]`` at distances from the centroids of their groups, to be added (1) or subtracted (-1)."""

    sign: int
    node: Tensor
    group: Tensor
    distance: Tensor


def _taken_apart(forest: Forest, length: Tensor) -> tuple[list[_Piece], Tensor]:
    """All levels, and for each node the block that it ends in ``[N]``, or -1 for centroids."""
    parent, ids = forest.parent, torch.arange(len(length), device=length.device)
    joined = ~forest.is_root
    depth, present, block = (
        _down(forest, joined, length),
        torch.ones_like(joined),
        torch.full_like(ids, -1),
    )
    pieces: list[_Piece] = []
    while True:
        size, top = (
            _up(forest, joined, present.long()),
            _down(forest, joined, ids.masked_fill(joined, 0)),
        )
        small = present & (size[top] <= _BLOCK)
        block[small] = top[small]
        present, joined = present & ~small, joined & ~small
        if not bool(present.any()):
            return pieces, block
        heavy = present & (2 * size >= size[top])
        centroid = _lightest(heavy.nonzero().squeeze(1), top, size)
        # The path from a node to its centroid turns at the first heavy node above it.
        turn = _down(forest, joined & ~heavy, depth.masked_fill(~heavy, 0))
        distance = depth + depth[centroid[top]] - 2 * turn
        pieces.append(_Piece(1, *_taken(present, top, distance)))
        cut = torch.zeros_like(present).index_fill(0, centroid[centroid >= 0], True)
        present, joined = present & ~cut, joined & ~cut & ~cut[parent]
        pieces.append(
            _Piece(
                -1, *_taken(present, _down(forest, joined, ids.masked_fill(joined, 0)), distance)
            )
        )


def _up(forest: Forest, joined: Tensor, x: Tensor) -> Tensor:
    """Sums over what hangs below each node by edges that still join."""
    return up_sweep(forest, joined.long().unsqueeze(0), x.reshape(1, -1, 1)).flatten()


def _down(forest: Forest, joined: Tensor, x: Tensor) -> Tensor:
    """Sums over what is above each node by edges that still join."""
    return down_sweep(forest, joined.long().unsqueeze(0), x.reshape(1, -1, 1)).flatten()


def _taken(present: Tensor, *of_nodes: Tensor) -> list[Tensor]:
    node = present.nonzero().squeeze(1)
    return [node, *(x[node] for x in of_nodes)]


def _lightest(heavy: Tensor, top: Tensor, size: Tensor) -> Tensor:
    """``[N]``, for each top of a component the heavy node with the least below it, or -1."""
    heavy = heavy[torch.argsort(top[heavy] * (len(top) + 1) + size[heavy])]
    first = torch.ones_like(heavy, dtype=torch.bool)
    first[1:] = top[heavy][1:] != top[heavy][:-1]
    return torch.full_like(top, -1).index_copy(0, top[heavy[first]], heavy[first])


def _grouped(pieces: list[_Piece], size: int, nodes: int) -> tuple[list[Groups], Pattern, Tensor]:
    """Groups of similar width together, their members and the signs of these."""
    found: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
    numbers: dict[tuple[int, int], int] = defaultdict(int)
    for piece in pieces:
        for width, number, inside, slot in _by_width(piece.group, piece.distance, size):
            kind = piece.sign, width
            found[kind].append((piece.node[inside], slot + numbers[kind] * width))
            numbers[kind] += number
    groups = [Groups(width, numbers[sign, width], sign) for sign, width in found]
    starts = list(accumulate((each.slots for each in groups), initial=0))
    none = torch.empty(0, dtype=torch.long)
    node = torch.cat([node for parts in found.values() for node, _ in parts] or [none])
    slot = torch.cat(
        [s + start for start, parts in zip(starts, found.values(), strict=False) for _, s in parts]
        or [none]
    )
    counts = [sum(len(node) for node, _ in parts) for parts in found.values()]
    signs = torch.tensor([each.sign for each in groups], dtype=torch.int8)
    signs = signs.repeat_interleave(torch.tensor(counts, dtype=torch.long))
    slot, order = torch.sort(slot, stable=True)
    return groups, Pattern.from_coo(slot, node[order], (starts[-1], nodes)), signs.to(node.device)


def _by_width(
    group: Tensor, distance: Tensor, size: int
) -> Iterator[tuple[int, int, Tensor, Tensor]]:
    """A width, groups of it, which members they have, and the slots of these."""
    group = torch.unique(group, return_inverse=True)[1]
    count = int(group.max()) + 1 if len(group) else 0
    near = distance < size
    longest = distance.new_zeros(count).scatter_reduce(0, group[near], distance[near], "amax")
    width = _rounded(longest + 1)
    for each in torch.unique(width).tolist():
        chosen = width == each
        rank = chosen.cumsum(0) - 1
        inside = (near & chosen[group]).nonzero().squeeze(1)
        yield each, int(chosen.sum()), inside, rank[group[inside]] * each + distance[inside]


def _rounded(width: Tensor) -> Tensor:
    """Up to a power of two, and large ones to a quarter of one.

    Few different widths, little of them empty.
    """
    power = 2 ** torch.ceil(torch.log2(width.double())).long()
    quarter = torch.where(power > _ROUND, power // 8, power)
    return (width + quarter - 1) // quarter * quarter


def _blocks(forest: Forest, length: Tensor, block: Tensor, size: int) -> list[PairBlocks]:
    """Blocks of similar size together."""
    place = torch.empty_like(forest.order).index_copy(
        0, forest.order, torch.arange(len(block), device=block.device)
    )
    node = (block >= 0).nonzero().squeeze(1)
    node = node[torch.argsort(block[node] * len(block) + place[node])]
    number, count = torch.unique_consecutive(block[node], return_inverse=True, return_counts=True)[
        1:
    ]
    local = torch.arange(len(node), device=node.device) - (count.cumsum(0) - count)[number]
    width = 2 ** torch.ceil(torch.log2(count.double())).long()
    made = []
    for each in torch.unique(width).tolist():
        chosen = width == each
        inside = chosen[number]
        row = (chosen.cumsum(0) - 1)[number[inside]]
        slots = torch.full((int(chosen.sum()), each), len(block), device=node.device)
        slots[row, local[inside]] = node[inside]
        made.append(
            PairBlocks(
                slots,
                _block_distances(forest, length, slots, local_of(node, local, len(block)), size),
            )
        )
    return made


def local_of(node: Tensor, local: Tensor, nodes: int) -> Tensor:
    """``[N]``, place of each node in its block."""
    return torch.zeros(nodes, dtype=torch.long, device=node.device).index_copy(0, node, local)


def _block_distances(
    forest: Forest, length: Tensor, slots: Tensor, local: Tensor, size: int
) -> Tensor:
    """``[G, w, w]``: each node is as far from those before it as its parent is, and its own edge.

    ``size`` past the table.
    """
    number, width = slots.shape
    there = slots < len(length)
    node = slots.masked_fill(~there, 0)
    parent, length = (
        local[forest.parent[node]],
        length[node].masked_fill(~there, size).clamp(max=size),
    )
    distance = torch.zeros(number, width, width, dtype=torch.int32, device=slots.device)
    every = torch.arange(number, device=slots.device)
    for t in range(1, width):
        row = (distance[every, parent[:, t], :t] + length[:, t : t + 1].int()).clamp(max=size)
        distance[:, t, :t] = distance[:, :t, t] = row
    return distance.masked_fill(~(there.unsqueeze(1) & there.unsqueeze(2)), size)
