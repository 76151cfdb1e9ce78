"""Centroid decomposition of a forest, for sums of a function of the distance.

Each component of more than a few nodes is cut at its centroid, the node that leaves components of
at most half its nodes. A path through the centroid has length ``D_i + D_j`` for distances D from
it, so that the sum of g over all of them is a Hankel product of sums by distance. Pairs of the same
remaining component do not pass the centroid and are subtracted again. After O(log N) levels small
blocks remain, which are multiplied pair by pair.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    """Groups and blocks of a forest, without distances of ``size`` units and more.

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


def _cut(forest: Forest, length: Tensor) -> tuple[Tensor, Tensor]:
    """Members of groups, and ``[N]`` the block in which each node ends, -1 for centroids.

    Members are columns ``[3, P]`` of a node, a group and the distance from its centroid. Groups
    ``2 N l`` to ``2 N l + N - 1`` are the components of level l, named by their roots; in the next
    N stand the parts that remain without the centroids, whose pairs are subtracted.
    """
    parent, ids = forest.parent, torch.arange(len(length), device=length.device)
    joined = ~forest.is_root
    depth = _down(forest, joined, length)
    active, block = torch.ones_like(joined), torch.full_like(ids, -1)
    levels = [ids.new_empty(3, 0)]
    while True:
        size = _up(forest, joined, active.long())
        root = _down(forest, joined, ids.masked_fill(joined, 0))
        small = active & (size[root] <= _BLOCK)
        block[small] = root[small]
        active, joined = active & ~small, joined & ~small
        if not bool(active.any()):
            return torch.cat(levels, 1), block
        heavy = active & (2 * size >= size[root])
        # Heavy nodes are a path from the root of a component to its centroid.
        removed = heavy.index_fill(0, parent[heavy & joined], False)
        nodes = removed.nonzero().squeeze(1)
        centroid = torch.zeros_like(ids).index_copy(0, root[nodes], nodes)
        # The path from a node to its centroid turns at the first heavy node above it.
        turn = _down(forest, joined & ~heavy, depth.masked_fill(~heavy, 0))
        distance = depth + depth[centroid[root]] - 2 * turn
        first = len(ids) * (len(levels) - 1)
        levels.append(torch.stack([ids, root + first, distance])[:, active])
        active, joined = active & ~removed, joined & ~removed & ~removed[parent]
        root = _down(forest, joined, ids.masked_fill(joined, 0))
        first += len(ids)
        levels.append(torch.stack([ids, root + first, distance])[:, active])


def _up(forest: Forest, joined: Tensor, x: Tensor) -> Tensor:
    """Sums over the subtrees of nodes, along edges that are still joined."""
    return up_sweep(forest, joined.long().unsqueeze(0), x.reshape(1, -1, 1)).flatten()


def _down(forest: Forest, joined: Tensor, x: Tensor) -> Tensor:
    """Sums over the ancestors of nodes, along edges that are still joined."""
    return down_sweep(forest, joined.long().unsqueeze(0), x.reshape(1, -1, 1)).flatten()


def _group(levels: Tensor, size: int, nodes: int) -> tuple[list[Groups], Pattern, Tensor]:
    """Groups of one sign and similar width together, their members, and the signs of these."""
    node, group, distance = levels[:, levels[2] < size]
    ids, group = torch.unique(group, return_inverse=True)
    sign = 1 - 2 * (ids // max(nodes, 1) % 2)
    longest = torch.zeros_like(ids).scatter_reduce(0, group, distance, "amax")
    width = _rounded(longest + 1)
    order = torch.argsort(sign * width, stable=True)
    start = torch.empty_like(width).index_copy(0, order, width[order].cumsum(0) - width[order])
    slot, order = torch.sort(start[group] + distance, stable=True)
    keys, counts = torch.unique(sign * width, return_counts=True)
    groups = [
        Groups(abs(key), count, 1 if key > 0 else -1)
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True)
    ]
    pattern = Pattern.from_coo(slot, node[order], (int(width.sum()), nodes))
    return groups, pattern, sign[group[order]].to(torch.int8)


def _rounded(width: Tensor) -> Tensor:
    """Widths rounded up, so that few of them differ and little of a group is empty."""
    power = 2 ** torch.ceil(torch.log2(to_double(width))).long()
    step = torch.where(power > _ROUND, power // 8, power)
    return (width + step - 1) // step * step


def _pair_blocks(forest: Forest, length: Tensor, block: Tensor, size: int) -> list[PairBlocks]:
    """Blocks of similar size together, their nodes with parents before children."""
    nodes = len(block)
    node = forest.order[block[forest.order] >= 0]
    node = node[torch.argsort(block[node], stable=True)]
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
