"""Rows in few bytes: what a page carries so that any click finds its row."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphmask.kernels import Pattern

from .sources import Source

# Bytes of the rows of one mask on a page, entries of a row that has no sparse support, and numbers
# computed for those.
BUDGET = 12 * 2**20
_TOP = 2048
_WORK = 2**27
_CHUNK = 64


class Packed(NamedTuple):
    """Some rows of a matrix.

    Entries but a node's own are 16-bit shares of the largest of their row and head.

    Args:
        nodes: ``[R]`` whose rows these are, rising; all of N where there is room.
        ptr: ``[R + 1]``, entries of each row.
        col: ``[nnz]``.
        value: ``[H, nnz]`` int16, in units of 1 / 32767.
        scale: ``[H, R]`` float32, the largest absolute entry of each row beside the own.
        own: ``[H, R]`` float32, the entry of each node with itself.
        share: of the sum of absolute entries that is kept, over all rows.
    """

    nodes: np.ndarray
    ptr: np.ndarray
    col: np.ndarray
    value: np.ndarray
    scale: np.ndarray
    own: np.ndarray
    share: float

    @property
    def nbytes(self) -> int:
        """Before base64."""
        return sum(each.nbytes for each in self if isinstance(each, np.ndarray))

    def encode(self) -> dict[str, Any]:
        """As JSON holds it."""
        arrays = {
            name: each for name, each in self._asdict().items() if isinstance(each, np.ndarray)
        }
        return {name: encode(each) for name, each in arrays.items()} | {
            "heads": len(self.own),
            "share": self.share,
        }


def encode(array: np.ndarray) -> dict[str, str]:
    """Little-endian bytes in base64, and what they are."""
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {"type": plain.dtype.name, "data": base64.b64encode(plain.tobytes()).decode("ascii")}


def pack(source: Source, node: int, budget: int = BUDGET) -> Packed:
    """As many rows as fit, that of ``node`` among them.

    Of matrices without sparse support the largest entries of each.

    Args:
        source: the matrix.
        node: whose row is there in any case.
        budget: bytes, approximately. (default: 12 MiB)

    Cost: O(nnz H) with a sparse support; otherwise a product with the transposed matrix per row.

    Example:
        >>> import torch, graphmask as gm
        >>> from graphmask.view.sources import MaskRows
        >>> path = gm.Topology(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> rows = pack(MaskRows(gm.masks.GlobalMask(), path), node=0)
        >>> rows.col.tolist(), rows.own.tolist(), rows.share
        ([1, 2, 0, 2, 0, 1], [[1.0, 1.0, 1.0]], 1.0)
    """
    entries = source.entries()
    per_entry = 4 + 2 * source.heads
    if entries is not None:
        number = max(
            1, int(budget / per_entry / max(1.0, entries.pattern.nnz / max(1, source.num_nodes)))
        )
        nodes = choose(source.num_nodes, number, node)
        return _quantise(
            nodes, *_select(entries.pattern, entries.value, nodes), 1.0, source.num_nodes
        )
    top = min(source.num_nodes, _TOP)
    number = max(
        1, min(budget // (per_entry * top), _WORK // max(1, source.num_nodes * source.heads))
    )
    nodes = choose(source.num_nodes, number, node)
    return _quantise(nodes, *_largest(source, nodes, top), source.num_nodes)


def choose(num_nodes: int, number: int, node: int) -> np.ndarray:
    """All nodes, or that many of them at random with ``node`` among them, rising."""
    if number >= num_nodes:
        return np.arange(num_nodes)
    drawn = np.random.default_rng(0).choice(num_nodes, number, replace=False)
    return np.unique(np.append(drawn[: number - 1], node))


def _select(
    pattern: Pattern, value: Tensor, nodes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts, columns and values of some rows."""
    rowptr = pattern.rowptr.numpy().astype(np.int64)
    counts = np.diff(rowptr)[nodes]
    first = np.repeat(rowptr[nodes] - (counts.cumsum() - counts), counts)
    place = first + np.arange(counts.sum())
    return counts, pattern.col.numpy()[place], value.float().numpy()[:, place]


def _largest(
    source: Source, nodes: np.ndarray, top: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Counts, columns and values of the largest entries of some rows, and the share of the whole that they make up."""
    counts, cols, values, kept, whole = [], [], [], 0.0, 0.0
    for part in np.array_split(nodes, max(1, -(-len(nodes) // _CHUNK))):
        rows = source.rows(torch.from_numpy(part)).float()
        size = rows.abs().amax(0)
        # A node's own entry is kept whatever it is.
        size[torch.arange(len(part)), torch.from_numpy(part)] = torch.inf
        best = torch.sort(size.topk(top, dim=1).indices, dim=1).values
        found = rows.gather(2, best.expand(len(rows), -1, -1))
        used = found.abs().amax(0) > 0
        counts.append(used.sum(1).numpy())
        cols.append(best[used].numpy())
        values.append(found[:, used].numpy())
        kept, whole = kept + float(found.abs().sum()), whole + float(rows.abs().sum())
    return (
        np.concatenate(counts),
        np.concatenate(cols),
        np.concatenate(values, 1),
        kept / whole if whole else 1.0,
    )


def _quantise(
    nodes: np.ndarray,
    counts: np.ndarray,
    col: np.ndarray,
    value: np.ndarray,
    share: float,
    num_nodes: int,
) -> Packed:
    row = np.repeat(np.arange(len(nodes)), counts)
    is_own = col == nodes[row]
    own = np.zeros((len(value), len(nodes)), np.float32)
    own[:, row[is_own]] = value[:, is_own]
    row, col, value = row[~is_own], col[~is_own], value[:, ~is_own]
    scale = np.zeros_like(own)
    for head, each in enumerate(np.abs(value)):
        np.maximum.at(scale[head], row, each)
    with np.errstate(divide="ignore", invalid="ignore"):
        units = np.nan_to_num(value / scale[:, row])
    narrow = np.uint16 if num_nodes <= 2**16 else np.int32
    ptr = np.append(0, np.bincount(row, minlength=len(nodes)).cumsum()).astype(np.int32)
    return Packed(
        nodes.astype(np.int32),
        ptr,
        col.astype(narrow),
        np.rint(32767 * units).astype(np.int16),
        scale,
        own,
        float(share),
    )
