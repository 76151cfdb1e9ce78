"""Centroid decomposition of a forest, for sums of a function of the distance.

Each component of more than a few nodes is cut at its centroid, the node that leaves components of
at most half its nodes. A path through the centroid has length ``D_i + D_j`` for distances D from
it, so that the sum of g over all of them is a Hankel product of sums by distance. Pairs of the same
remaining component do not pass the centroid and are subtracted again. After O(log N) levels small
blocks remain, which are multiplied pair by pair.
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
from graphmask._precision import to_double
from graphmask.kernels import Pattern
from graphmask.kernels.forest import Forest, down_sweep, up_sweep
from graphmask.topology import Topology

from ._trees import trees_of

# Nodes of components that are multiplied pair by pair.
_BLOCK = 128

# Widths of groups are rounded up to powers of two up to here, and beyond to multiples of a quarter
# of one.
_ROUND = 32


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of nodes by their distance from a centroid, where all pairs of a group meet."""

    width: int  # distances of a group, from 0
    count: int  # groups, each of as many slots as distances
    sign: int  # -1 where pairs are subtracted

    @property
    def slots(self) -> int:
        """Slots of all groups."""
        return self.width * self.count


class PairBlocks(NamedTuple):
    """Components of at most w nodes and the distances in them."""

    node: Tensor  # [G, w], padded with N
    distance: Tensor  # [G, w, w], in units


@dataclass(frozen=True, eq=False)
class Decomposition:
    """All groups and blocks; distances of ``size`` units and more are left out.

    Args:
        size: values of the table.
        groups: one after the other.
        members: the nodes that each slot sums, slots of all groups by nodes.
        sign: ``[P]``, the sign of the group of each member.
        blocks: components that are multiplied pair by pair.
    """

    size: int
    groups: list[Groups]
    members: Pattern
    sign: Tensor
    blocks: list[PairBlocks]

    @property
    def cost(self) -> float:
        """Multiply-adds per column."""
        hankel = sum(group.slots * group.width.bit_length() for group in self.groups)
        pairs = sum(block.distance.numel() for block in self.blocks)
        return hankel + 2 * self.members.nnz + pairs


def decompose(topology: Topology, unit: float, size: int) -> Decomposition:
    """The decomposition of a topology whose lengths are multiples of a unit, in O(N log N)."""
    forest = topology.derive(trees_of).forest
    length = topology.derive(steps_of, unit)
    levels, block = _cut(forest, length)
    groups, members, sign = _group(levels, size, len(length))
    return Decomposition(size, groups, members, sign, _pair_blocks(forest, length, block, size))


def steps_of(topology: Topology, unit: float) -> Tensor:
    """``[N]``, lengths of the edges from nodes to their parents, in units."""
    return multiples(topology.derive(trees_of).lengths(topology), unit, "edge_weight")


class _Level(NamedTuple):
    """Nodes ``[P]`` at distances from a centroid, with the components they are in, and a sign."""

    sign: int
    node: Tensor
    group: Tensor
    distance: Tensor


def _cut(forest: Forest, length: Tensor) -> tuple[list[_Level], Tensor]:
    """All levels, and ``[N]`` the block in which each node ends, -1 for centroids."""
    parent, ids = forest.parent, torch.arange(len(length), device=length.device)
    joined = ~forest.is_root
    depth = _down(forest, joined, length)
    active, block = torch.ones_like(joined), torch.full_like(ids, -1)
    levels: list[_Level] = []
    while True:
        size = _up(forest, joined, active.long())
        root = _down(forest, joined, ids.masked_fill(joined, 0))
        small = active & (size[root] <= _BLOCK)
        block[small] = root[small]
        active, joined = active & ~small, joined & ~small
        if not bool(active.any()):
            return levels, block
        heavy = active & (2 * size >= size[root])
        centroid = _lightest(heavy.nonzero().squeeze(1), root, size)
        # The path from a node to its centroid turns at the first heavy node above it.
        turn = _down(forest, joined & ~heavy, depth.masked_fill(~heavy, 0))
        distance = depth + depth[centroid[root]] - 2 * turn
        levels.append(_level(1, active, root, distance))
        removed = torch.zeros_like(active).index_fill(0, centroid[centroid >= 0], True)
        active, joined = active & ~removed, joined & ~removed & ~removed[parent]
        root = _down(forest, joined, ids.masked_fill(joined, 0))
        levels.append(_level(-1, active, root, distance))


def _up(forest: Forest, joined: Tensor, x: Tensor) -> Tensor:
    """Sums over the subtrees of nodes, along edges that are still joined."""
    return up_sweep(forest, joined.long().unsqueeze(0), x.reshape(1, -1, 1)).flatten()


def _down(forest: Forest, joined: Tensor, x: Tensor) -> Tensor:
    """Sums over the ancestors of nodes, along edges that are still joined."""
    return down_sweep(forest, joined.long().unsqueeze(0), x.reshape(1, -1, 1)).flatten()


def _level(sign: int, active: Tensor, root: Tensor, distance: Tensor) -> _Level:
    node = active.nonzero().squeeze(1)
    return _Level(sign, node, root[node], distance[node])


def _lightest(heavy: Tensor, root: Tensor, size: Tensor) -> Tensor:
    """``[N]``, for the root of a component its heavy node with the smallest subtree, else -1."""
    heavy = heavy[torch.argsort(root[heavy] * (len(root) + 1) + size[heavy])]
    first = torch.ones_like(heavy, dtype=torch.bool)
    first[1:] = root[heavy][1:] != root[heavy][:-1]
    return torch.full_like(root, -1).index_copy(0, root[heavy[first]], heavy[first])


def _group(levels: list[_Level], size: int, nodes: int) -> tuple[list[Groups], Pattern, Tensor]:
    """Groups of similar width together, their members, and the signs of these."""
    members: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
    counts: dict[tuple[int, int], int] = defaultdict(int)
    for level in levels:
        for width, count, inside, slot in _by_width(level.group, level.distance, size):
            key = level.sign, width
            members[key].append((level.node[inside], slot + counts[key] * width))
            counts[key] += count
    groups = [Groups(width, counts[sign, width], sign) for sign, width in members]
    starts = list(accumulate((group.slots for group in groups), initial=0))
    nodes_of, slots_of, signs_of = [], [], []
    for group, start, pieces in zip(groups, starts, members.values(), strict=False):
        for node, slot in pieces:
            nodes_of.append(node)
            slots_of.append(slot + start)
            signs_of.append(torch.full_like(node, group.sign, dtype=torch.int8))
    if not groups:
        empty = torch.empty(0, dtype=torch.long)
        return groups, Pattern.from_coo(empty, empty, (0, nodes)), empty.to(torch.int8)
    slot, order = torch.sort(torch.cat(slots_of), stable=True)
    pattern = Pattern.from_coo(slot, torch.cat(nodes_of)[order], (starts[-1], nodes))
    # Members of one group have one sign, so that sorting them by slot leaves the signs in order.
    return groups, pattern, torch.cat(signs_of)


def _by_width(
    group: Tensor, distance: Tensor, size: int
) -> Iterator[tuple[int, int, Tensor, Tensor]]:
    """A width, the count of groups of it, their members and the slots of these."""
    group = torch.unique(group, return_inverse=True)[1]
    count = int(group.max()) + 1 if len(group) else 0
    near = distance < size
    longest = distance.new_zeros(count).scatter_reduce(0, group[near], distance[near], "amax")
    widths = _rounded(longest + 1)
    for width in torch.unique(widths).tolist():
        chosen = widths == width
        rank = chosen.cumsum(0) - 1
        inside = (near & chosen[group]).nonzero().squeeze(1)
        yield width, int(chosen.sum()), inside, rank[group[inside]] * width + distance[inside]


def _rounded(width: Tensor) -> Tensor:
    """Widths rounded up, so that few of them differ and little of a group is empty."""
    power = 2 ** torch.ceil(torch.log2(to_double(width))).long()
    step = torch.where(power > _ROUND, power // 8, power)
    return (width + step - 1) // step * step


def _pair_blocks(forest: Forest, length: Tensor, block: Tensor, size: int) -> list[PairBlocks]:
    """Blocks of similar size together, their nodes with parents before children."""
    nodes = len(block)
    ids = torch.arange(nodes, device=block.device)
    rank = torch.empty_like(forest.order).index_copy(0, forest.order, ids)
    node = (block >= 0).nonzero().squeeze(1)
    node = node[torch.argsort(block[node] * nodes + rank[node])]
    _, index, count = torch.unique_consecutive(block[node], return_inverse=True, return_counts=True)
    column = torch.arange(len(node), device=node.device) - (count.cumsum(0) - count)[index]
    column_of = torch.zeros_like(block).index_copy(0, node, column)
    widths = 2 ** torch.ceil(torch.log2(to_double(count))).long()
    blocks = []
    for width in torch.unique(widths).tolist():
        chosen = widths == width
        inside = chosen[index]
        row = (chosen.cumsum(0) - 1)[index[inside]]
        slots = torch.full((int(chosen.sum()), width), nodes, device=node.device)
        slots[row, column[inside]] = node[inside]
        distance = _block_distances(forest, length, slots, column_of, size)
        blocks.append(PairBlocks(slots, distance))
    return blocks


def _block_distances(
    forest: Forest, length: Tensor, slots: Tensor, column_of: Tensor, size: int
) -> Tensor:
    """``[G, w, w]`` distances in blocks, ``size`` where they are past the table or padded.

    A node is as far from the nodes before it as its parent is, and the edge to its parent more.
    """
    count, width = slots.shape
    present = slots < len(length)
    node = slots.masked_fill(~present, 0)
    parent = column_of[forest.parent[node]]
    length = length[node].masked_fill(~present, size).clamp(max=size)
    distance = torch.zeros(count, width, width, dtype=torch.int32, device=slots.device)
    blocks = torch.arange(count, device=slots.device)
    for t in range(1, width):
        row = (distance[blocks, parent[:, t], :t] + length[:, t : t + 1].int()).clamp(max=size)
        distance[:, t, :t] = distance[:, :t, t] = row
    return distance.masked_fill(~(present.unsqueeze(1) & present.unsqueeze(2)), size)
