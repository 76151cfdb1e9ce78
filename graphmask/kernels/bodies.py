"""Bodies of the primitives from torch's own sparse products: MKL or native code on CPU, cuSPARSE on CUDA."""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch import Tensor


def spmm_body(value: Tensor, x: Tensor, rowptr: Tensor, col: Tensor) -> Tensor:
    """``[H, nnz]`` times ``[H, M, C]``, head by head: torch has no batched CSR product on CPU."""
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
    """Torch announces once per process that its CSR layout is in beta; users of masks need not read it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1), check_invariants=False)
