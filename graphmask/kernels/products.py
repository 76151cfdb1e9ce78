"""The two primitives under every sparse mask, each the derivative of the other.

    spmm(P, a, x)_i   = sum over entries (i, j) of P of  a_ij x_j    d/da = sddmm, d/dx = spmm (P^T)
    sddmm(P, x, y)_ij = x_i . y_j at the entries (i, j) of P         d/dx = spmm,  d/dy = spmm (P^T)

So derivatives of every order come from these two. Autocast is off inside: sums stay in the type of
the operands. Implementations: torch's sparse products (MKL or native code on CPU, cuSPARSE on
CUDA); with the extra `fast` numba on CPU, measured at a third to two thirds of the time of MKL from
16 columns on; Triton kernels on GPUs.
Letters: H heads, N rows, M columns, C channels, nnz entries.
"""

from __future__ import annotations

import warnings
from functools import cache, reduce
from typing import Any

import torch
from torch import Tensor

from graphmask._precision import full_precision

from ._autograd import STRUCTURE, Grads, operator, pad
from ._extra import HAS_NUMBA, HAS_TRITON, load_bodies
from .pattern import Pattern

# Multiply-adds below which torch multiplies: a body is compiled for each number of channels, within
# seconds.
_MIN_COMPILED_WORK = 2**22

# Bytes of a row from which on the compiled body is the faster one.
_MIN_COMPILED_ROW = 64


def spmm(pattern: Pattern, value: Tensor, x: Tensor) -> Tensor:
    r"""Sparse matrix times dense matrix, :math:`y_{hi} = \sum_{j} a_{hij}\, x_{hj}`.

    Args:
        pattern: the entries (i, j), of shape ``N x M``.
        value: ``[H, nnz]`` or ``[1, nnz]``.
        x: ``[H, M, C]`` or ``[1, M, C]``.

    Returns:
        ``[H, N, C]``. Half precision is computed in float32 and returned in the type of ``x``.

    Cost: O(nnz H C) time, O(N H C) memory.

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, spmm
        >>> path = Pattern.from_coo(torch.tensor([0, 1, 1]), torch.tensor([1, 0, 2]), (3, 3))
        >>> spmm(path, torch.ones(1, 3), torch.tensor([[[1.0], [2.0], [4.0]]])).flatten()
        tensor([2., 5., 0.])
    """
    result = multiply_heads(pattern.tensors, *in_one_type(value, x))
    return result.to(x.dtype) if is_half(x) else result


def sddmm(pattern: Pattern, x: Tensor, y: Tensor) -> Tensor:
    r"""Sampled dense-dense product, :math:`s_{hij} = x_{hi} \cdot y_{hj}` at a pattern's entries.

    Args:
        pattern: the entries (i, j), of shape ``N x M``.
        x: ``[H, N, C]``.
        y: ``[H, M, C]``.

    Returns:
        ``[H, nnz]``. Half precision is computed in float32, and the result stays float32.

    Cost: O(nnz H C) time, O(nnz H) memory.

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, sddmm
        >>> path = Pattern.from_coo(torch.tensor([0, 1, 1]), torch.tensor([1, 0, 2]), (3, 3))
        >>> x = torch.tensor([[[1.0], [2.0], [4.0]]])
        >>> sddmm(path, x, x)
        tensor([[2., 2., 8.]])
    """
    return inner_products(*in_one_type(x, y), *pattern.tensors)


def is_half(x: Tensor) -> bool:
    """Return whether sums over x need a wider type."""
    return x.dtype in (torch.float16, torch.bfloat16)


def accumulator(x: Tensor) -> torch.dtype:
    """The type in which sums over x are computed."""
    return torch.float32 if is_half(x) else x.dtype


def sum_dtype(*tensors: Tensor) -> torch.dtype:
    """The type in which sums over products of tensors are computed."""
    return reduce(torch.promote_types, map(accumulator, tensors))


def in_one_type(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Convert tensors to the type in which sums over their products are computed."""
    dtype = sum_dtype(*tensors)
    return tuple(x.to(dtype) for x in tensors)


def runs_triton(x: Tensor) -> bool:
    """Return whether Triton kernels run on the device of x."""
    return HAS_TRITON and x.device.type == "cuda"


def runs_numba(x: Tensor) -> bool:
    """Return whether compiled bodies run on x."""
    return HAS_NUMBA and x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


def multiply_heads(structure: tuple[Tensor, ...], value: Tensor, x: Tensor) -> Tensor:
    """:func:`spmm` of operands of one type, on the :attr:`Pattern.tensors` of a pattern."""
    heads, columns, channels = x.shape
    if value.shape[0] == 1 and heads > 1:
        wide = x.transpose(0, 1).reshape(1, columns, heads * channels)
        return _spmm(value, wide, *structure).unflatten(2, (heads, channels))[0].transpose(0, 1)
    return _spmm(value, x.expand(value.shape[0], -1, -1), *structure)


@operator(
    "spmm",
    f"(Tensor value, Tensor x, {STRUCTURE}) -> Tensor",
    lambda value, x, rowptr, *_: x.new_empty(x.shape[0], rowptr.shape[0] - 1, x.shape[2]),
)
def _spmm(value: Tensor, x: Tensor, *structure: Tensor) -> Tensor:
    with full_precision(x.device):
        return multiply(value, x, *structure)


def multiply(value: Tensor, x: Tensor, *structure: Tensor) -> Tensor:
    """:func:`spmm` of operands of one type, by the implementation that runs best on x."""
    rowptr, col, *_ = structure
    if runs_triton(x):
        return load_bodies("_spmm_triton").spmm(value, x, *structure)
    if _runs_compiled(x, col):
        return load_bodies("_spmm_numba").spmm(value, x, rowptr, col)
    # Head by head: torch has no batched CSR product on CPU.
    out = x.new_zeros(x.shape[0], rowptr.numel() - 1, x.shape[2])
    if value.numel() and x.shape[2]:
        for head in range(x.shape[0]):
            out[head] = _csr(rowptr, col, value[head], x.shape[1]) @ x[head]
    return out


def _runs_compiled(x: Tensor, col: Tensor) -> bool:
    wide = x.shape[2] * x.element_size() >= _MIN_COMPILED_ROW
    enough = col.numel() * x.shape[0] * x.shape[2] >= _MIN_COMPILED_WORK
    return wide and enough and runs_numba(x)


@operator(
    "sddmm",
    f"(Tensor x, Tensor y, {STRUCTURE}) -> Tensor",
    lambda x, y, rowptr, col, *_: x.new_empty(x.shape[0], col.shape[0]),
)
def inner_products(x: Tensor, y: Tensor, *structure: Tensor) -> Tensor:
    """:func:`sddmm` of operands of one type, on the :attr:`Pattern.tensors` of a pattern."""
    with full_precision(x.device):
        if runs_triton(x):
            return load_bodies("_spmm_triton").sddmm(x, y, *structure)
        rowptr, col, *_ = structure
        out = x.new_zeros(x.shape[0], col.numel())
        if out.numel() and x.shape[2]:
            for head in range(x.shape[0]):
                support = _csr(rowptr, col, out[head], y.shape[1])
                product = torch.sparse.sampled_addmm(support, x[head], y[head].mT, beta=0.0)
                out[head] = product.values()
        return out


def _csr(rowptr: Tensor, col: Tensor, value: Tensor, num_cols: int) -> Tensor:
    _silence_beta_warning()
    shape = rowptr.numel() - 1, num_cols
    return torch.sparse_csr_tensor(rowptr, col, value, shape, check_invariants=False)


@cache
def _silence_beta_warning() -> None:
    """Torch warns once per process that its CSR layout is in beta; users of masks need not know."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1), check_invariants=False)


def _save_operands(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    """Keeps of both operands what the gradient of the other one needs."""
    left, right, *structure = inputs
    needs_left, needs_right = ctx.needs_input_grad[:2]
    ctx.save_for_backward(left if needs_right else None, right if needs_left else None, *structure)


def _spmm_backward(ctx: Any, grad: Tensor) -> Grads:
    value, x, *structure = ctx.saved_tensors
    grad_value = None if x is None else inner_products(grad, x, *structure)
    return pad((grad_value, _multiply_transposed(value, grad, *structure)), ctx)


def _sddmm_backward(ctx: Any, grad: Tensor) -> Grads:
    x, y, *structure = ctx.saved_tensors
    grad_x = None if y is None else _spmm(grad, y, *structure)
    return pad((grad_x, None if x is None else _multiply_transposed(grad, x, *structure)), ctx)


def _multiply_transposed(value: Tensor | None, x: Tensor, *structure: Tensor) -> Tensor | None:
    if value is None:
        return None
    rowptr, col, colptr, row, csc_perm, csr_perm = structure
    value = value.index_select(1, csc_perm)
    return _spmm(value, x, colptr, row, rowptr, col, csr_perm, csc_perm)


_spmm.register_autograd(_spmm_backward, setup_context=_save_operands)
inner_products.register_autograd(_sddmm_backward, setup_context=_save_operands)
