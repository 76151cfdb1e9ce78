"""Walks stored on a ``Data``, in tensors that PyG batches by its own rules: written and read here.

A set of walks is ``walk_index [2, P]``, its pairs by row and then column, and
``walk_table [P, K + 1]``, its table; further sets have the suffixes ``_1``, ``_2`` and so on.
``walk_normalization`` holds the position of their normalisation in
:data:`~graphmask._walks.NORMALIZATIONS`.

``walk_graph [N, 2 + sets]`` is the identity of the graph that the walks were drawn on, followed by
the pairs of each node in each set. ``walk_start_index [N]`` is the number by which ``walk_index``
calls each node: renumbered and shifted with it by PyG's rules, and selected with the nodes, so that
walks are read from any subgraph that they do not leave.
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
from ._identity import check_identity
from ._walks import NORMALIZATIONS, Walks, pattern_of_keys
from .kernels import Pattern

_NORMALIZATION, _GRAPH, _START = "walk_normalization", "walk_graph", "walk_start_index"

# Written by the first release, which did not store what graph walks belong to.
_ENTRIES = ("walk_hop", "walk_weight", "walk_num_hops", "walk_set")

_REMEDY = (
    "apply {} once more, or after the transform that changed the graph (such as RandomLinkSplit, "
    "ToUndirected, AddSelfLoops or new edge weights)"
)

# The identity of the graph of a walk encoding, whatever its name.
ENCODED_GRAPH = "walk_encoding_graph"


def write_walks(data: Data, walk_sets: Sequence[Walks], graph: Tensor) -> None:
    """Store sets of walks of one normalisation on ``data``, in the place of earlier ones.

    They come with the identity of the graph that they were drawn on.
    """
    remove_walks(data)
    data[_NORMALIZATION] = NORMALIZATIONS.index(walk_sets[0].normalization)
    pairs = [walks.pattern.rowptr.diff() for walks in walk_sets]
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
        """All sets of walks; their values are checked later, with others.

        Raises:
            TypeError: for attributes of a wrong type or dtype.
            ValueError: where attributes are missing or do not fit each other, and for walks of
                another graph.
        """
        encoded = self.data.get(ENCODED_GRAPH)
        if encoded is not None:
            remedy = f"{_REMEDY.format('AddWalkEncoding')}; delete `{ENCODED_GRAPH}` to keep it"
            name = "walk encoding"
            check_identity(name, encoded, edge_index, edge_weight, num_nodes, remedy, checks)
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
        counts = graph[:, 2:].sum(0)
        return [
            self._read_set(*names[i], counts[i], start, is_same, checks) for i in range(len(names))
        ]

    def _read_set(
        self,
        index_name: str,
        table_name: str,
        count: Tensor,
        start: Tensor,
        is_same: Deferred[bool],
        checks: DeferredChecks,
    ) -> Deferred[Walks]:
        index, table, n = self.data[index_name], self.data.get(table_name), len(start)
        _check_types(index_name, index, table_name, table)
        normalization = self._read_normalization(checks)
        sign, (row, col) = checks.sign(table_name, table), index
        rising = (row[1:] > row[:-1]) | ((row[1:] == row[:-1]) & (col[1:] > col[:-1]))
        values = count, rising.all(), *aminmax(index)

        def make(count: int, is_sorted: int, low: int, high: int) -> Walks:
            if is_same.result and is_sorted and 0 <= low <= high < max(n, 1) and len(row) == count:
                pattern, weight = Pattern.from_unchecked(row, col, n), table
            else:
                pattern, weight = _merge(*_renumber(index_name, index, table, start, count), n)
            return Walks(pattern, weight, normalization.result, sign.result)

        return checks.add(make, *values)

    def _read_normalization(self, checks: DeferredChecks) -> Deferred[Any]:
        position = self.data.get(_NORMALIZATION)
        if isinstance(position, Tensor):
            return checks.add(_batch_normalization, *aminmax(position))
        return checks.add(partial(_normalization_at, position))


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


def _renumber(
    name: str, index: Tensor, table: Tensor, start: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """The ``count`` pairs that start at present nodes, by the ids of these."""
    number, node = start.sort()
    place = torch.searchsorted(number, index.long().contiguous()).clamp(max=max(len(node) - 1, 0))
    is_present = number[place] == index if len(node) else torch.zeros_like(index, dtype=torch.bool)
    starts = is_present[0]
    is_unique = bool((number[1:] > number[:-1]).all())
    if not is_unique or int(starts.sum()) != count or not bool(is_present[1][starts].all()):
        expected = "walks from and to the nodes of this graph"
        raise value_error(
            name, expected, "walks of another selection of nodes: " + _REMEDY.format("AddWalks")
        )
    return node[place][:, starts], table[starts]


def _merge(index: Tensor, table: Tensor, num_nodes: int) -> tuple[Pattern, Tensor]:
    """Pairs in any order, sorted; those that coincide add."""
    row, col = index.long()
    key, pair = torch.unique(row * num_nodes + col, return_inverse=True)
    merged = table.new_zeros(len(key), table.shape[1]).index_add(0, pair, table)
    return pattern_of_keys(key, num_nodes), merged


def _batch_normalization(first: int, last: int) -> Any:
    if first != last:
        expected = "the same for all graphs of a batch"
        raise value_error(_NORMALIZATION, expected, f"{first} to {last}")
    return _normalization_at(first)


def _normalization_at(position: Any) -> Any:
    if position is None:
        return "unknown"
    if position not in range(len(NORMALIZATIONS)):
        raise value_error(_NORMALIZATION, f"a place in {NORMALIZATIONS}", position)
    return NORMALIZATIONS[position]


def _names(position: int) -> tuple[str, str]:
    suffix = f"_{position}" if position else ""
    return f"walk_index{suffix}", f"walk_table{suffix}"
