"""Row maxima, compiled and composed, are the definition."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch
from builders import seeded
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from graphmask import reference
from graphmask.kernels import Pattern, pair_max
from graphmask.kernels._extra import HAS_NUMBA

module = import_module("graphmask.kernels.pair_max")
BODIES = [
    pytest.param(0, id="numba", marks=pytest.mark.skipif(not HAS_NUMBA, reason="needs numba")),
    pytest.param(2**62, id="torch"),
]


def pattern_of(rows: int, columns: int, density: float = 0.3) -> Pattern:
    """A random pattern, whose third row is empty."""
    chosen = torch.rand(rows, columns, generator=seeded()) < density
    chosen[2:3] = False
    return Pattern.from_coo(*chosen.nonzero().mT, (rows, columns))


def support_of(pattern: Pattern) -> Tensor:
    return pattern.to_dense(torch.ones(pattern.nnz)) > 0


def normal(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=seeded(1), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("work", BODIES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("channels", [1, 5, 16, 17, 65])
def test_maxima_and_gradients_are_the_definition(
    work: int, dtype: torch.dtype, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MIN_COMPILED_WORK", work)
    pattern, x = pattern_of(9, 7), normal(2, 7, channels, dtype=dtype).requires_grad_()
    largest, column = pair_max(pattern, x)
    assert not largest[:, 2].any()
    assert (column[:, 2] == -1).all()
    expected = reference.row_max(support_of(pattern), x)
    assert_close(largest, expected.to(dtype), rtol=0, atol=0)
    weight = normal(*largest.shape, dtype=dtype)
    grads = [torch.autograd.grad((y * weight).sum(), x)[0] for y in (largest, expected)]
    assert_close(*grads)
    taken = x.gather(1, column.long().clamp(min=0))
    assert_close(taken.masked_fill(column < 0, 0), largest, rtol=0, atol=0)


@pytest.mark.parametrize("work", BODIES)
def test_ties_go_to_the_lowest_column_and_nan_stays_in_its_rows(
    work: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MIN_COMPILED_WORK", work)
    pattern, inf = Pattern.from_coo(torch.tensor([0, 0, 0, 1, 1, 2, 2, 3, 3]), ALL, (4, 9)), INF
    x = torch.tensor([1.0, 2, 2, 3, NAN, NAN, NAN, -inf, -inf]).view(1, 9, 1).repeat(2, 1, 20)
    largest, column = pair_max(pattern, x.requires_grad_())
    assert column[0, :, 0].tolist() == [1, 4, 5, 7]
    assert_close(largest[1, :, 3], torch.tensor([2.0, NAN, NAN, -inf]), equal_nan=True)
    grad = torch.autograd.grad(largest.sum(), x)[0]
    assert grad[0, :, 0].tolist() == [0, 1, 0, 0, 1, 1, 0, 1, 0]


ALL, NAN, INF = torch.arange(9), float("nan"), float("inf")


@pytest.mark.parametrize("work", BODIES)
def test_derivatives_of_both_orders(work: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MIN_COMPILED_WORK", work)
    pattern, x = pattern_of(6, 5), normal(2, 5, 3).requires_grad_()

    def run(x: Tensor) -> Tensor:
        return pair_max(pattern, x)[0]

    assert gradcheck(run, x)
    assert gradgradcheck(run, x, normal(2, 6, 3).requires_grad_())


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (3, 3)], ids=str)
def test_patterns_without_entries_give_zeros(shape: tuple[int, int]) -> None:
    none = torch.empty(0, dtype=torch.long)
    x = normal(2, shape[1], 3).requires_grad_()
    largest, column = pair_max(Pattern.from_coo(none, none, shape), x)
    assert largest.shape == column.shape == (2, shape[0], 3)
    assert not largest.any()
    (grad,) = torch.autograd.grad(largest.sum(), x)
    assert not grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_exact(dtype: torch.dtype) -> None:
    pattern, x = pattern_of(9, 7), normal(2, 7, 3, dtype=dtype).requires_grad_()
    largest, _ = pair_max(pattern, x)
    assert largest.dtype == dtype
    expected = reference.row_max(support_of(pattern), x)
    assert_close(largest.double(), expected, rtol=0, atol=0)
    assert torch.autograd.grad(largest.sum(), x)[0].dtype == dtype


def test_compiles_as_one_graph() -> None:
    torch.compiler.reset()
    pattern, x = pattern_of(9, 9), normal(2, 9, 3).requires_grad_()
    compiled = torch.compile(pair_max, fullgraph=True, backend="aot_eager")
    outputs = compiled(pattern, x), pair_max(pattern, x)
    assert_close(*outputs, rtol=0, atol=0)
    assert_close(*(torch.autograd.grad(largest.sum(), x) for largest, _ in outputs))


@pytest.mark.skipif(not HAS_NUMBA, reason="needs numba")
def test_strided_input_is_read_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MIN_COMPILED_WORK", 0)
    pattern, x = pattern_of(9, 7), normal(7, 2, 40)
    for view in (x.transpose(0, 1), x.transpose(0, 1)[:, :, 4:20], normal(2, 20, 7).mT):
        expected = reference.row_max(support_of(pattern), view)
        assert_close(pair_max(pattern, view)[0], expected, rtol=0, atol=0)
