"""Coefficients of rows times a table of pairs and hops, by every body."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from oracles import uneven
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from graphmask.kernels import Pattern, combine_hops_by_row, row_hops
from graphmask.kernels._extra import HAS_NUMBA

BODIES = [2**62, pytest.param(0, marks=pytest.mark.skipif(not HAS_NUMBA, reason="needs numba"))]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(params=BODIES, ids=["torch", "numba"])
def body(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_hops, "_MIN_COMPILED_WORK", request.param)


def inputs(
    heads: int = 2, hops: int = 2, dtype: torch.dtype = torch.float64, rows: int = 5
) -> tuple[Pattern, Tensor, Tensor]:
    """A pattern whose third row is empty, a table and coefficients."""
    generator = torch.Generator().manual_seed(0)
    chosen = torch.rand(rows, rows + 1, generator=generator) < 0.4
    chosen[2:3] = False
    pattern = Pattern.from_coo(*chosen.nonzero().mT, tuple(chosen.shape))
    shapes = (pattern.nnz, hops + 1), (rows, heads, hops + 1)
    table, coefficients = (
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for shape in shapes
    )
    return pattern, table, coefficients


def definition(pattern: Pattern, table: Tensor, coefficients: Tensor) -> Tensor:
    return torch.einsum("pt,pht->hp", table, coefficients[pattern.row.long()])


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(("heads", "hops"), [(1, 0), (2, 3), (3, 8), (7, 1), (16, 2)])
def test_values_and_gradients_are_the_definition(heads: int, hops: int, dtype: torch.dtype) -> None:
    pattern, *leaves = inputs(heads, hops, dtype, rows=9)
    outputs = combine_hops_by_row(pattern, *leaves), definition(pattern, *leaves)
    assert_close(*outputs)
    assert_close(*(torch.autograd.grad(out.square().sum(), leaves) for out in outputs))
    assert outputs[0].mT.is_contiguous(), "the heads of a pair lie side by side"


@pytest.mark.usefixtures("body")
def test_derivatives_of_both_orders() -> None:
    pattern, *leaves = inputs()
    run = partial(combine_hops_by_row, pattern)
    assert gradcheck(run, leaves)
    assert gradgradcheck(run, leaves, torch.ones(2, pattern.nnz).requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_summed_in_single_and_autocast_changes_nothing(
    dtype: torch.dtype,
) -> None:
    pattern, *leaves = inputs(dtype=dtype)
    with torch.autocast("cpu", torch.bfloat16):
        out = combine_hops_by_row(pattern, *leaves)
    assert out.dtype == torch.float32
    assert_close(out, definition(pattern, *(x.float() for x in leaves)))
    assert torch.autograd.grad(out.sum(), leaves)[1].dtype == dtype


def test_no_pairs_give_no_values_and_zero_gradients() -> None:
    none = torch.empty(0, dtype=torch.long)
    pattern, coefficients = Pattern.from_coo(none, none, (3, 3)), torch.ones(3, 2, 4)
    out = combine_hops_by_row(pattern, torch.ones(0, 4), coefficients.requires_grad_())
    assert out.shape == (2, 0)
    assert not torch.autograd.grad(out.sum(), coefficients)[0].any()


def test_compiles_as_one_graph() -> None:
    torch.compiler.reset()
    pattern, *leaves = inputs()
    run = torch.compile(combine_hops_by_row, fullgraph=True, backend="aot_eager")
    outputs = run(pattern, *leaves), combine_hops_by_row(pattern, *leaves)
    assert_close(*(torch.autograd.grad(out.square().sum(), leaves) for out in outputs))


@pytest.mark.parametrize("heads", [1, 3])
def test_triton_kernels_are_the_definition(heads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU, or in the interpreter, and rows are cut although they are short."""
    pytest.importorskip("triton", exc_type=ImportError)
    monkeypatch.setattr(row_hops, "runs_triton", lambda x: True)
    for module in ("_rows_triton", "_spmm_triton"):
        monkeypatch.setattr(f"graphmask.kernels.{module}.LENGTH", 16)
    square = uneven(12)
    pattern = Pattern(square.rowptr.to(DEVICE), square.col.to(DEVICE), 13)
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(pattern.nnz, 4, generator=generator).to(DEVICE).requires_grad_()
    coefficients = torch.randn(12, heads, 4, generator=generator).to(DEVICE).requires_grad_()
    leaves = [table, coefficients]
    outputs = combine_hops_by_row(pattern, *leaves), definition(pattern, *leaves)
    assert_close(*outputs)
    assert_close(*(torch.autograd.grad(out.square().sum(), leaves) for out in outputs))


def test_opcheck() -> None:
    pattern, table, coefficients = inputs()
    grad = torch.ones(2, pattern.nnz).requires_grad_()
    structure = pattern.rowptr, pattern.row
    for operator, pair in (
        (row_hops._values, (coefficients, table)),
        (row_hops._coefficients, (grad, table)),
        (row_hops._table, (grad, coefficients)),
    ):
        torch.library.opcheck(operator.definition, (*pair, *structure))
