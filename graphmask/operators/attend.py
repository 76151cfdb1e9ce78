"""Masked attention under an operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphmask._checks import type_error, value_error
from graphmask._html import format_bytes, html_table
from graphmask._precision import full_precision
from graphmask.features.scores import InnerProducts, Scores
from graphmask.kernels.products import in_one_type, sum_dtype

from .base import Attended, MaskOperator, Sign
from .executions import Execution, choose

_INNER_PRODUCTS = InnerProducts()

# Operators whose products cost more multiply-adds than this are described without their entries.
_DESCRIBED_COST = 1e8

_SIGNS = {
    Sign.ANY: "of any sign",
    Sign.ESTIMATE: "of any sign; they estimate non-negative ones",
    Sign.NONNEGATIVE: "non-negative",
}


def attend(
    mask: MaskOperator,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    execution: Execution | None = None,
    scores: Scores | None = None,
) -> Attended:
    r"""Both sums of masked attention, for features ``q, k`` with :math:`q_i \cdot k_j \ge 0`.

    .. math::
        \text{numerator}_i = \sum_j M_{ij} (q_i \cdot k_j) v_j \qquad
        \text{denominator}_i = \sum_j |M_{ij}| (q_i \cdot k_j)

    Where M estimates a non-negative matrix, or scores estimate non-negative ones, they are summed
    as they are. Scores that are :meth:`~graphmask.features.Scores.unnormalized` ask for no
    denominator: then masks of any sign are served by their products.

    Args:
        mask: the operator M.
        q: ``[H, N, m]`` features of the queries.
        k: ``[H, N, m]`` features of the keys.
        v: ``[H, N, d]`` values.
        execution: how to sum; all executions give the same result. (default: :obj:`None`, the
            cheapest that can)
        scores: of pairs, instead of :math:`q_i \cdot k_j`. (default: :obj:`None`, inner products)

    Raises:
        ValueError: for shapes that do not fit, and where no execution knows the absolute values of
            a signed mask, or scores that are no inner products.

    Example:
        >>> import torch, graphmask as gm
        >>> pair = gm.Topology(torch.empty(2, 0, dtype=torch.long), num_nodes=2)
        >>> x = torch.ones(1, 2, 1)
        >>> gm.operators.attend(gm.operators.GlobalOperator(pair), x, x, x).denominator
        tensor([[2., 2.]])
    """
    _check_features(mask, q, k, v)
    with full_precision(q.device):
        return attend_unchecked(mask, q, k, v, execution, scores or _INNER_PRODUCTS)


def attend_unchecked(
    mask: MaskOperator,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    execution: Execution | None = None,
    scores: Scores = _INNER_PRODUCTS,
) -> Attended:
    """:func:`attend` without checks and outside autocast, as operators call it for their terms."""
    parts = mask._parts()
    if len(parts) > 1:
        heads = [part.heads for part in parts]
        groups = zip(parts, q.split(heads), k.split(heads), v.split(heads), strict=True)
        return _join([attend_unchecked(*group, execution, scores) for group in groups])
    dtype = sum_dtype(q, k, v)
    if not mask.num_nodes:
        return Attended(v.to(dtype), q.sum(-1, dtype=dtype) if scores.normalized else None)
    if execution is not None:
        return execution(mask, q, k, v, scores)
    return choose(mask, q.shape[-1], v.shape[-1], dtype.itemsize, scores)._run(
        mask, q, k, v, scores
    )


def _join(parts: Sequence[Attended]) -> Attended:
    """The sums of several groups of heads, of the same scores."""
    numerators, denominators, shifts = zip(*parts, strict=True)
    return Attended(_stack(numerators), _stack(denominators), _stack(shifts))


def _stack(parts: Sequence[Any]) -> Any:
    """Tensors of several groups of heads as one; :obj:`None` where there are none."""
    return None if parts[0] is None else torch.cat(in_one_type(*parts))


def describe_choice(mask: MaskOperator, m: int = 16, d: int = 16, itemsize: int = 4) -> str:
    """The decision of :func:`choose` in words, and the number of entries, where both are cheap."""
    parts = mask._parts()
    if len(parts) > 1:
        return "; ".join(describe_choice(part, m, d, itemsize) for part in parts)
    if mask.cost > _DESCRIBED_COST or torch.is_inference_mode_enabled():
        return "chosen when it is called"
    # Entries are kept, and a later call may need their gradient.
    with torch.enable_grad():
        try:
            choice = repr(choose(mask, m, d, itemsize))
        except ValueError:
            return "nothing: its absolute values are not known, and its blocks are too large"
        entries = mask.entries()
    return choice if entries is None else f"{choice}, {entries.pattern.nnz:,} stored pairs"


def _repr_html(mask: MaskOperator) -> str:
    """A table for notebooks: its cost, and how attention under it runs."""
    rows = {
        "heads, nodes": f"{mask.heads:,}, {mask.num_nodes:,}",
        "M @ x costs": f"{mask.cost:,.0f} multiply-adds per head and column",
        "entries": _SIGNS[mask.sign],
        "attention runs as": describe_choice(mask),
        "as a dense matrix": f"{format_bytes(4.0 * mask.heads * mask.num_nodes**2)} in float32",
    }
    return html_table(repr(mask), rows)


def _check_features(mask: MaskOperator, q: Tensor, k: Tensor, v: Tensor) -> None:
    for name, x in (("q", q), ("k", k), ("v", v)):
        if not isinstance(x, Tensor) or not x.is_floating_point():
            raise type_error(name, "a floating-point tensor", x)
        if x.dim() != 3 or x.shape[1] != mask.num_nodes:
            raise value_error(
                name, f"of shape [H, N, C] with N = {mask.num_nodes} (nodes of the mask)", x
            )
    heads = {q.shape[0], k.shape[0], v.shape[0]}
    if len(heads) > 1 or (mask.heads != 1 and heads != {mask.heads}):
        raise value_error(
            "q, k, v",
            f"of equal heads, H = {mask.heads} (or any, for a mask of one)",
            f"heads {sorted(heads)}",
        )
    if q.shape[2] != k.shape[2]:
        raise value_error("k", f"of {q.shape[2]} features, as q", k)


MaskOperator.attend = attend  # type: ignore[method-assign, assignment]
MaskOperator._repr_html_ = _repr_html  # type: ignore[method-assign, assignment]
