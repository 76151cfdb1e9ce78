"""Exact rows of masks in float64, and the error of estimated ones: no N x N matrix is ever made."""

from __future__ import annotations

import math
from functools import reduce
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from torch import Tensor

from graphmask._checks import value_error
from graphmask.operators import MaskOperator, ProductOperator
from graphmask.topology import Topology

# Rows whose powers are held at a time.
_ROWS = 64

# Rows of more entries than this share are full.
_FULL = 0.1


class Errors(NamedTuple):
    r"""Relative Frobenius errors :math:`\|\hat M - M\|_F / \|M\|_F`, not squared.

    Of all entries and of each kind.
    """

    error: float
    off_diagonal: float
    diagonal: float


def adjacency(topology: Topology) -> csr_array:
    """``D^-1/2 A D^-1/2`` of an undirected graph without weights, in float64."""
    source, target = topology.edge_index.numpy()
    A = csr_array((np.ones(len(source)), (target, source)), shape=(topology.num_nodes,) * 2)
    scale = 1 / np.sqrt(np.maximum(A.sum(1), 1))
    A.data *= scale[_row_of(A)] * scale[A.indices]
    return A


def _row_of(A: csr_array) -> np.ndarray:
    """The row of each stored entry."""
    return np.repeat(np.arange(A.shape[0]), np.diff(A.indptr))


def exact_rows(W: csr_array, rows: np.ndarray, series: np.ndarray) -> list[csr_array]:
    r"""Rows of :math:`\sum_k c_k W^k` for several series c, by products of sparse rows with W.

    Args:
        W: ``[N, N]`` without negative entries.
        rows: ``[R]`` ids.
        series: ``[S, L + 1]``.

    Returns:
        S matrices ``[R, N]`` on one support, that of all powers together.

    Cost: O(R L E) time at most, and O(S R N) memory at most: as much as the rows have entries.

    Example:
        >>> import numpy as np
        >>> from scipy.sparse import csr_array
        >>> swap = csr_array(np.array([[0.0, 1.0], [1.0, 0.0]]))
        >>> exact_rows(swap, np.array([1]), np.array([[1.0, 2.0, 4.0]]))[0].toarray()
        array([[2., 5.]])
    """
    parts = [
        _supported_rows(W, rows[start : start + _ROWS], series)
        for start in range(0, len(rows), _ROWS)
    ]
    indices = np.concatenate([support.indices for support, _ in parts])
    counts = np.concatenate([np.diff(support.indptr) for support, _ in parts])
    indptr = np.concatenate([[0], counts.cumsum()])
    values = np.concatenate([value for _, value in parts], axis=1)
    return [csr_array((value, indices, indptr), shape=(len(rows), W.shape[0])) for value in values]


def _supported_rows(
    W: csr_array, rows: np.ndarray, series: np.ndarray
) -> tuple[csr_array, np.ndarray]:
    """The sum of the powers, whose support holds that of each, and the series on it."""
    identity = csr_array(
        (np.ones(len(rows)), (np.arange(len(rows)), rows)), shape=(len(rows), W.shape[0])
    )
    powers = [identity]
    for _ in range(series.shape[1] - 1):
        powers.append(multiply(powers[-1], W))
    support = sum(powers[1:], start=powers[0])
    support.sort_indices()
    place = np.empty(support.shape[0] * support.shape[1], dtype=np.int32)
    place[_positions(support)] = np.arange(support.nnz)
    table = np.zeros((len(powers), support.nnz))
    for row, power in zip(table, powers, strict=True):
        row[place[_positions(power)]] = power.data
    return support, series @ table


def _positions(A: csr_array) -> np.ndarray:
    return _row_of(A) * np.int64(A.shape[1]) + A.indices


def estimated_rows(operator: MaskOperator, rows: np.ndarray) -> csr_array:
    """Rows ``[R, N]`` of a mask of one head and of sparse entries, or of a product of such, in float64.

    Raises:
        ValueError: for operators without sparse entries.
    """
    factors = operator.factors if isinstance(operator, ProductOperator) else (operator,)
    first, *rest = (
        csr_array((value[0].astype(np.float64), col, rowptr), shape=operator.shape[1:])
        for rowptr, col, value in map(_entries, factors)
    )
    return reduce(multiply, rest, first[rows])


def multiply(left: csr_array, right: csr_array) -> csr_array:
    """``left @ right``; where the left rows are nearly full, by way of dense ones, which is several times faster.

    Example:
        >>> from scipy.sparse import csr_array
        >>> multiply(csr_array([[1.0, 2.0]]), csr_array([[3.0], [4.0]])).toarray()
        array([[11.]])
    """
    full = left.nnz > _FULL * left.shape[0] * left.shape[1]
    return csr_array(left.toarray() @ right) if full else left @ right


def stored_entries(operator: MaskOperator) -> float:
    """Stored entries per row of a mask; of each factor where it is a product."""
    factors = operator.factors if isinstance(operator, ProductOperator) else (operator,)
    return sum(len(_entries(factor)[1]) for factor in factors) / len(factors) / operator.num_nodes


def _entries(operator: MaskOperator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    entries = operator.entries()
    if entries is None:
        raise value_error("operator", "of sparse entries, or a product of such", repr(operator))
    return _numpy(entries.pattern.rowptr), _numpy(entries.pattern.col), _numpy(entries.value)


def _numpy(x: Tensor) -> np.ndarray:
    return x.detach().cpu().numpy()


class Rows:
    """Exact rows, and the norms that errors are relative to.

    Args:
        target: ``[R, N]``.
        rows: ``[R]`` their ids, which tell where the diagonal is.

    Example:
        >>> import numpy as np
        >>> from scipy.sparse import csr_array
        >>> Rows(csr_array([[4.0, 3.0]]), np.array([0])).errors(csr_array([[4.0, 0.0]]))
        Errors(error=0.6, off_diagonal=1.0, diagonal=0.0)
    """

    def __init__(self, target: csr_array, rows: np.ndarray) -> None:
        self.target, self._rows = target, rows
        self._whole = self._square_norms(target)

    def errors(self, estimate: csr_array) -> Errors:
        """The errors of estimated rows ``[R, N]``."""
        wrong = self._square_norms(estimate - self.target)
        return Errors(_ratio(sum(wrong), sum(self._whole)), *map(_ratio, wrong, self._whole))

    def _square_norms(self, A: csr_array) -> tuple[float, float]:
        """Of the off-diagonal and of the diagonal entries."""
        squares, diagonal = A.data**2, A.indices == np.repeat(self._rows, np.diff(A.indptr))
        return float(squares[~diagonal].sum()), float(squares[diagonal].sum())


def _ratio(wrong: float, whole: float) -> float:
    """0 / 0 := 0."""
    return math.sqrt(wrong / whole) if whole else 0.0
