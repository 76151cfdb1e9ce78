"""Bodies of the primitives from torch's own sparse products.

MKL or native code on CPU, cuSPARSE on CUDA.

With the extra `fast` products on CPU with many columns are summed by a compiled body: measured at a
third to two thirds of the time of MKL's, from 16 columns on.
"""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch import Tensor

from ._extra import HAS_NUMBA

# Multiply-adds below which torch multiplies: a body is compiled for each number of channels, within
# seconds.
_WORTH_COMPILING = 2**22

# Bytes of a row from which on the compiled body is the faster one.
_WIDE = 64


def spmm_body(value: Tensor, x: Tensor, rowptr: Tensor, col: Tensor) -> Tensor:
    """``[H, nnz]`` times ``[H, M, C]``."""
    if _is_compiled(x, col):
        from ._spmm_numba import spmm

        return spmm(value, x, rowptr, col)
    return _multiply_heads(value, x, rowptr, col)


def _is_compiled(x: Tensor, col: Tensor) -> bool:
    wide = (
        x.shape[2] * x.element_size() >= _WIDE
        and col.numel() * x.shape[0] * x.shape[2] >= _WORTH_COMPILING
    )
    return (
        HAS_NUMBA and wide and x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    )


def _multiply_heads(value: Tensor, x: Tensor, rowptr: Tensor, col: Tensor) -> Tensor:
    """Head by head: torch has no batched CSR product on CPU."""
    shape = (rowptr.numel() - 1, x.shape[1])
    out = x.new_zeros(x.shape[0], shape[0], x.shape[2])
    if value.numel() and x.shape[2]:
        for head in range(x.shape[0]):
            out[head] = _csr(rowptr, col, value[head], shape) @ x[head]
    return out


def sddmm_body(x: Tensor, y: Tensor, rowptr: Tensor, col: Tensor) -> Tensor:
    """Dot products of ``[H, N, C]`` with ``[H, M, C]`` at the entries, head by head."""
    shape = (rowptr.numel() - 1, y.shape[1])
    out = x.new_zeros(x.shape[0], col.numel())
    if out.numel() and x.shape[2]:
        for head in range(x.shape[0]):
            support = _csr(rowptr, col, out[head], shape)
            out[head] = torch.sparse.sampled_addmm(support, x[head], y[head].mT, beta=0.0).values()
    return out


def _csr(rowptr: Tensor, col: Tensor, value: Tensor, shape: tuple[int, int]) -> Tensor:
    _hear_beta_notice()
    return torch.sparse_csr_tensor(rowptr, col, value, shape, check_invariants=False)


@cache
def _hear_beta_notice() -> None:
    """Torch announces once per process that its CSR layout is in beta.

    Users of masks need not read it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1), check_invariants=False)
