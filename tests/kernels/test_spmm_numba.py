from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from graphmask.kernels import Pattern, bodies, spmm
from graphmask.kernels._extra import HAS_NUMBA

pytestmark = pytest.mark.skipif(not HAS_NUMBA, reason="needs numba")


def rows_of_unequal_length(size: int = 40) -> Pattern:
    """Of 0 to 39 entries."""
    row = torch.arange(size).repeat_interleave(torch.arange(size))
    return Pattern.from_coo(
        row, torch.cat([torch.arange(count) for count in range(size)]), (size, size)
    )


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few multiply-adds there are."""
    monkeypatch.setattr(bodies, "_WORTH_COMPILING", 0)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("channels", [16, 17, 31, 32, 68, 128, 130, 145, 300])
def test_the_compiled_product_is_the_dense_one(
    channels: int, kind: torch.dtype, generator: torch.Generator
) -> None:
    """All widths: whole lines, an overlapping last line, several parts, and heads and rows with strides."""
    pattern = rows_of_unequal_length()
    value = torch.randn(2, pattern.nnz, generator=generator, dtype=kind)
    x = torch.randn(40, 2, channels + 3, generator=generator, dtype=kind)[..., :channels].transpose(
        0, 1
    )
    assert bodies._is_compiled(x, pattern.col)
    found = spmm(pattern, value, x)
    assert_close(
        found, pattern.to_dense(value) @ x, rtol=1e-5 if kind == torch.float32 else 1e-10, atol=1e-5
    )
    again = spmm(pattern, value[:1], x)
    assert_close(
        again,
        pattern.to_dense(value[:1]) @ x,
        rtol=1e-5 if kind == torch.float32 else 1e-10,
        atol=1e-5,
    )


def test_the_number_of_threads_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
) -> None:
    from graphmask.kernels import _pairs_numba

    monkeypatch.setattr(_pairs_numba, "_WORTH_A_THREAD", 1)
    pattern = rows_of_unequal_length()
    value = torch.randn(1, pattern.nnz, generator=generator)
    x = torch.randn(1, 40, 33, generator=generator)
    one = spmm(pattern, value, x)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert torch.equal(spmm(pattern, value, x), one)
    finally:
        torch.set_num_threads(threads)


def test_derivatives(generator: torch.Generator) -> None:
    pattern = rows_of_unequal_length(6)
    value = torch.randn(1, pattern.nnz, generator=generator).requires_grad_()
    x = torch.randn(2, 6, 9, generator=generator).requires_grad_()
    above = torch.ones(2, 6, 9).requires_grad_()
    assert torch.autograd.gradcheck(lambda value, x: spmm(pattern, value, x), (value, x))
    assert torch.autograd.gradgradcheck(lambda value, x: spmm(pattern, value, x), (value, x), above)
