from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from graphmask.kernels import combine_hops


def inputs(
    pairs: int = 30, heads: int = 2, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(size, 3, generator=generator, dtype=dtype).requires_grad_()
        for size in (pairs, heads)
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(("pairs", "heads"), [(0, 2), (1, 2), (30, 2), (30, 1)])
def test_values_and_gradients_are_the_definition(
    pairs: int, heads: int, dtype: torch.dtype
) -> None:
    leaves = inputs(pairs, heads, dtype)
    outputs = combine_hops(*leaves), torch.einsum("pt,ht->hp", *leaves)
    assert_close(*outputs)
    assert_close(*(torch.autograd.grad(out.square().sum(), leaves) for out in outputs))
    assert outputs[0].mT.is_contiguous(), "the heads of a pair lie side by side"


def test_derivatives_of_both_orders() -> None:
    assert gradcheck(combine_hops, inputs(4))
    assert gradgradcheck(combine_hops, inputs(4), torch.ones(2, 4).requires_grad_())


def test_compiles_as_one_graph() -> None:
    torch.compiler.reset()
    leaves = inputs()
    run = torch.compile(combine_hops, fullgraph=True, backend="aot_eager")
    outputs = run(*leaves), combine_hops(*leaves)
    assert_close(*(torch.autograd.grad(out.square().sum(), leaves) for out in outputs))


def test_types_are_promoted() -> None:
    table, coefficients = inputs()
    assert combine_hops(table.float(), coefficients).dtype == torch.float64
    assert combine_hops(table.float(), coefficients.float()).dtype == torch.float32


def test_autocast_changes_nothing() -> None:
    leaves, results = inputs(dtype=torch.float32), []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            out = combine_hops(*leaves)
        results.append((out, *torch.autograd.grad(out.sum(), leaves)))
    assert_close(*results, rtol=0, atol=0)
