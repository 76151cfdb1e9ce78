"""A graph decomposed by separators, laid out for products.

Blocks of distances between nodes and cells of nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from graphmask._checks import value_error
from graphmask.kernels import Pattern
from graphmask.topology import Topology

from ._separators import Cells, Ids, Leaf, Lengths, Region, Split, check_entries, decompose

# Sides of blocks are padded to the next number with so many leading bits, and blocks of equal sides
# stacked.
_BITS = 3

# Directions of edges may differ in length by this share: sums of weights are rounded.
_SYMMETRY = 1e-6


class Stack(NamedTuple):
    """Blocks of equal shape, ``distance [G, r, c]``, infinite where padded.

    With ``both`` the transposed blocks are blocks of M, too; without, they are square, and of as
    many cells each way.
    """

    distance: Tensor
    both: bool

    @property
    def sides(self) -> list[int]:
        """How many cells its rows and, with ``both``, its columns are, padded ones too."""
        count, rows, cols = self.distance.shape
        return [count * rows, count * cols] if self.both else [count * rows]


class Standing(NamedTuple):
    """Two sets of nodes, and the nodes that stand in for them when their distances are told."""

    first: Ids
    first_seed: Ids
    second: Ids
    second_seed: Ids


class Separation(NamedTuple):
    """All that products read, and what tells the distances that they stand for.

    Cells 0 to N - 1 are the nodes themselves, those of several nodes follow; the last number stands
    for no cell.
    """

    stacks: tuple[Stack, ...]
    place: Tensor  # the cells of all sides of all stacks, one after the other
    members: Pattern  # [cells of several nodes, N]
    standing: tuple[Standing, ...]
    error_bound: float
    dtype: torch.dtype  # of the distances


_Block: TypeAlias = tuple[Ids, Ids, Lengths, bool]


def separate(
    topology: Topology, tolerance: float, resolution: float, leaf_size: int, max_entries: int
) -> Separation:
    """The decomposition of the graphs, with ``topology.edge_weight`` as lengths of edges.

    Raises:
        ValueError: for negative lengths, lengths that differ with the direction, and more than
            ``max_entries`` distances.
    """
    layout = _Layout(topology.num_nodes, max_entries)
    for part in decompose(length_matrix(topology), tolerance, resolution, leaf_size, max_entries):
        layout.add(part)
    return layout.separation(topology)


def length_matrix(topology: Topology) -> csr_matrix:
    """The shortest edge between any two nodes, of each direction the same.

    Loops are left out, lengths of 0 stored.

    Raises:
        ValueError: for negative lengths, and lengths that differ with the direction.
    """
    n, (source, target) = topology.num_nodes, topology.edge_index.cpu().numpy()
    if not topology.nonnegative:
        raise value_error(
            "edge_weight", "non-negative, since the mask reads it as lengths", topology.edge_weight
        )
    weight = topology.edge_weight
    length = (
        np.ones(topology.num_edges) if weight is None else weight.detach().double().cpu().numpy()
    )
    order = np.lexsort((length, source, target))
    order = order[source[order] != target[order]]
    position = target[order] * n + source[order]
    order = order[np.diff(position, prepend=-1) != 0]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(target[order], minlength=n))])
    graph = csr_matrix((length[order], source[order], indptr), shape=(n, n))
    _check_symmetric(graph)
    return graph


def _check_symmetric(graph: csr_matrix) -> None:
    flipped = graph.T.tocsr()
    flipped.sort_indices()
    alike = np.array_equal(graph.indptr, flipped.indptr) and np.array_equal(
        graph.indices, flipped.indices
    )
    if not alike or not np.allclose(graph.data, flipped.data, rtol=_SYMMETRY, atol=0):
        raise value_error(
            "edge_index, edge_weight",
            "undirected: every edge in both directions, of equal length (see torch_geometric.utils.to_undirected)",
            "edges without their reverse"
            if not alike
            else "lengths that differ with the direction",
        )


class _Layout:
    """Blocks as they are found."""

    def __init__(self, num_nodes: int, max_entries: int) -> None:
        self.num_nodes, self.max_entries = num_nodes, max_entries
        self.blocks: list[_Block] = []
        self.members: list[Ids] = []
        self.standing: list[Standing] = []
        self.entries, self.error_bound = 0, 0.0

    def add(self, part: Split | Leaf) -> None:
        if isinstance(part, Leaf):
            self._block(part.own, part.own, part.within, False)
            return
        first, second = (
            self._cells(side, cells) for side, cells in zip(part.sides, part.cells, strict=True)
        )
        self._block(first, second, part.across, True)
        self._block(part.separator, first, part.through[0], True)
        self._block(part.separator, second, part.through[1], True)
        self._block(part.separator, part.separator, part.within, False)
        self._stand(part)

    def separation(self, topology: Topology) -> Separation:
        device, total = topology.device, self.num_nodes + len(self.members)
        weight = topology.edge_weight
        kind = (
            torch.get_default_dtype()
            if weight is None
            else torch.promote_types(weight.dtype, torch.float32)
        )
        stacks = [_stacked(group, total) for group in _groups(self.blocks)]
        place = np.concatenate(
            [
                *(each.flatten() for _, _, sides in stacks for each in sides),
                np.empty(0, dtype=np.int64),
            ]
        )
        told = tuple(
            Stack(torch.from_numpy(distance).to(device, kind), both) for distance, both, _ in stacks
        )
        counts = torch.tensor([len(each) for each in self.members], dtype=torch.long)
        nodes = np.concatenate([*self.members, np.empty(0, dtype=np.int64)])
        members = Pattern.from_counts(
            counts.to(device), torch.from_numpy(nodes).to(device), self.num_nodes
        )
        _ = members.mT  # compiled code finds it but cannot make it
        return Separation(
            told,
            torch.from_numpy(place).to(device),
            members,
            tuple(self.standing),
            self.error_bound,
            kind,
        )

    def _block(self, row: Ids, col: Ids, distance: Lengths, both: bool) -> None:
        if not distance.size:
            return
        self.entries += distance.size
        check_entries(self.entries, self.max_entries)
        self.blocks.append((row, col, distance, both))

    def _cells(self, side: Region, cells: Cells) -> Ids:
        """The number of each cell: that of its node, where it has but one."""
        order = np.argsort(cells.cell, kind="stable")
        groups = np.split(side.own[order], np.cumsum(np.bincount(cells.cell))[:-1])
        number = np.empty(len(groups), dtype=np.int64)
        for place, group in enumerate(groups):
            number[place] = group[0] if len(group) == 1 else self.num_nodes + len(self.members)
            if len(group) > 1:
                self.members.append(group)
        return number

    def _stand(self, part: Split) -> None:
        own = [side.own for side in part.sides]
        seed = [
            side.own[cells.seed[cells.cell]]
            for side, cells in zip(part.sides, part.cells, strict=True)
        ]
        self.standing += [Standing(own[0], seed[0], own[1], seed[1])]
        self.standing += [
            Standing(part.separator, part.separator, *each) for each in zip(own, seed, strict=True)
        ]
        self.error_bound = max(self.error_bound, sum(cells.radius for cells in part.cells))


def _groups(blocks: Iterable[_Block]) -> Iterator[list[_Block]]:
    """Blocks of about equal shape."""
    groups: dict[tuple[int, int, bool], list[_Block]] = {}
    for block in blocks:
        rows, cols = block[2].shape
        groups.setdefault((_rounded(rows), _rounded(cols), block[3]), []).append(block)
    yield from groups.values()


def _rounded(size: int) -> int:
    """The next number of few leading bits."""
    step = 1 << max(size.bit_length() - _BITS, 0)
    return -(-size // step) * step


def _stacked(group: list[_Block], none: int) -> tuple[Lengths, bool, list[Ids]]:
    """Blocks padded to the largest of them, and the cells of their rows and, where they are read both ways, columns."""
    both = group[0][3]
    rows, cols = (max(block[2].shape[axis] for block in group) for axis in (0, 1))
    row, col = (np.full((len(group), size), none) for size in (rows, cols))
    distance = np.full((len(group), rows, cols), np.inf)
    for number, (its_row, its_col, its_distance, _) in enumerate(group):
        row[number, : len(its_row)], col[number, : len(its_col)] = its_row, its_col
        distance[number, : len(its_row), : len(its_col)] = its_distance
    return distance, both, [row, col] if both else [row]
