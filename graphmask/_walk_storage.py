"""Walks stored on a ``Data``, in tensors that PyG batches by its own rules: written and read here.

A set of walks is ``walk_index [2, P]``, its pairs by row and then column, and
``walk_table [P, K + 1]``, its table; further sets have the suffixes ``_1``, ``_2`` and so on.
``walk_normalization`` holds the position of their normalisation in
:data:`~graphmask._walks.NORMALIZATIONS`. Whatever else a graph needs to know about its walks is one
attribute more, named here and written and read beside ``walk_normalization``.

Lists of entries are read, too: ``walk_index [2, nnz]``, ``walk_hop [nnz]``, ``walk_weight [nnz]``,
``walk_num_hops``, and ``walk_set [nnz]`` where there are several sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from ._checks import (
    Deferred,
    DeferredChecks,
    aminmax,
    has_nonfinite,
    is_integral,
    type_error,
    value_error,
)
from ._walks import NORMALIZATIONS, Walks, check_sign, pattern_of_keys
from .kernels import Pattern

_NORMALIZATION = "walk_normalization"
_ENTRIES = ("walk_hop", "walk_weight", "walk_num_hops")


def write_walks(data: Data, walk_sets: Sequence[Walks]) -> None:
    """Store sets of walks of one normalisation on ``data``, in the place of earlier ones."""
    remove_walks(data)
    data[_NORMALIZATION] = NORMALIZATIONS.index(walk_sets[0].normalization)
    for position, walks in enumerate(walk_sets):
        index_name, table_name = _names(position)
        data[index_name] = torch.stack([walks.pattern.row, walks.pattern.col])
        data[table_name] = walks.table


def remove_walks(data: Data) -> None:
    """Remove all sets of walks from ``data``."""
    pairs = [name for names in stored_pairs(data) for name in names]
    for name in ("walk_index", "walk_set", _NORMALIZATION, *_ENTRIES, *pairs):
        data.pop(name, None)


def has_walks(data: Data) -> bool:
    """Whether walks are stored on ``data``."""
    return data.get("walk_hop") is not None or any(stored_pairs(data))


def stored_pairs(data: Data) -> Iterator[tuple[str, str]]:
    """Names of the pairs and the table of each set of walks on ``data``."""
    position = 0
    while data.get(_names(position)[0]) is not None:
        yield _names(position)
        position += 1


def read_walks(data: Data) -> list[StoredWalks | Walks]:
    """All sets of walks on ``data``; of those stored by pairs, values are checked later.

    Raises:
        TypeError: for attributes of a wrong type or dtype.
        ValueError: where attributes are missing or do not fit each other, or lists of entries hold
            wrong values.
    """
    if data.get("walk_index") is None:
        return []
    num_nodes = int(data.num_nodes or 0)
    if data.get("walk_table") is None:
        return list(_read_entries(data, num_nodes))
    normalization = data.get(_NORMALIZATION)
    return [
        StoredWalks(names, data[names[0]], data.get(names[1]), normalization, num_nodes)
        for names in stored_pairs(data)
    ]


class StoredWalks:
    """A set of walks by pairs, whose values have not been looked at.

    Args:
        names: of the index and the table, for errors.
        index: ``[2, P]``, pairs, taken to be sorted until that is checked.
        table: ``[P, K + 1]``.
        normalization: a position in ``NORMALIZATIONS``, or one of each graph of a batch.
        num_nodes: N.
    """

    def __init__(
        self, names: tuple[str, str], index: Any, table: Any, normalization: Any, num_nodes: int
    ) -> None:
        index_name, table_name = names
        if not is_integral(index):
            raise type_error(index_name, "an integer tensor", index)
        if index.dim() != 2 or len(index) != 2:
            raise value_error(index_name, "of shape [2, P]", index)
        if not isinstance(table, Tensor) or not table.is_floating_point():
            raise type_error(table_name, "a floating-point tensor, as written by AddWalks", table)
        if table.dim() != 2 or len(table) != index.shape[1] or not table.shape[1]:
            expected = f"of shape [P, K + 1] with P = {index.shape[1]} (pairs of `{index_name}`)"
            raise value_error(table_name, expected, table)
        self.names, self.index, self.table = names, index, table
        self.normalization, self.num_nodes = normalization, num_nodes

    def check(self, checks: DeferredChecks) -> Deferred[Walks]:
        """The walks, once their values have been checked."""
        if isinstance(self.normalization, Tensor):
            normalization = checks.add(_batch_normalization, *aminmax(self.normalization))
        else:
            normalization = checks.add(partial(_normalization_at, self.normalization))
        row, col = self.index
        is_sorted = ((row[1:] > row[:-1]) | ((row[1:] == row[:-1]) & (col[1:] > col[:-1]))).all()
        low, high = aminmax(self.table)
        values = *aminmax(self.index), is_sorted, has_nonfinite(low, high), low < 0
        return checks.add(partial(self._walks, normalization), *values)

    def _walks(
        self,
        normalization: Deferred[Any],
        low: int,
        high: int,
        is_sorted: int,
        is_bad: int,
        has_negative: int,
    ) -> Walks:
        index_name, table_name = self.names
        if self.index.numel() and not 0 <= low <= high < self.num_nodes:
            expected = f"node ids from 0 to N - 1 = {self.num_nodes - 1}"
            raise value_error(index_name, expected, f"ids from {low} to {high}")
        nonnegative = check_sign(table_name, self.table, is_bad, has_negative)
        if is_sorted:
            pattern, table = Pattern.from_unchecked(*self.index, self.num_nodes), self.table
        else:
            pattern, table = self._merged()
        return Walks(pattern, table, normalization.result, nonnegative)

    def _merged(self) -> tuple[Pattern, Tensor]:
        """Pairs in any order, sorted; those that coincide add."""
        row, col = self.index.long()
        key, pair = torch.unique(row * self.num_nodes + col, return_inverse=True)
        table = self.table.new_zeros(len(key), self.table.shape[1]).index_add(0, pair, self.table)
        return pattern_of_keys(key, self.num_nodes), table


def _read_entries(data: Data, num_nodes: int) -> Iterator[Walks]:
    """Sets of walks stored as lists of entries."""
    missing = [name for name in _ENTRIES if data.get(name) is None]
    if missing:
        absent = f"no {', '.join(missing)}"
        raise value_error("data", "as written by AddWalks beside `walk_index`", absent)
    num_hops = _shared(data, "walk_num_hops")
    stored = data.get(_NORMALIZATION) is not None
    normalization = _normalization_at(_shared(data, _NORMALIZATION) if stored else None)
    row, col = data.walk_index
    owner = data.get("walk_set")
    if owner is None or not owner.numel():
        owner = torch.zeros_like(row)
    for position in range(int(owner.max()) + 1 if owner.numel() else 1):
        entries = owner == position
        hop, weight = data.walk_hop[entries], data.walk_weight[entries]
        yield Walks.from_entries(
            row[entries], col[entries], hop, weight, num_nodes, num_hops, normalization
        )


def _shared(data: Data, name: str) -> Any:
    """A number that all graphs of a batch share."""
    values = set(torch.as_tensor(data[name]).flatten().tolist())
    if len(values) > 1:
        raise value_error(name, "the same for all graphs of a batch", sorted(values))
    return values.pop()


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
