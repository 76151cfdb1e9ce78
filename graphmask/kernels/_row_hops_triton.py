"""Coefficients of rows on GPUs: products with the pattern that joins rows to their entries.

Its row i has the columns p of the entries p = (i, j), in order, so that the kernels of
`_spmm_triton` serve. Experimental: no GPU runs these kernels in this project's CI.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import torch
from torch import Tensor

from ._spmm_triton import sddmm, spmm


def values(coefficients: Tensor, table: Tensor, rowptr: Tensor, row: Tensor) -> Tensor:
    """``[H, P]``, the heads of a pair side by side."""
    heads = coefficients.shape[1]
    tables, structure = table.expand(heads, -1, -1), _incidence(rowptr, row)
    return sddmm(coefficients.transpose(0, 1), tables, *structure).mT.contiguous().mT


def coefficients(grad: Tensor, table: Tensor, rowptr: Tensor, row: Tensor) -> Tensor:
    """``[N, H, K + 1]``."""
    tables = table.expand(len(grad), -1, -1)
    return spmm(grad, tables, *_incidence(rowptr, row)).transpose(0, 1).contiguous()


def _incidence(rowptr: Tensor, row: Tensor) -> tuple[Tensor, ...]:
    """The pattern ``[N, P]`` as :attr:`Pattern.tensors`: its entries are in order both ways."""
    entry = torch.arange(len(row) + 1, dtype=row.dtype, device=row.device)
    return rowptr, entry[:-1], entry, row, entry[:-1], entry[:-1]
