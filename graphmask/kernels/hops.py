"""Values of a mask from the numbers that its pairs have for each hop: a tall table times a few coefficients per head.

With the extra `fast` on CPU the values of a pair lie side by side, as attention reads them, and each derivative is one pass.
Letters: H heads, P pairs, K hops.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ._extra import HAS_NUMBA

# Multiply-adds below which torch multiplies: a body is compiled for each number of heads and hops, within seconds.
_WORTH_COMPILING = 2**20

# Coefficients that a compiled body keeps in registers.
_MOST = 256


class HopValues(NamedTuple):
    """Values of a mask that are made where they are read: ``table [P, K + 1]`` and ``coefficients [H, K + 1]``."""

    table: Tensor
    coefficients: Tensor

    def expand(self) -> Tensor:
        """``[H, P]``, the values."""
        return combine_hops(self.table, self.coefficients)


def combine_hops(table: Tensor, coefficients: Tensor) -> Tensor:
    r"""``[H, P]``, the values :math:`a_{hp} = \sum_t c_{ht} T_{pt}`.

    Args:
        table: ``[P, K + 1]``, a number of each pair for each hop.
        coefficients: ``[H, K + 1]``.

    Cost: O(P H K) time; memory O(P H).

    Example:
        >>> import torch
        >>> from graphmask.kernels import combine_hops
        >>> combine_hops(torch.tensor([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]]), torch.tensor([[1.0, 10.0]]))
        tensor([[21., 10.,  3.]])
    """
    kind = torch.promote_types(coefficients.dtype, table.dtype)
    table, coefficients = table.to(kind), coefficients.to(kind)
    if _is_compiled(table, coefficients):
        return _combine(table, coefficients)
    return _multiply(coefficients, table.mT)


def _multiply(x: Tensor, y: Tensor) -> Tensor:
    """``x @ y`` in the type of both."""
    with torch.autocast(x.device.type, enabled=False):
        return x @ y


def _is_compiled(table: Tensor, coefficients: Tensor) -> bool:
    few = 0 < coefficients.numel() <= _MOST
    return HAS_NUMBA and table.device.type == "cpu" and table.dtype in (torch.float32, torch.float64) and few


def _is_worth_it(table: Tensor, heads: int) -> bool:
    return table.numel() * heads >= _WORTH_COMPILING


@torch.library.custom_op("graphmask::combine_hops", mutates_args=())
def _combine(table: Tensor, coefficients: Tensor) -> Tensor:
    if _is_worth_it(table, len(coefficients)):
        from ._hops_numba import combine

        return combine(table, coefficients)
    return _multiply(table, coefficients.mT).mT


@torch.library.custom_op("graphmask::gather_hops", mutates_args=())
def _gather(table: Tensor, value: Tensor) -> Tensor:
    """``[H, K + 1]``, the sums over pairs of values ``[H, P]`` times table: the derivative of the above."""
    if _is_worth_it(table, len(value)):
        from ._hops_numba import gather

        return gather(table, value)
    return _multiply(value, table)


@_combine.register_fake
def _(table: Tensor, coefficients: Tensor) -> Tensor:
    return table.new_empty(table.shape[0], coefficients.shape[0]).mT


@_gather.register_fake
def _(table: Tensor, value: Tensor) -> Tensor:
    return table.new_empty(value.shape[0], table.shape[1])


def _keep(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs)


def _combine_backward(ctx, above: Tensor) -> tuple[Tensor | None, Tensor | None]:  # type: ignore[no-untyped-def]
    table, coefficients = ctx.saved_tensors
    needs_table, needs_coefficients = ctx.needs_input_grad
    return _multiply(above.mT, coefficients) if needs_table else None, _gather(table, above) if needs_coefficients else None


def _gather_backward(ctx, above: Tensor) -> tuple[Tensor | None, Tensor | None]:  # type: ignore[no-untyped-def]
    table, value = ctx.saved_tensors
    needs_table, needs_value = ctx.needs_input_grad
    return _multiply(value.mT, above) if needs_table else None, _combine(table, above) if needs_value else None


_combine.register_autograd(_combine_backward, setup_context=_keep)
_gather.register_autograd(_gather_backward, setup_context=_keep)
