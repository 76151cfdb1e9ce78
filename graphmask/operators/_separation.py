"""A graph decomposed by separators, as blocks of distances between cells of nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from graphmask._checks import value_error
from graphmask._precision import to_double
from graphmask.kernels import Pattern
from graphmask.topology import Topology

from ._separators import Cells, Ids, Leaves, Lengths, Region, Split, check_entries, decompose

# Sides of blocks are padded to the next number with this many leading bits, and blocks of equal
# sides stacked.
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
        """Numbers of cells of all rows and, with ``both``, of all columns, with padding."""
        count, rows, cols = self.distance.shape
        return [count * rows, count * cols] if self.both else [count * rows]


class Standing(NamedTuple):
    """Two sets of nodes, and the seeds whose distances are used instead of theirs."""

    first: Ids
    first_seed: Ids
    second: Ids
    second_seed: Ids


class Separation(NamedTuple):
    """Blocks of distances, and the nodes that they are used for.

    Cells 0 to N - 1 are single nodes, cells of several nodes follow, and the last index is padding.
    """

    stacks: tuple[Stack, ...]
    cell: Tensor  # the cells of all sides of all stacks, one after the other
    members: Pattern  # [cells of several nodes, N]
    standing: tuple[Standing, ...]
    error_bound: float


# G blocks of equal shape: nodes of rows ``[G, r]`` and columns ``[G, c]``, distances ``[G, r, c]``,
# and whether the transposed blocks are blocks of M, too.
_Blocks: TypeAlias = tuple[Ids, Ids, Lengths, bool]


def separate(
    topology: Topology, tolerance: float, resolution: float, leaf_size: int, max_entries: int
) -> Separation:
    """The decomposition of the graphs, with ``topology.edge_weight`` as lengths of edges."""
    layout = _Layout(topology.num_nodes, max_entries, dtype_of_lengths(topology))
    lengths = length_matrix(topology)
    for piece in decompose(lengths, tolerance, resolution, leaf_size, max_entries):
        layout.add(piece)
    return layout.separation(topology)


def dtype_of_lengths(topology: Topology) -> torch.dtype:
    """The type of distances."""
    weight = topology.edge_weight
    default = torch.get_default_dtype()
    return default if weight is None else torch.promote_types(weight.dtype, torch.float32)


def length_matrix(topology: Topology) -> csr_matrix:
    """The symmetric matrix of the shortest edges between nodes.

    Self-loops are left out; lengths of 0 are stored.
    """
    n, (source, target) = topology.num_nodes, topology.edge_index.cpu().numpy()
    if not topology.nonnegative:
        raise value_error(
            "edge_weight", "non-negative, since the mask reads it as lengths", topology.edge_weight
        )
    if topology.edge_weight is None:
        length = np.ones(topology.num_edges)
    else:
        length = to_double(topology.edge_weight.detach().cpu()).numpy().astype(np.float64)
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
    same_rows = np.array_equal(graph.indptr, flipped.indptr)
    same_edges = same_rows and np.array_equal(graph.indices, flipped.indices)
    if not same_edges or not np.allclose(graph.data, flipped.data, rtol=_SYMMETRY, atol=0):
        raise value_error(
            "edge_index, edge_weight",
            "undirected: every edge in both directions, of equal length (see "
            "torch_geometric.utils.to_undirected)",
            "lengths that differ with the direction"
            if same_edges
            else "edges without their reverse",
        )


class _Layout:
    """Collects the blocks of a decomposition."""

    def __init__(self, num_nodes: int, max_entries: int, dtype: torch.dtype) -> None:
        self.num_nodes, self.max_entries = num_nodes, max_entries
        self.dtype = torch.empty(0, dtype=dtype).numpy().dtype
        self.blocks: list[_Blocks] = []
        self.members: list[Ids] = []
        self.standing: list[Standing] = []
        self.entries, self.error_bound = 0, 0.0

    def add(self, piece: Split | Leaves) -> None:
        if isinstance(piece, Leaves):
            self._add(piece.own, piece.own, piece.within, False)
            return
        first = self._cells(piece.sides[0], piece.cells[0])
        second = self._cells(piece.sides[1], piece.cells[1])
        self._block(first, second, piece.across, True)
        self._block(piece.separator, first, piece.through[0], True)
        self._block(piece.separator, second, piece.through[1], True)
        self._block(piece.separator, piece.separator, piece.within, False)
        self._stand(piece)

    def separation(self, topology: Topology) -> Separation:
        device = topology.device
        padding = self.num_nodes + len(self.members)
        blocks, cells = [], []
        for group in _groups(self.blocks):
            distance, both, sides = _stack(group, padding)
            blocks.append(Stack(torch.from_numpy(distance).to(device), both))
            cells += [side.flatten() for side in sides]
        counts = torch.tensor([len(nodes) for nodes in self.members], dtype=torch.long)
        nodes = torch.from_numpy(_concatenate(self.members)).to(device)
        members = Pattern.from_counts(counts.to(device), nodes, self.num_nodes)
        _ = members.mT  # cached here, since compiled code cannot compute it
        cell = torch.from_numpy(_concatenate(cells)).to(device)
        standing = tuple(self.standing)
        return Separation(tuple(blocks), cell, members, standing, self.error_bound)

    def _block(self, row: Ids, col: Ids, distance: Lengths, both: bool) -> None:
        self._add(row[None], col[None], distance[None], both)

    def _add(self, row: Ids, col: Ids, distance: Lengths, both: bool) -> None:
        if not distance.size:
            return
        self.entries += distance.size
        check_entries(self.entries, self.max_entries)
        with np.errstate(over="ignore"):  # beyond the range of the type nodes are not joined
            self.blocks.append((row, col, distance.astype(self.dtype), both))

    def _cells(self, side: Region, cells: Cells) -> Ids:
        """The index of each cell: that of its node, where it has a single one."""
        order = np.argsort(cells.cell, kind="stable")
        groups = np.split(side.own[order], np.cumsum(np.bincount(cells.cell))[:-1])
        index = np.empty(len(groups), dtype=np.int64)
        for i, nodes in enumerate(groups):
            index[i] = nodes[0] if len(nodes) == 1 else self.num_nodes + len(self.members)
            if len(nodes) > 1:
                self.members.append(nodes)
        return index

    def _stand(self, split: Split) -> None:
        own = [side.own for side in split.sides]
        cells = zip(own, split.cells, strict=True)
        seed = [nodes[cell.seed[cell.cell]] for nodes, cell in cells]
        self.standing.append(Standing(own[0], seed[0], own[1], seed[1]))
        for pair in zip(own, seed, strict=True):
            self.standing.append(Standing(split.separator, split.separator, *pair))
        self.error_bound = max(self.error_bound, sum(cells.radius for cells in split.cells))


def _groups(blocks: Iterable[_Blocks]) -> Iterator[list[_Blocks]]:
    """Blocks of about equal shape."""
    groups: dict[tuple[int, int, bool], list[_Blocks]] = {}
    for block in blocks:
        _, rows, cols = block[2].shape
        groups.setdefault((_rounded(rows), _rounded(cols), block[3]), []).append(block)
    yield from groups.values()


def _rounded(size: int) -> int:
    """The next number of few leading bits."""
    step = 1 << max(size.bit_length() - _BITS, 0)
    return -(-size // step) * step


def _stack(group: list[_Blocks], padding: int) -> tuple[Lengths, bool, list[Ids]]:
    """Blocks padded to the largest of them, and the cells of their rows and, if used, columns."""
    row, col, distance, both = zip(*group, strict=True)
    sides = [_pad_together(row, padding)]
    if both[0]:
        sides.append(_pad_together(col, padding))
    return _pad_together(distance, np.inf), both[0], sides


def _pad_together(arrays: Sequence[np.ndarray], value: float) -> np.ndarray:
    """Arrays joined along their first axis, the others padded to the longest."""
    longest = np.max([array.shape for array in arrays], axis=0)[1:]
    joined = np.full((sum(map(len, arrays)), *longest), value, arrays[0].dtype)
    start = 0
    for array in arrays:
        end = start + len(array)
        joined[(slice(start, end), *map(slice, array.shape[1:]))] = array
        start = end
    return joined


def _concatenate(ids: list[Ids]) -> Ids:
    return np.concatenate([*ids, np.empty(0, dtype=np.int64)])
