"""Walks stored on a ``Data``, in tensors that PyG batches by its own rules: written and read here.

A set of walks is ``walk_index [2, P]``, its pairs by row and then column, and
``walk_table [P, K + 1]``, its table; further sets have the suffixes ``_1``, ``_2`` and so on.
``walk_normalization`` holds the position of their normalisation in
:data:`~graphmask._walks.NORMALIZATIONS`.

``walk_graph [N, 2 + sets]`` is the identity of the graph that the walks were drawn on, followed by
a hash of the pairs of each node, and of the normalisation, in each set. ``walk_start_index [N]`` is
the number by which ``walk_index`` calls each node: renumbered and shifted with it by PyG's rules,
and selected with the nodes, so that walks are read from any subgraph that they do not leave. Pairs
that are lost or changed, and another normalisation, are noticed; the values of a table may be
changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from ._checks import (
    Deferred,
    DeferredChecks,
    aminmax,
    is_integral,
    type_error,
    value_error,
)
from ._encodings import check_encodings
from ._identity import check_identity
from ._random import stream
from ._walks import NORMALIZATIONS, Walks, pattern_of_keys
from .kernels import Pattern
from .kernels.pattern import index_dtype

_NORMALIZATION, _GRAPH, _START = "walk_normalization", "walk_graph", "walk_start_index"

# Written by the first release, which did not store what graph walks belong to.
_ENTRIES = ("walk_hop", "walk_weight", "walk_num_hops", "walk_set")

_REMEDY = (
    "apply {} once more, or after the transform that changed the graph (such as RandomLinkSplit, "
    "ToUndirected, AddSelfLoops or new edge weights)"
)

# Seeds of the hashes of pairs and of normalisations.
_PAIRS, _NORMALIZATIONS = 3, 4


def write_walks(data: Data, walk_sets: Sequence[Walks], graph: Tensor) -> None:
    """Store sets of walks of one normalisation on ``data``, in the place of earlier ones.

    They come with the identity of the graph that they were drawn on.
    """
    remove_walks(data)
    position = NORMALIZATIONS.index(walk_sets[0].normalization)
    data[_NORMALIZATION] = position
    pairs = [hash_set(walks.pattern, graph[:, 0], position) for walks in walk_sets]
    data[_GRAPH] = torch.column_stack([graph, *pairs])
    data[_START] = torch.arange(len(graph), device=graph.device)
    for position, walks in enumerate(walk_sets):
        index_name, table_name = _names(position)
        data[index_name] = torch.stack([walks.pattern.row, walks.pattern.col])
        data[table_name] = walks.table


def remove_walks(data: Data) -> None:
    """Remove all sets of walks from ``data``."""
    # A batch keeps where the attributes of its graphs begin.
    slices = [getattr(data, name, None) or {} for name in ("_slice_dict", "_inc_dict")]
    for name in (*walk_attributes(data), *_ENTRIES):
        for place in (data, *slices):
            place.pop(name, None)


def walk_attributes(data: Data) -> list[str]:
    """Names of all attributes that :func:`write_walks` wrote to ``data``."""
    pairs = [name for names in stored_pairs(data) for name in names]
    return [name for name in (_NORMALIZATION, _GRAPH, _START, *pairs) if name in data]


def walk_ids(data: Data) -> list[str]:
    """Names of the attributes that hold ids of nodes as :func:`write_walks` numbered them."""
    return [_START, *(index_name for index_name, _ in stored_pairs(data))]


def has_walks(data: Data) -> bool:
    """True if walks are stored on ``data``."""
    return any(stored_pairs(data))


def stored_pairs(data: Data) -> Iterator[tuple[str, str]]:
    """Names of the pairs and the table of each set of walks on ``data``."""
    position = 0
    while data.get(_names(position)[0]) is not None:
        yield _names(position)
        position += 1


class StoredWalks(NamedTuple):
    """The walks on a ``Data``, to be read when its edges are known."""

    data: Data

    def read(
        self,
        edge_index: Tensor,
        edge_weight: Tensor | None,
        num_nodes: int,
        checks: DeferredChecks,
    ) -> list[Deferred[Walks]]:
        """Read all sets of walks; their values are checked later, with others.

        Raises:
            TypeError: for attributes of a wrong type or dtype.
            ValueError: where attributes are missing or do not fit each other, and for walks or
                encodings of another graph.
        """
        check_encodings(self.data, edge_index, edge_weight, num_nodes, checks)
        names = list(stored_pairs(self.data))
        if not names:
            return []
        if any(name in self.data for name in _ENTRIES) or self.data.get(_GRAPH) is None:
            got = "those of an earlier release, or not as written by AddWalks"
            raise value_error("walk_index", "stored with the identity of its graph", got)
        graph, start = self.data[_GRAPH], self.data.get(_START)
        remedy = _REMEDY.format("AddWalks")
        check_identity("walk_index", graph, edge_index, edge_weight, num_nodes, remedy, checks)
        if not is_integral(start) or start.shape != (num_nodes,):
            raise value_error(_START, f"integers [N] with N = {num_nodes}", start)
        if graph.shape[1] != 2 + len(names):
            expected = f"of shape [N, {2 + len(names)}] for {len(names)} sets of walks"
            raise value_error(_GRAPH, expected, graph)
        nodes = torch.arange(num_nodes, device=start.device)
        is_same = checks.add(bool, (start == nodes).all())
        read = partial(self._read_set, start=start, is_same=is_same, checks=checks)
        return [read(*name, graph[:, [0, place]]) for place, name in enumerate(names, 2)]

    def _read_set(
        self,
        index_name: str,
        table_name: str,
        pairs: Tensor,
        start: Tensor,
        is_same: Deferred[bool],
        checks: DeferredChecks,
    ) -> Deferred[Walks]:
        """The walks of one set; ``pairs [N, 2]`` are numbers of nodes and hashes of their pairs."""
        index, table, n = self.data[index_name], self.data.get(table_name), len(start)
        _check_types(index_name, index, table_name, table)
        position = self.data.get(_NORMALIZATION)
        normalization = _check_normalization(position, checks)
        sign, (row, col) = checks.sign(table_name, table), index
        rising = (row[1:] > row[:-1]) | ((row[1:] == row[:-1]) & (col[1:] > col[:-1]))
        # Copies: the attribute may be changed afterwards.
        rows, cols = index.to(index_dtype(max(n, len(row))), copy=True)
        stored = Pattern.from_unchecked(rows, cols, n)
        number, expected = pairs.unbind(1)
        is_whole = (hash_set(stored, number, position) == expected).all()
        values = is_whole, rising.all(), *aminmax(index)

        def make(is_whole: int, is_sorted: int, low: int, high: int) -> Walks:
            if is_same.result and is_whole and is_sorted and 0 <= low <= high < max(n, 1):
                return Walks(stored, table, normalization.result, sign.result)
            ends, weight = _renumber(index_name, index, table, start)
            # Pairs are in the order of former numbers, row by row in any order of rows.
            by_row = ends[0].argsort(stable=True)
            row, col = ends[:, by_row]
            renumbered, former = Pattern.from_unchecked(row, col, n), number[col]
            is_rising = (former[1:] > former[:-1]) | (row[1:] != row[:-1])
            is_same_hash = (hash_set(renumbered, number, position) == expected).all()
            if not bool(is_rising.all() & is_same_hash):
                raise _other_pairs(index_name)
            return Walks(*_sort(ends, weight, n), normalization.result, sign.result)

        return checks.add(make, *values)


def _check_normalization(position: Any, checks: DeferredChecks) -> Deferred[Any]:
    """The normalisation at a position, or at those of all graphs of a batch."""
    if is_integral(position):
        return checks.add(_normalization_at, *aminmax(position))
    return checks.add(partial(_normalization_at, position, position))


def _check_types(index_name: str, index: Any, table_name: str, table: Any) -> None:
    if not is_integral(index):
        raise type_error(index_name, "an integer tensor", index)
    if index.dim() != 2 or len(index) != 2:
        raise value_error(index_name, "of shape [2, P]", index)
    if not isinstance(table, Tensor) or not table.is_floating_point():
        raise type_error(table_name, "a floating-point tensor, as written by AddWalks", table)
    if table.dim() != 2 or len(table) != index.shape[1] or not table.shape[1]:
        expected = f"of shape [P, K + 1] with P = {index.shape[1]} (pairs of `{index_name}`)"
        raise value_error(table_name, expected, table)


def _renumber(name: str, index: Tensor, table: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """The pairs that start at present nodes, by the ids of these."""
    number, node = start.sort()
    place = torch.searchsorted(number, index.long().contiguous()).clamp(max=max(len(node) - 1, 0))
    is_present = number[place] == index if len(node) else torch.zeros_like(index, dtype=torch.bool)
    starts = is_present[0]
    is_unique = bool((number[1:] > number[:-1]).all())
    if not is_unique or not bool(is_present[1][starts].all()):
        raise _other_pairs(name)
    return node[place[:, starts]], table[starts]


def _other_pairs(name: str) -> ValueError:
    got = "walks of another selection of nodes, or pairs or a normalisation that were changed: "
    return value_error(
        name, "walks from and to the nodes of this graph", got + _REMEDY.format("AddWalks")
    )


def hash_set(pattern: Pattern, number: Tensor, position: Any) -> Tensor:
    """``[N]``, what identifies a set of walks: its pairs, and the place of its normalisation."""
    if is_integral(position):
        position = position.reshape(-1)[:1]  # all are equal, which is checked
    elif not isinstance(position, int):
        position = -1  # so is this
    return _hash_rows(pattern, number) + stream(_NORMALIZATIONS, position)


def _hash_rows(pattern: Pattern, number: Tensor) -> Tensor:
    """``[N]``, for each row the sum modulo 2^64 of hashes of the numbers of its columns. O(P)."""
    n = len(number)
    if not n:
        return torch.zeros_like(number)
    # Written and summed in one place; brackets instead of index_select would take thrice the time.
    sums = number.new_zeros(pattern.nnz + 1)
    hashes = stream(_PAIRS, number)
    torch.index_select(hashes, 0, pattern.col.clamp(0, n - 1), out=sums[1:])
    return sums.cumsum_(0).index_select(0, pattern.rowptr).diff()


def _sort(index: Tensor, table: Tensor, num_nodes: int) -> tuple[Pattern, Tensor]:
    key, order = (index[0] * num_nodes + index[1]).sort()
    return pattern_of_keys(key, num_nodes), table[order]


def _normalization_at(first: Any, last: Any) -> Any:
    if first != last:
        expected = "the same for all graphs of a batch"
        raise value_error(_NORMALIZATION, expected, f"{first} to {last}")
    if first not in range(len(NORMALIZATIONS)):
        raise value_error(_NORMALIZATION, f"a place in {NORMALIZATIONS}", first)
    return NORMALIZATIONS[first]


def _names(position: int) -> tuple[str, str]:
    suffix = f"_{position}" if position else ""
    return f"walk_index{suffix}", f"walk_table{suffix}"
