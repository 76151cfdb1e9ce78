"""Pair attention: both sums of masked attention over the entries of a pattern.

    numerator_i = sum over entries (i, j) of  M_ij s_ij v_j         s_ij = q_i . k_j, or
    denominator_i = sum over entries (i, j) of  |M_ij| s_ij         1 + q_i . k_j, or
                                                                    exp(q_i . k_j - shift_i)

The shift of a row is its largest product where the mask is not zero. Sums whose ratio is taken do
not depend on it: derivatives hold it fixed.

It is a composition of `sddmm` and `spmm`. With the extra `fast` a body compiled for CPUs takes one
pass over the entries instead, and two more for the gradients, in which scores are formed again: no
array holds a number per entry and channel, or per entry and head other than the values of the mask
and their gradient. Triton kernels do the same on GPUs for inner products; they read half precision
as it is, and may form the mask from hops on the way. Derivatives of these derivatives are those of
the composition.
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
from ._options import OPTIONS, Options
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

# Multiply-adds below which the composition is called. A body is compiled for each number of
# channels, within seconds, once per machine, and read from the disk within 0.05 s by later
# processes. It takes half the time of the composition for whatever size, or less: a few hundred
# steps pay for it from here on. The rule depends on sizes alone, so that runs repeat bit by bit.
_MIN_COMPILED_WORK = 2**18

# Channels of a head that fit the registers of a compiled body or of a program of a GPU.
_MAX_CHANNELS = 256

# The arguments of operators; gradients are computed of the inputs.
_GRADS = "Tensor grad_numerator, Tensor grad_denominator, Tensor shift"
_INPUTS = "Tensor q, Tensor k, Tensor v, Tensor value, Tensor? coefficients"
_REST = f"{STRUCTURE}, Tensor row_order, {OPTIONS}"
_NUM_GRADS = 3
_NUM_INPUTS = 5

# Numerator, denominator and shift; the last two are empty where options do not ask for them.
_Sums = tuple[Tensor, Tensor, Tensor]


def pair_attention(
    pattern: Pattern,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor | HopValues,
    signed: bool = True,
    plus_one: bool = False,
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
        plus_one: whether scores are :math:`1 + q_i \cdot k_j`. (default: :obj:`False`)

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
    return _sum_pairs(pattern, q, k, v, value, Options(signed, plus_one=plus_one))[:2]


def pair_sums(
    pattern: Pattern,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor | HopValues,
    plus_one: bool = False,
) -> Tensor:
    r"""The numerator of :func:`pair_attention` alone, which costs less than both sums.

    Args and cost: those of :func:`pair_attention`.

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, pair_sums
        >>> path = Pattern.from_coo(torch.tensor([0, 1, 1]), torch.tensor([1, 0, 2]), (3, 3))
        >>> ones, value = torch.ones(1, 3, 1), torch.tensor([[1.0, 2.0, -1.0]])
        >>> pair_sums(path, ones, ones, ones, value).flatten()
        tensor([1., 1., 0.])
    """
    options = Options(signed=False, normalized=False, plus_one=plus_one)
    return _sum_pairs(pattern, q, k, v, value, options)[0]


def pair_softmax(
    pattern: Pattern,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor | HopValues,
    signed: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Both sums of :func:`pair_attention` with the scores :math:`e^{q_i \cdot k_j - c_i}`.

    The shift :math:`c_i` is the largest :math:`q_i \cdot k_j` of the row where the mask is not
    zero, and 0 where there is none, so that nothing overflows. Their ratio does not depend on it:
    it is a constant of all derivatives, and so only of functions that do not depend on it they are
    the derivatives. Triton kernels are not used.

    Args and cost: those of :func:`pair_attention`.

    Returns:
        ``[H, N, d]``, ``[H, N]`` and the shift ``[H, N]``.

    Source: Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018), algorithm 3.

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, pair_softmax
        >>> path = Pattern.from_coo(torch.tensor([0, 1, 1]), torch.tensor([1, 0, 2]), (3, 3))
        >>> q, k = torch.ones(1, 3, 1), torch.tensor([[[0.0], [3.0], [0.0]]])
        >>> _, denominator, shift = pair_softmax(path, q, k, q, torch.ones(1, 3))
        >>> denominator.flatten(), shift.flatten()
        (tensor([1., 2., 0.]), tensor([3., 0., 0.]))
    """
    options = Options(signed, exponentials=True)
    numerator, denominator, shift = _sum_pairs(pattern, q, k, v, value, options)
    return numerator, denominator, shift.detach()


def _sum_pairs(
    pattern: Pattern,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor | HopValues,
    options: Options,
) -> _Sums:
    coefficients, structure, triton = None, pattern.tensors, _runs_triton(q, v, options)
    if isinstance(value, HopValues):
        value, coefficients = value
        if value.requires_grad or not triton:
            value, coefficients = combine_hops(value, coefficients), None
    if not triton:
        q, k, v, value = in_one_type(q, k, v, value)
        if not (runs_numba(q) and max(q.shape[2], v.shape[2]) <= _MAX_CHANNELS):
            return _compose_sums(structure, q, k, v, value, options)
    return _attend(q, k, v, value, coefficients, *structure, _row_order(pattern), *options)


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


def _runs_triton(q: Tensor, v: Tensor, options: Options) -> bool:
    fits = all(0 < x.shape[2] <= _MAX_CHANNELS for x in (q, v))
    return runs_triton(q) and fits and not options.exponentials


def _runs_numba(q: Tensor, v: Tensor, col: Tensor) -> bool:
    work = col.numel() * q.shape[0] * (q.shape[2] + v.shape[2])
    return bool(q.shape[2] and v.shape[2]) and runs_compiled(q.device, work)


def _split(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of an operator, with the structure, and the options, as one of them."""
    *inputs, rowptr, col, colptr, row, csc_perm, csr_perm, row_order = args[: -len(Options._fields)]
    options = Options(*args[-len(Options._fields) :])
    return *inputs, (rowptr, col, colptr, row, csc_perm, csr_perm), row_order, options


def _define(
    name: str,
    arguments: str,
    results: str,
    fake: Callable[..., Any],
    compose: Callable[..., tuple[Tensor, ...]],
) -> Any:
    """Registers an operator that runs a Triton kernel, a numba body, or the composition."""

    @operator(f"pairs_{name}", f"({arguments}, {_REST}) -> ({results})", fake)
    def run(*args: Any) -> tuple[Tensor, ...]:
        *inputs, coefficients, structure, row_order, options = _split(args)
        q, _, v, _ = inputs[-4:]
        if _runs_triton(q, v, options):
            body = getattr(load_bodies("_pairs_triton"), name)
            return body(*inputs, coefficients, structure, options)
        if _runs_numba(q, v, structure[1]):
            body = getattr(load_bodies("_pairs_numba"), name)
            return body(*inputs, structure, row_order, options)
        return tuple(_copy_by_nodes(x) for x in compose(*args))

    return run


def _copy_by_nodes(x: Tensor) -> Tensor:
    """A copy, since results of operators share no memory, with the heads of a node side by side."""
    return x.transpose(0, 1).clone(memory_format=torch.contiguous_format).transpose(0, 1)


def _save_shift(ctx: Any, inputs: tuple[Any, ...], output: _Sums) -> None:
    save_inputs(ctx, (output[2], *inputs), output)


def _backward(ctx: Any, *grad_outputs: Tensor) -> Grads:
    needs_q, needs_k, needs_v, needs_value, needs_coefficients = ctx.needs_input_grad[:_NUM_INPUTS]
    shift, *inputs = ctx.saved_tensors
    args = *grad_outputs[:2], shift.detach(), *inputs, *ctx.options
    grad_q = grad_k = grad_v = grad_mask = None
    if needs_q or needs_value or needs_coefficients:
        grad_q, grad_mask = _differentiate_rows(*args)
    if needs_k or needs_v:
        grad_k, grad_v = _differentiate_columns(*args)
    grad_value = grad_mask if needs_value else None
    grad_coefficients = grad_mask if needs_coefficients else None
    return pad((grad_q, grad_k, grad_v, grad_value, grad_coefficients), ctx)


def _compose_sums(
    structure: tuple[Tensor, ...],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    value: Tensor,
    options: Options,
) -> _Sums:
    product, nothing = inner_products(q, k, *structure), v.new_empty(0, 0)
    shift = _largest(structure, product.detach(), value) if options.exponentials else nothing
    score = _scores_of(structure, product, value, shift, options)
    multiply, ones = partial(multiply_heads, structure), v.new_ones(*v.shape[:2], 1)
    if not options.normalized:
        return multiply(score * value, v), nothing, shift
    if not options.signed:
        total = multiply(score * value, torch.cat([v, ones], -1))
        return total[..., :-1], total[..., -1], shift
    return multiply(score * value, v), multiply(score * value.abs(), ones)[..., 0], shift


def _rows_of(structure: tuple[Tensor, ...]) -> Tensor:
    """``[P]``, the row of each entry."""
    *_, row, _, csr_perm = structure
    return row.index_select(0, csr_perm)


def _largest(structure: tuple[Tensor, ...], product: Tensor, value: Tensor) -> Tensor:
    """``[H, N]``, the largest product of each row where the mask is not 0, or 0."""
    present = product.masked_fill(value == 0, -torch.inf)
    top = product.new_full((len(product), len(structure[0]) - 1), -torch.inf)
    row = _rows_of(structure).long().expand_as(product)
    top = top.scatter_reduce(1, row, present, "amax")
    return top.masked_fill(top == -torch.inf, 0)


def _scores_of(
    structure: tuple[Tensor, ...], product: Tensor, mask: Tensor, shift: Tensor, options: Options
) -> Tensor:
    """``[H, P]``, the scores of inner products."""
    if not options.exponentials:
        return product + 1 if options.plus_one else product
    present = product.masked_fill(mask == 0, -torch.inf)
    return (present - shift.index_select(1, _rows_of(structure))).exp()


def _compose_attend(*args: Any) -> _Sums:
    q, k, v, value, _, structure, _, options = _split(args)
    return _compose_sums(structure, q, k, v, value, options)


def _compose_rows(*args: Any) -> tuple[Tensor, Tensor]:
    structure, q, k, _, mask, score, slope, exponentials = _derive(args)
    grad_mask = score * slope
    slope = mask * (grad_mask if exponentials else slope)
    grad_mask = grad_mask.sum(0, keepdim=True) if len(mask) < len(q) else grad_mask
    value, coefficients = args[_NUM_GRADS + 3 : _NUM_GRADS + 5]
    if coefficients is None:
        grad_mask = grad_mask.to(value.dtype)
    else:
        grad_mask = (grad_mask @ value.to(grad_mask.dtype)).to(coefficients.dtype)
    return multiply_heads(structure, slope, k).to(args[_NUM_GRADS].dtype), grad_mask


def _compose_columns(*args: Any) -> tuple[Tensor, Tensor]:
    structure, q, _, grad_numerator, mask, score, slope, exponentials = _derive(args)
    rowptr, col, colptr, row, csc_perm, csr_perm = structure
    transposed = colptr, row, rowptr, col, csr_perm, csc_perm
    by_column = (mask * x for x in (slope * score if exponentials else slope, score))
    grad_k, grad_v = (
        multiply_heads(transposed, x.index_select(1, csc_perm), y)
        for x, y in zip(by_column, (q, grad_numerator), strict=True)
    )
    return grad_k.to(args[_NUM_GRADS + 1].dtype), grad_v.to(args[_NUM_GRADS + 2].dtype)


def _derive(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The structure, q, k, the first gradient and the mask, all of one type.

    And ``[H, P]``, the scores s_ij and the gradients of ``M_ij s_ij``; and whether scores are
    exponentials.
    """
    *inputs, coefficients, structure, _, options = _split(args)
    if coefficients is not None:
        inputs[-1] = combine_hops(inputs[-1], coefficients)
    grad_numerator, grad_denominator, shift, q, k, v, mask = in_one_type(*inputs)
    slope = inner_products(grad_numerator, v, *structure)
    if options.normalized:
        grad = grad_denominator.index_select(1, _rows_of(structure))
        slope = slope + (mask.sgn() * grad if options.signed else grad)
    product = inner_products(q, k, *structure)
    score = _scores_of(structure, product, mask, shift, options)
    return structure, q, k, grad_numerator, mask, score, slope, options.exponentials


def _fake_by_nodes(x: Tensor, dtype: torch.dtype) -> Tensor:
    """``[H, N, ...]`` with the heads of a node side by side in memory, as bodies write them."""
    return x.new_empty(x.transpose(0, 1).shape, dtype=dtype).transpose(0, 1)


def _fake_attend(q: Tensor, k: Tensor, v: Tensor, value: Tensor, *rest: Any) -> _Sums:
    dtype, options = sum_dtype(q, k, v, value), Options(*rest[-len(Options._fields) :])
    wanted = options.normalized, options.exponentials
    sizes = [v.shape[1::-1] if each else (0, 0) for each in wanted]
    size, shift = (v.new_empty(shape, dtype=dtype).mT for shape in sizes)
    return _fake_by_nodes(v, dtype), size, shift


def _fake_rows(*args: Any) -> tuple[Tensor, Tensor]:
    q, _, _, value, coefficients = args[_NUM_GRADS : _NUM_GRADS + _NUM_INPUTS]
    if coefficients is None:
        return _fake_by_nodes(q, q.dtype), _fake_by_nodes(value, value.dtype)
    return _fake_by_nodes(q, q.dtype), coefficients.new_empty(coefficients.shape)


def _fake_columns(*args: Any) -> tuple[Tensor, Tensor]:
    _, k, v, *_ = args[_NUM_GRADS:]
    return _fake_by_nodes(k, k.dtype), _fake_by_nodes(v, v.dtype)


_TWO = "Tensor, Tensor"
_attend = _define("attend", _INPUTS, f"{_TWO}, Tensor", _fake_attend, _compose_attend)
# Gradients of q, and of the coefficients if there are any, else of the values; and of k and v.
_differentiate_rows = _define(
    "differentiate_rows", f"{_GRADS}, {_INPUTS}", _TWO, _fake_rows, _compose_rows
)
_differentiate_columns = _define(
    "differentiate_columns", f"{_GRADS}, {_INPUTS}", _TWO, _fake_columns, _compose_columns
)

_attend.register_autograd(_backward, setup_context=_save_shift)
for _derivative, _compose in (
    (_differentiate_rows, _compose_rows),
    (_differentiate_columns, _compose_columns),
):
    _derivative.register_autograd(
        composition_backward(_compose, _NUM_GRADS + _NUM_INPUTS), setup_context=save_inputs
    )
