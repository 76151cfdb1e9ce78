"""Pair attention: both sums of masked linear attention over the entries of a pattern.

    numerator_i = sum over entries (i, j) of  M_ij (q_i . k_j) v_j
    denominator_i = sum over entries (i, j) of  |M_ij| (q_i . k_j)

It is a composition of `sddmm` and `spmm`. With the extra `fast` a body compiled for CPUs takes one
pass over the entries instead, and two more for the gradients, in which scores are formed again: no
array holds a number per entry and channel, or per entry and head other than the values of the mask
and their gradient. Triton kernels do the same on GPUs; they read half precision as it is, and may
form the mask from hops on the way. Derivatives of these derivatives are those of the composition.
Letters: H heads, N nodes, m features, d value channels, P pairs, K hops.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ._autograd import STRUCTURE, Grads, composition_backward, operator, pad, save_inputs
from ._extra import HAS_NUMBA, load_bodies
from .hops import HopValues, combine_hops
from .pattern import Pattern
from .products import (
    in_one_type,
    inner_products,
    multiply_heads,
    runs_numba,
    runs_triton,
    sum_dtype,
)

# Multiply-adds below which the composition is called: a body is compiled for each number of
# channels, within seconds.
_MIN_COMPILED_WORK = 2**22

# Channels of a head that fit the registers of a compiled body or of a program of a GPU.
_MAX_CHANNELS = 256

# The arguments of operators; gradients are computed of the inputs.
_GRADS = "Tensor grad_numerator, Tensor grad_denominator"
_INPUTS = "Tensor q, Tensor k, Tensor v, Tensor value, Tensor? coefficients"
_REST = f"{STRUCTURE}, Tensor row_order, bool signed"
_NUM_INPUTS = 5


def pair_attention(
    pattern: Pattern,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor | HopValues,
    signed: bool = True,
) -> tuple[Tensor, Tensor]:
    r"""Numerator :math:`\sum_j M_{ij} (q_i \cdot k_j)\, v_j`, denominator with |M| and no v.

    Args:
        pattern: the entries (i, j), of shape ``N x N``.
        q: ``[H, N, m]``.
        k: ``[H, N, m]``.
        v: ``[H, N, d]``.
        value: ``[H, P]`` or ``[1, P]``, the mask at the entries; or
            :class:`~graphmask.kernels.HopValues`, from which it is formed.
        signed: whether values may be negative; if not, their signs are not read. (default:
            :obj:`True`)

    Returns:
        ``[H, N, d]`` and ``[H, N]``, in the promoted type of all four; of half precision in
        float32, as they are summed.

    Cost: O(P H (m + d)) time; memory O(N H d) with the extra ``fast`` on CPU, and on GPUs with
    triton, otherwise O(P H) more.

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, pair_attention
        >>> path = Pattern.from_coo(torch.tensor([0, 1, 1]), torch.tensor([1, 0, 2]), (3, 3))
        >>> ones, value = torch.ones(1, 3, 1), torch.tensor([[1.0, 2.0, -1.0]])
        >>> numerator, denominator = pair_attention(path, ones, ones, ones, value)
        >>> numerator.flatten(), denominator.flatten()
        (tensor([1., 1., 0.]), tensor([1., 3., 0.]))
    """
    coefficients, structure, triton = None, pattern.tensors, _runs_triton(q, v)
    if isinstance(value, HopValues):
        value, coefficients = value
        if value.requires_grad or not triton:
            value, coefficients = combine_hops(value, coefficients), None
    if not triton:
        q, k, v, value = in_one_type(q, k, v, value)
        if not (runs_numba(q) and max(q.shape[2], v.shape[2]) <= _MAX_CHANNELS):
            return _compose_sums(structure, q, k, v, value, signed)
    return _attend(q, k, v, value, coefficients, *structure, _row_order(pattern), signed)


def runs_compiled(device: torch.device, work: int) -> bool:
    """Return whether numba runs this many multiply-adds, where types and channels allow it."""
    return HAS_NUMBA and device.type == "cpu" and work >= _MIN_COMPILED_WORK


def forms_values(table: Tensor) -> bool:
    """Return whether the mask is formed from a table of hops where it is read."""
    return runs_triton(table) and not table.requires_grad


def _row_order(pattern: Pattern) -> Tensor:
    """The pattern's order of rows; in code that torch compiles only one that is kept already."""
    if torch.compiler.is_compiling() and not pattern.is_cached("row_order"):
        return pattern.col.new_empty(0)
    return pattern.row_order


def _runs_triton(q: Tensor, v: Tensor) -> bool:
    return runs_triton(q) and all(0 < x.shape[2] <= _MAX_CHANNELS for x in (q, v))


def _runs_numba(q: Tensor, v: Tensor, col: Tensor) -> bool:
    work = col.numel() * q.shape[0] * (q.shape[2] + v.shape[2])
    return bool(q.shape[2] and v.shape[2]) and runs_compiled(q.device, work)


def _split(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of an operator, with the structure as one of them."""
    *inputs, rowptr, col, colptr, row, csc_perm, csr_perm, row_order, signed = args
    return *inputs, (rowptr, col, colptr, row, csc_perm, csr_perm), row_order, signed


def _define(
    name: str, arguments: str, fake: Callable[..., Any], compose: Callable[..., tuple[Tensor, ...]]
) -> torch.library.CustomOpDef:
    """Registers an operator that runs a Triton kernel, a numba body, or the composition."""

    @operator(f"pairs_{name}", f"({arguments}, {_REST}) -> (Tensor, Tensor)", fake)
    def run(*args: Any) -> tuple[Tensor, ...]:
        *inputs, coefficients, structure, row_order, signed = _split(args)
        q, _, v, _ = inputs[-4:]
        if _runs_triton(q, v):
            body = getattr(load_bodies("_pairs_triton"), name)
            return body(*inputs, coefficients, structure, signed)
        if _runs_numba(q, v, structure[1]):
            body = getattr(load_bodies("_pairs_numba"), name)
            return body(*inputs, structure, row_order, signed)
        return tuple(_copy_by_nodes(x) for x in compose(*args))

    return run


def _copy_by_nodes(x: Tensor) -> Tensor:
    """A copy, since results of operators share no memory, with the heads of a node side by side."""
    return x.transpose(0, 1).clone(memory_format=torch.contiguous_format).transpose(0, 1)


def _backward(ctx: Any, *grad_outputs: Tensor) -> Grads:
    needs_q, needs_k, needs_v, needs_value, needs_coefficients = ctx.needs_input_grad[:_NUM_INPUTS]
    args = *grad_outputs, *ctx.saved_tensors, *ctx.options
    grad_q = grad_k = grad_v = grad_mask = None
    if needs_q or needs_value or needs_coefficients:
        grad_q, grad_mask = _differentiate_rows(*args)
    if needs_k or needs_v:
        grad_k, grad_v = _differentiate_columns(*args)
    grad_value = grad_mask if needs_value else None
    grad_coefficients = grad_mask if needs_coefficients else None
    return pad((grad_q, grad_k, grad_v, grad_value, grad_coefficients), ctx)


def _compose_sums(
    structure: tuple[Tensor, ...], q: Tensor, k: Tensor, v: Tensor, value: Tensor, signed: bool
) -> tuple[Tensor, Tensor]:
    score, ones = inner_products(q, k, *structure), v.new_ones(*v.shape[:2], 1)
    multiply = partial(multiply_heads, structure)
    if not signed:
        total = multiply(score * value, torch.cat([v, ones], -1))
        return total[..., :-1], total[..., -1]
    return multiply(score * value, v), multiply(score * value.abs(), ones)[..., 0]


def _compose_attend(*args: Any) -> tuple[Tensor, Tensor]:
    q, k, v, value, _, structure, _, signed = _split(args)
    return _compose_sums(structure, q, k, v, value, signed)


def _compose_rows(*args: Any) -> tuple[Tensor, Tensor]:
    structure, q, k, _, mask, weight = _grad_scores(args)
    grad_mask = inner_products(q, k, *structure) * weight
    grad_mask = grad_mask.sum(0, keepdim=True) if len(mask) < len(q) else grad_mask
    value, coefficients = args[5:7]
    if coefficients is None:
        grad_mask = grad_mask.to(value.dtype)
    else:
        grad_mask = (grad_mask @ value.to(grad_mask.dtype)).to(coefficients.dtype)
    return multiply_heads(structure, mask * weight, k).to(args[2].dtype), grad_mask


def _compose_columns(*args: Any) -> tuple[Tensor, Tensor]:
    structure, q, k, grad_numerator, mask, weight = _grad_scores(args)
    rowptr, col, colptr, row, csc_perm, csr_perm = structure
    transposed = colptr, row, rowptr, col, csr_perm, csc_perm
    by_column = (mask * x for x in (weight, inner_products(q, k, *structure)))
    grad_k, grad_v = (
        multiply_heads(transposed, x.index_select(1, csc_perm), y)
        for x, y in zip(by_column, (q, grad_numerator), strict=True)
    )
    return grad_k.to(args[3].dtype), grad_v.to(args[4].dtype)


def _grad_scores(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The structure, q, k, the first gradient and the mask, all of one type.

    And ``[H, P]``, the gradient of ``M_ij (q_i . k_j)``.
    """
    *inputs, coefficients, structure, _, signed = _split(args)
    if coefficients is not None:
        inputs[-1] = combine_hops(inputs[-1], coefficients)
    grad_numerator, grad_denominator, q, k, v, mask = in_one_type(*inputs)
    *_, row, _, csr_perm = structure
    grad = grad_denominator.index_select(1, row.index_select(0, csr_perm))
    grad = mask.sgn() * grad if signed else grad
    weight = inner_products(grad_numerator, v, *structure) + grad
    return structure, q, k, grad_numerator, mask, weight


def _fake_by_nodes(x: Tensor, dtype: torch.dtype) -> Tensor:
    """``[H, N, ...]`` with the heads of a node side by side in memory, as bodies write them."""
    return x.new_empty(x.transpose(0, 1).shape, dtype=dtype).transpose(0, 1)


def _fake_attend(q: Tensor, k: Tensor, v: Tensor, value: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    dtype = sum_dtype(q, k, v, value)
    return _fake_by_nodes(v, dtype), v.new_empty(v.shape[1], v.shape[0], dtype=dtype).mT


def _fake_rows(*args: Any) -> tuple[Tensor, Tensor]:
    _, _, q, _, _, value, coefficients, *_ = args
    if coefficients is None:
        return _fake_by_nodes(q, q.dtype), _fake_by_nodes(value, value.dtype)
    return _fake_by_nodes(q, q.dtype), coefficients.new_empty(coefficients.shape)


def _fake_columns(*args: Any) -> tuple[Tensor, Tensor]:
    _, _, _, k, v, *_ = args
    return _fake_by_nodes(k, k.dtype), _fake_by_nodes(v, v.dtype)


_attend = _define("attend", _INPUTS, _fake_attend, _compose_attend)
# Gradients of q, and of the coefficients if there are any, else of the values; and of k and v.
_differentiate_rows = _define(
    "differentiate_rows", f"{_GRADS}, {_INPUTS}", _fake_rows, _compose_rows
)
_differentiate_columns = _define(
    "differentiate_columns", f"{_GRADS}, {_INPUTS}", _fake_columns, _compose_columns
)

_attend.register_autograd(_backward, setup_context=save_inputs)
for _derivative, _compose in (
    (_differentiate_rows, _compose_rows),
    (_differentiate_columns, _compose_columns),
):
    _derivative.register_autograd(
        composition_backward(_compose, 2 + _NUM_INPUTS), setup_context=save_inputs
    )
