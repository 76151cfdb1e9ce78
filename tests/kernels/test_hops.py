from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from graphmask.kernels import combine_hops


def inputs(
    pairs: int = 30, heads: int = 2, width: int = 3, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(size, width, generator=generator, dtype=dtype).requires_grad_()
        for size in (pairs, heads)
    )


def assert_both_ways(table: Tensor, coefficients: Tensor) -> None:
    found, expected = (
        combine_hops(table, coefficients),
        torch.einsum("pt,ht->hp", table, coefficients),
    )
    assert_close(found, expected)
    slopes = [
        torch.autograd.grad(out.square().sum(), (table, coefficients)) for out in (found, expected)
    ]
    assert_close(*slopes)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(("pairs", "heads"), [(0, 2), (1, 2), (30, 2), (30, 1)])
def test_values_and_slopes_are_the_definition(pairs: int, heads: int, dtype: torch.dtype) -> None:
    assert_both_ways(*inputs(pairs, heads, dtype=dtype))


def test_derivatives_of_both_orders() -> None:
    assert gradcheck(combine_hops, inputs(4))
    assert gradgradcheck(combine_hops, inputs(4), torch.ones(2, 4).requires_grad_())


def test_heads_of_a_pair_lie_side_by_side() -> None:
    assert combine_hops(*inputs()).mT.is_contiguous()


def test_compiles_as_one_graph() -> None:
    torch.compiler.reset()
    leaves = inputs()
    run = torch.compile(combine_hops, fullgraph=True, backend="aot_eager")
    found, expected = (
        torch.autograd.grad(f(*leaves).square().sum(), leaves) for f in (run, combine_hops)
    )
    assert_close(found, expected)


def test_types_are_promoted() -> None:
    table, coefficients = inputs()
    assert combine_hops(table.float(), coefficients).dtype == torch.float64
    assert combine_hops(table.float(), coefficients.float()).dtype == torch.float32


@pytest.mark.parametrize("heads", [1, 2])
def test_autocast_changes_nothing(heads: int) -> None:
    leaves = tuple(x.detach().float().requires_grad_() for x in inputs(heads=heads))
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            out = combine_hops(*leaves)
        found.append((out, *torch.autograd.grad(out.sum(), leaves)))
    assert_close(*found, rtol=0, atol=0)
