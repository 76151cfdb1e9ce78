"""Primitives as operators of torch: one derivative, however many implementations there are.

An operator chooses its implementation (compiled by numba, a Triton kernel, or composed of other
operators) inside, so that ``torch.compile(fullgraph=True)`` traces through it and autograd sees the
same function everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from graphmask._checks import check_no_function_transforms

# The arguments by which operators receive `Pattern.tensors`.
STRUCTURE = "Tensor rowptr, Tensor col, Tensor colptr, Tensor row, Tensor csc_perm, Tensor csr_perm"

Grads = tuple[Tensor | None, ...]


def operator(
    name: str, schema: str, fake: Callable[..., Any]
) -> Callable[[Callable[..., Any]], Any]:
    """Registers a function as ``graphmask::name``, and the shapes of its results."""

    def register(function: Callable[..., Any]) -> Any:
        custom = torch.library.custom_op(
            f"graphmask::{name}", function, mutates_args=(), schema=schema
        )
        custom.register_fake(fake)

        @wraps(function)
        def call(*args: Any) -> Any:
            check_no_function_transforms()
            if not torch.compiler.is_compiling():
                _check_no_tangents(args)
            return custom(*args)

        call.definition = custom  # type: ignore[attr-defined]
        call.register_autograd = custom.register_autograd  # type: ignore[attr-defined]
        return call

    return register


def _check_no_tangents(args: Sequence[Any]) -> None:
    """Refuse derivatives in forward mode, which torch takes for zero in operators like these."""
    if any(isinstance(x, Tensor) and forward_ad.unpack_dual(x).tangent is not None for x in args):
        raise NotImplementedError(
            "graphmask has no derivatives in forward mode, such as of torch.func.jvp and jacfwd: "
            "use torch.autograd.grad, torch.autograd.functional.jvp or jacobian"
        )


def save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Keeps the leading tensors, which may be None, and the ``options`` after them."""
    count = sum(x is None or isinstance(x, Tensor) for x in inputs)
    ctx.options = inputs[count:]
    ctx.save_for_backward(*inputs[:count])


def pad(grads: Sequence[Tensor | None], ctx: Any) -> Grads:
    """Gradients of the first inputs; the others have none."""
    return *grads, *[None] * (len(ctx.needs_input_grad) - len(grads))


def composition_backward(compose: Callable[..., Any], count: int) -> Callable[..., Grads]:
    """The derivative of an operator that equals ``compose``, made of differentiable operators.

    Gradients are taken of the first ``count`` inputs.
    """

    def backward(ctx: Any, *grad_outputs: Tensor) -> Grads:
        inputs, rest = ctx.saved_tensors[:count], ctx.saved_tensors[count:]

        def composed(*inputs: Tensor | None) -> Any:
            return compose(*inputs, *rest, *ctx.options)

        return pad(differentiate(composed, inputs, ctx.needs_input_grad[:count], grad_outputs), ctx)

    return backward


def differentiate(
    compose: Callable[..., tuple[Tensor, ...]],
    inputs: Sequence[Tensor | None],
    needed: Sequence[bool],
    grad_outputs: Sequence[Tensor],
) -> list[Tensor | None]:
    """Gradients of the needed inputs of a composition, differentiable in turn."""
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, since an input may have been made from another one.
        leaves = [
            x.view_as(x) if x is not None and need else x
            for x, need in zip(inputs, needed, strict=True)
        ]
        pairs = [
            (output, grad)
            for output, grad in zip(compose(*leaves), grad_outputs, strict=True)
            if output.requires_grad
        ]
        grads = torch.autograd.grad(
            [output for output, _ in pairs],
            [x for x, need in zip(leaves, needed, strict=True) if x is not None and need],
            [grad for _, grad in pairs],
            create_graph=create_graph,
            allow_unused=True,
        )
    remaining = iter(grads)
    return [next(remaining) if need else None for need in needed]
