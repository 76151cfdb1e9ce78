"""The support of a sparse matrix, seen by rows for `A @ x` and by columns for `A.mT @ x`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee
from torch import Tensor

from graphmask._checks import check_no_function_transforms

T = TypeVar("T")

_INT32_MAX = 2**31 - 1

# Patterns of at least this many entries get an order of rows, from this many entries per row.
_LARGE = 2**18
_SUBSAMPLE = 8

# Rows are well ordered already if windows of this many consecutive rows have at most this share of
# distinct columns: most of what a window reads is read again while it is in the cache.
_WINDOWS = 16
_WINDOW = 256
_NEAR = 0.3


@dataclass(frozen=True, eq=False)
class Pattern:
    """Positions of the stored entries of an ``R x C`` matrix, in CSR order (by row, then column).

    Args:
        rowptr: ``[R + 1]``, entries of row ``i`` are ``rowptr[i]:rowptr[i + 1]``.
        col: ``[nnz]``, column of each entry.
        num_cols: ``C``.

    Indices are int32 wherever they fit: torch's CPU sparse products are about 15 times slower on
    int64. Everything derived from a pattern is kept in it by :meth:`cached`, and nothing else is
    ever written to it.
    """

    rowptr: Tensor
    col: Tensor
    num_cols: int
    _cache: dict[str, tuple[object, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def from_coo(cls, row: Tensor, col: Tensor, shape: tuple[int, int]) -> Pattern:
        """The pattern of entries that are already sorted by row."""
        return cls.from_counts(torch.bincount(row, minlength=shape[0]), col, shape[1])

    @classmethod
    def from_counts(cls, counts: Tensor, col: Tensor, num_cols: int) -> Pattern:
        """The pattern of rows with ``counts [R]`` entries each, one row after the other."""
        dtype = index_dtype(max(len(counts), num_cols, col.numel()))
        rowptr = torch.zeros(len(counts) + 1, dtype=dtype, device=col.device)
        rowptr[1:] = counts.cumsum(0)
        return cls(rowptr, col.to(dtype).contiguous(), num_cols)

    @classmethod
    def from_unchecked(cls, row: Tensor, col: Tensor, num_nodes: int) -> Pattern:
        """The square pattern of entries whose order and range are checked later.

        Rows are delimited by bisection, which accepts any ids and never waits for a GPU.
        """
        dtype = index_dtype(max(num_nodes, len(row)))
        row, col = row.to(dtype).contiguous(), col.to(dtype).contiguous()
        nodes = torch.arange(num_nodes + 1, dtype=dtype, device=row.device)
        rowptr = torch.searchsorted(row, nodes, out_int32=dtype == torch.int32)
        return cls._with(rowptr, col, num_nodes, row=row)

    @classmethod
    def from_tensors(
        cls,
        rowptr: Tensor,
        col: Tensor,
        colptr: Tensor,
        row: Tensor,
        csc_perm: Tensor,
        csr_perm: Tensor,
    ) -> Pattern:
        """A square pattern and its transpose, from the :attr:`tensors` that an operator gets."""
        csc = colptr, row, csc_perm, csr_perm
        return cls._with(rowptr, col, rowptr.numel() - 1, csc=csc)

    @classmethod
    def _with(cls, rowptr: Tensor, col: Tensor, num_cols: int, **derived: object) -> Pattern:
        """A pattern with values for its cache."""
        return cls(rowptr, col, num_cols, {key: (None, value) for key, value in derived.items()})

    @property
    def shape(self) -> tuple[int, int]:
        """``(R, C)``."""
        return self.rowptr.numel() - 1, self.num_cols

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return self.col.numel()

    def cached(self, key: str, make: Callable[[], T], partner: object = None) -> T:
        """The value of ``make()``, computed at first use and kept in the pattern.

        Args:
            key: the name of the value.
            make: computes it; called outside inference mode, since tensors made within it can
                never be saved for a backward pass.
            partner: a second object that the value depends on, compared by identity. The value for
                the latest partner is kept. (default: :obj:`None`, the pattern alone)

        Example:
            >>> pattern = Pattern.from_coo(torch.tensor([0]), torch.tensor([1]), (2, 2))
            >>> pattern.cached("degree", pattern.rowptr.diff) is pattern.cached("degree", len)
            True
        """
        if not self.is_cached(key, partner):
            check_no_function_transforms()
            with torch.inference_mode(False):
                self._cache[key] = partner, make()
        return self._cache[key][1]

    def is_cached(self, key: str, partner: object = None) -> bool:
        """Return whether a value is kept; code traced by ``torch.compile`` cannot keep new ones."""
        return key in self._cache and self._cache[key][0] is partner

    @property
    def row(self) -> Tensor:
        """``[nnz]``, the row of each entry."""
        return self.cached("row", self._expand_rows)

    def _expand_rows(self) -> Tensor:
        rows = torch.arange(self.shape[0], dtype=self.col.dtype, device=self.col.device)
        return rows.repeat_interleave(self.rowptr.diff(), output_size=self.nnz)

    @property
    def identity(self) -> Pattern:
        """The diagonal of a square pattern, always the same object."""
        return self.cached("identity", self._make_identity)

    def _make_identity(self) -> Pattern:
        rowptr = torch.arange(self.shape[0] + 1, dtype=self.col.dtype, device=self.col.device)
        return Pattern(rowptr, rowptr[:-1].clone(), self.num_cols)

    @property
    def csc_perm(self) -> Tensor:
        """``[nnz]``, the entries in column order: ``values[csc_perm]`` are those of :attr:`mT`."""
        return self._csc[2]

    @property
    def mT(self) -> Pattern:  # noqa: N802
        """The transposed pattern."""
        return self.cached("mT", self._transpose)

    def _transpose(self) -> Pattern:
        colptr, row, csc_perm, csr_perm = self._csc
        # Tensors, not self: a cycle would keep them alive until the garbage collector runs.
        csc = self.rowptr, self.col, csr_perm, csc_perm
        return Pattern._with(colptr, row, self.shape[0], csc=csc)

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """``rowptr, col``, those of :attr:`mT`, and the permutations to its entries and back."""
        return self.rowptr, self.col, *self._csc

    @property
    def _csc(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``rowptr, col`` of the transpose, the permutation to its entries and the one back."""
        return self.cached("csc", self._sort_columns)

    def _sort_columns(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        dtype, on_cpu = self.col.dtype, self.col.device.type == "cpu"
        if on_cpu and self.nnz and not torch.compiler.is_compiling():
            # Counting is several times faster than sorting.
            entry = np.arange(self.nnz, dtype=self.col.numpy().dtype)
            csr = csr_matrix((entry, self.col.numpy(), self.rowptr.numpy()), shape=self.shape)
            csc = csr.tocsc()
            colptr, row, perm = map(torch.from_numpy, (csc.indptr, csc.indices, csc.data))
        else:
            # Bisection has a result of known size: nothing waits for a GPU, and compilers trace it.
            perm = torch.argsort(self.col, stable=True)
            columns = torch.arange(self.num_cols + 1, dtype=dtype, device=self.col.device)
            colptr, row = torch.searchsorted(self.col[perm], columns), self.row[perm]
        perm = perm.to(dtype)
        back = torch.empty_like(perm)
        back[perm] = torch.arange(self.nnz, dtype=dtype, device=perm.device)
        return colptr.to(dtype), row.to(dtype), perm, back

    @property
    def row_order(self) -> Tensor:
        """``[R]``, an order of the rows of a large square pattern with good locality; else empty.

        Rows that share columns follow each other and find them in the cache of the CPU: reverse
        Cuthill-McKee order of a subsample of the entries.
        """
        return self.cached("row_order", self._find_row_order)

    def _find_row_order(self) -> Tensor:
        square, on_cpu = self.shape[0] == self.num_cols, self.col.device.type == "cpu"
        if not (square and on_cpu) or self.nnz < _LARGE or self._is_local():
            return self.col.new_empty(0)
        return self.subsample().cuthill_mckee()

    def cuthill_mckee(self) -> Tensor:
        """``[N]``, the rows of a square pattern on CPU in reverse Cuthill-McKee order."""
        ones = np.ones(self.nnz, dtype=np.int8)
        matrix = csr_matrix((ones, self.col.numpy(), self.rowptr.numpy()), shape=self.shape)
        return torch.from_numpy(reverse_cuthill_mckee(matrix).copy()).to(self.col.dtype)

    def subsample(self) -> Pattern:
        """About :data:`_SUBSAMPLE` entries of each row, evenly spaced."""
        row, counts = self.row.long(), self.rowptr.diff()
        step = torch.div(counts, _SUBSAMPLE, rounding_mode="floor").clamp(min=1)
        kept = (torch.arange(self.nnz) - self.rowptr[row]) % step[row] == 0
        return Pattern.from_coo(self.row[kept], self.col[kept], self.shape)

    def _is_local(self) -> bool:
        """Return whether consecutive rows share most of their columns already."""
        rows, distinct, entries = self.shape[0], 0, 0
        for start in torch.linspace(0, max(rows - _WINDOW, 0), _WINDOWS).long().tolist():
            window = self.col[self.rowptr[start] : self.rowptr[min(start + _WINDOW, rows)]]
            # Each window reads as many columns as it has rows once, however good the order is.
            distinct += max(len(window.unique()) - _WINDOW, 0)
            entries += len(window)
        return distinct < _NEAR * entries

    def to_dense(self, value: Tensor) -> Tensor:
        """``[..., nnz]`` values as dense matrices ``[..., R, C]``; coinciding entries add."""
        dense = value.new_zeros(*value.shape[:-1], self.shape[0] * self.shape[1])
        position = self.row.long() * self.num_cols + self.col.long()
        return dense.index_add(-1, position, value).unflatten(-1, self.shape)

    def __getattr__(self, name: str) -> Any:
        """Former names, for one release."""
        new = {"order": "csc_perm", "schedule": "row_order", "thinned": "subsample"}.get(name)
        if new is None:
            raise AttributeError(f"'Pattern' object has no attribute {name!r}")
        message = f"`Pattern.{name}` is now called `{new}`"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return getattr(self, new)


def index_dtype(largest: int) -> torch.dtype:
    """int32 where the numbers fit, int64 otherwise."""
    return torch.int32 if largest <= _INT32_MAX else torch.int64
