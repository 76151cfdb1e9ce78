r"""Values of a mask from numbers per pair and hop, with other coefficients for each row.

    a_hp = sum_t c_iht T_pt                for the entry p = (i, j) of a pattern

The sum over all of ``g_hp c_iht T_pt`` is linear in g, c and T: the derivative by each of the three
is a function of the other two, and so are derivatives of all orders.
Letters: H heads, N rows, P pairs, K hops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from graphmask._precision import full_precision

from ._autograd import Grads, operator, pad
from ._extra import load_bodies
from .pattern import Pattern
from .products import in_one_type, runs_numba, runs_triton

# Multiply-adds below which torch's operators run: a body is compiled for each number of heads.
_MIN_COMPILED_WORK = 2**18

# Heads that fit the registers of a compiled body.
_MAX_HEADS = 64

_STRUCTURE = "Tensor rowptr, Tensor row"


def combine_hops_by_row(pattern: Pattern, table: Tensor, coefficients: Tensor) -> Tensor:
    r"""``[H, P]``, the values :math:`a_{hp} = \sum_t c_{iht} T_{pt}` at the entries p = (i, j).

    Args:
        pattern: the entries, of N rows.
        table: ``[P, K + 1]``, a number per pair and hop.
        coefficients: ``[N, H, K + 1]``, those of each row.

    Returns:
        ``[H, P]``, in the promoted type of both; of half precision in float32.

    Cost: O(P H K) time; memory O(P H + N H K), also of the gradients.

    Example:
        >>> import torch
        >>> from graphmask.kernels import Pattern, combine_hops_by_row
        >>> path = Pattern.from_coo(torch.tensor([0, 1, 1]), torch.tensor([1, 0, 2]), (3, 3))
        >>> table = torch.tensor([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]])
        >>> coefficients = torch.tensor([[[1.0, 10.0]], [[2.0, 5.0]], [[0.0, 0.0]]])
        >>> combine_hops_by_row(path, table, coefficients)
        tensor([[21.,  5.,  6.]])
    """
    table, coefficients = in_one_type(table, coefficients)
    return _values(coefficients, table, pattern.rowptr, pattern.row)


def _define(
    name: str, arguments: str, fake: Callable[..., Tensor]
) -> Callable[[Callable[..., Tensor]], Any]:
    """Registers an operator that runs a Triton kernel, a numba body, or torch's operators."""

    def register(compose: Callable[..., Tensor]) -> Any:
        @operator(f"row_hops_{name}", f"({arguments}, {_STRUCTURE}) -> Tensor", fake)
        def run(x: Tensor, y: Tensor, rowptr: Tensor, row: Tensor) -> Tensor:
            with full_precision(x.device):
                body = _body(name, x, y, row)
                return compose(x, y, rowptr, row) if body is None else body(x, y, rowptr, row)

        return run

    return register


def _body(name: str, x: Tensor, y: Tensor, row: Tensor) -> Callable[..., Tensor] | None:
    """The compiled body of an operator, or :obj:`None` where torch's operators run."""
    if runs_triton(x):
        return getattr(load_bodies("_row_hops_triton"), name, None)
    heads = x.shape[1] if name == "values" else x.shape[0]
    work = heads * len(row) * y.shape[-1]
    if not (runs_numba(x) and work >= _MIN_COMPILED_WORK and heads <= _MAX_HEADS):
        return None
    return getattr(load_bodies("_row_hops_numba"), name)


def _fake_values(coefficients: Tensor, table: Tensor, *_: Tensor) -> Tensor:
    return table.new_empty(len(table), coefficients.shape[1]).mT


def _fake_coefficients(grad: Tensor, table: Tensor, rowptr: Tensor, _: Tensor) -> Tensor:
    return table.new_empty(len(rowptr) - 1, len(grad), table.shape[1])


def _fake_table(grad: Tensor, coefficients: Tensor, *_: Tensor) -> Tensor:
    return grad.new_empty(grad.shape[1], coefficients.shape[2])


@_define("values", "Tensor coefficients, Tensor table", _fake_values)
def _values(coefficients: Tensor, table: Tensor, rowptr: Tensor, row: Tensor) -> Tensor:
    """``[H, P]``; the heads of a pair lie side by side, as attention reads them."""
    out = table.new_zeros(len(table), coefficients.shape[1])
    for hop, factor in enumerate(coefficients.unbind(2)):
        out.addcmul_(factor.index_select(0, row), table[:, hop, None])
    return out.mT


@_define("coefficients", "Tensor grad, Tensor table", _fake_coefficients)
def _coefficients(grad: Tensor, table: Tensor, rowptr: Tensor, row: Tensor) -> Tensor:
    """``[N, H, K + 1]``, ``sum_p g_hp T_pt`` over the entries p of each row."""
    out = table.new_zeros(table.shape[1], len(rowptr) - 1, len(grad))
    for total, factor in zip(out, table.unbind(1), strict=True):
        total.index_add_(0, row, grad.mT * factor.unsqueeze(1))
    return out.permute(1, 2, 0).contiguous()


@_define("table", "Tensor grad, Tensor coefficients", _fake_table)
def _table(grad: Tensor, coefficients: Tensor, rowptr: Tensor, row: Tensor) -> Tensor:
    """``[P, K + 1]``, ``sum_h g_hp c_iht``."""
    out = grad.new_empty(grad.shape[1], coefficients.shape[2])
    for hop, factor in enumerate(coefficients.unbind(2)):
        out[:, hop] = (grad.mT * factor.index_select(0, row)).sum(1)
    return out


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward_by(
    first: Callable[..., Tensor], second: Callable[..., Tensor], swapped: bool
) -> Callable[..., Grads]:
    """The derivative of ``f(x, y)``: ``first(g, y)`` by x and ``second(g, x)`` by y.

    ``swapped`` for a second that takes x first.
    """

    def backward(ctx: Any, grad: Tensor) -> Grads:
        x, y, *structure = ctx.saved_tensors
        needs_x, needs_y = ctx.needs_input_grad[:2]
        grad_x = first(grad, y, *structure) if needs_x else None
        pair = (x, grad) if swapped else (grad, x)
        return pad((grad_x, second(*pair, *structure) if needs_y else None), ctx)

    return backward


def _values_of_grad(grad: Tensor, table: Tensor, *structure: Tensor) -> Tensor:
    return _values(grad, table, *structure)


def _values_by_table(grad: Tensor, coefficients: Tensor, *structure: Tensor) -> Tensor:
    return _values(coefficients, grad, *structure)


_values.register_autograd(_backward_by(_coefficients, _table, False), setup_context=_save)
_coefficients.register_autograd(_backward_by(_values_of_grad, _table, True), setup_context=_save)
_table.register_autograd(_backward_by(_values_by_table, _coefficients, True), setup_context=_save)
