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
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from ._checks import (
    NODE_IDS,
    Deferred,
    DeferredChecks,
    aminmax,
    is_integral,
    type_error,
    value_error,
)
from ._walks import NORMALIZATIONS, Walks, pattern_of_keys
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
    """True if walks are stored on ``data``."""
    return data.get("walk_hop") is not None or any(stored_pairs(data))


def stored_pairs(data: Data) -> Iterator[tuple[str, str]]:
    """Names of the pairs and the table of each set of walks on ``data``."""
    position = 0
    while data.get(_names(position)[0]) is not None:
        yield _names(position)
        position += 1


class PendingWalks(NamedTuple):
    """A set of walks whose values have not been checked yet, and both nodes of all its pairs."""

    walks: Deferred[Walks]
    ends: Sequence[Tensor] | Tensor
    num_nodes: int


def read_walks(data: Data, checks: DeferredChecks) -> list[PendingWalks | Walks]:
    """All sets of walks on ``data``; of those stored by pairs, values are checked later.

    Raises:
        TypeError: for attributes of a wrong type or dtype.
        ValueError: where attributes are missing or do not fit each other, or lists of entries hold
            wrong values.
    """
    if data.get("walk_index") is None:
        return []
    if data.get("walk_table") is None:
        return list(_read_entries(data))
    return [_read_pairs(data, *names, checks) for names in stored_pairs(data)]


def _read_pairs(
    data: Data, index_name: str, table_name: str, checks: DeferredChecks
) -> PendingWalks:
    index, table, n = data[index_name], data.get(table_name), int(data.num_nodes or 0)
    if not is_integral(index):
        raise type_error(index_name, "an integer tensor", index)
    if index.dim() != 2 or len(index) != 2:
        raise value_error(index_name, "of shape [2, P]", index)
    if not isinstance(table, Tensor) or not table.is_floating_point():
        raise type_error(table_name, "a floating-point tensor, as written by AddWalks", table)
    if table.dim() != 2 or len(table) != index.shape[1] or not table.shape[1]:
        expected = f"of shape [P, K + 1] with P = {index.shape[1]} (pairs of `{index_name}`)"
        raise value_error(table_name, expected, table)
    position = data.get(_NORMALIZATION)
    if isinstance(position, Tensor):
        normalization = checks.add(_batch_normalization, *aminmax(position))
    else:
        normalization = checks.add(partial(_normalization_at, position))
    checks.range(index_name, index, n, NODE_IDS)
    sign, (row, col) = checks.sign(table_name, table), index
    rising = (row[1:] > row[:-1]) | ((row[1:] == row[:-1]) & (col[1:] > col[:-1]))
    is_sorted = checks.add(bool, rising.all())

    def make() -> Walks:
        pairs = Pattern.from_unchecked(row, col, n), table
        pattern, values = pairs if is_sorted.result else _merge(index, table, n)
        return Walks(pattern, values, normalization.result, sign.result)

    return PendingWalks(checks.add(make), index, n)


def _merge(index: Tensor, table: Tensor, num_nodes: int) -> tuple[Pattern, Tensor]:
    """Pairs in any order, sorted; those that coincide add."""
    row, col = index.long()
    key, pair = torch.unique(row * num_nodes + col, return_inverse=True)
    merged = table.new_zeros(len(key), table.shape[1]).index_add(0, pair, table)
    return pattern_of_keys(key, num_nodes), merged


def _read_entries(data: Data) -> Iterator[Walks]:
    """Sets of walks stored as lists of entries."""
    missing = [name for name in _ENTRIES if data.get(name) is None]
    if missing:
        absent = f"no {', '.join(missing)}"
        raise value_error("data", "as written by AddWalks beside `walk_index`", absent)
    stored = data.get(_NORMALIZATION) is not None
    normalization = _normalization_at(_shared(data, _NORMALIZATION) if stored else None)
    n, hops = int(data.num_nodes or 0), _shared(data, "walk_num_hops")
    (row, col), hop, weight = data.walk_index, data.walk_hop, data.walk_weight
    owner = data.get("walk_set")
    if owner is None or not owner.numel():
        yield Walks.from_entries(row, col, hop, weight, n, hops, normalization)
        return
    for position in range(int(owner.max()) + 1):
        kept = owner == position
        entries = row[kept], col[kept], hop[kept], weight[kept]
        yield Walks.from_entries(*entries, n, hops, normalization)


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
