from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial

import pytest
import torch
from oracles import uneven
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from graphmask.kernels import Pattern, products, sddmm, spmm
from graphmask.kernels._extra import HAS_NUMBA

# Heads of the values and of x: equal, or one of them shared by all heads.
HEADS = [(1, 1), (3, 3), (1, 3), (3, 1)]
HALF = [torch.float16, torch.bfloat16]


def rectangle(rows: int = 5, cols: int = 4, step: int = 3) -> Pattern:
    """Every third entry: some rows, and some columns, have none."""
    entry = torch.arange(rows * cols - 1)[::step]
    return Pattern.from_coo(entry // cols, entry % cols, (rows, cols))


def operands(
    pattern: Pattern,
    heads: tuple[int, int] = (2, 2),
    dtype: torch.dtype = torch.float64,
    channels: int = 2,
) -> tuple[Tensor, Tensor]:
    """Values and a dense matrix, for spmm."""
    generator = torch.Generator().manual_seed(0)
    shapes = (heads[0], pattern.nnz), (heads[1], pattern.num_cols, channels)
    return tuple(torch.randn(shape, generator=generator).to(dtype) for shape in shapes)


def factors(pattern: Pattern, heads: int = 2, channels: int = 3) -> tuple[Tensor, Tensor]:
    """Two dense matrices, for sddmm."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(heads, size, channels, generator=generator) for size in pattern.shape)


def require_grad(tensors: tuple[Tensor, ...]) -> list[Tensor]:
    return [x.clone().requires_grad_() for x in tensors]


def assert_derivatives(primitive: Callable[..., Tensor], tensors: tuple[Tensor, ...]) -> None:
    leaves = require_grad(tensors)
    assert gradcheck(primitive, leaves)
    assert gradgradcheck(primitive, leaves, torch.ones_like(primitive(*leaves)).requires_grad_())


@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize("shape", [(5, 4), (4, 7), (1, 1), (6, 1)], ids=str)
def test_spmm_is_the_dense_product(shape: tuple[int, int], heads: tuple[int, int]) -> None:
    pattern = rectangle(*shape, step=2)
    value, x = operands(pattern, heads)
    assert_close(spmm(pattern, value, x), pattern.to_dense(value) @ x)


@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize("shape", [(5, 4), (4, 7), (6, 1)], ids=str)
def test_sddmm_is_the_dense_product_at_the_entries(shape: tuple[int, int], channels: int) -> None:
    pattern = rectangle(*shape, step=2)
    x, y = factors(pattern, channels=channels)
    assert spmm(pattern, torch.ones(2, pattern.nnz), y).shape == (2, shape[0], channels)
    assert_close(sddmm(pattern, x, y), (x @ y.mT)[:, pattern.row.long(), pattern.col.long()])


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3, 4)], ids=str)
@pytest.mark.parametrize(("channels", "heads"), [(0, 1), (2, 2)])
def test_no_entries_give_zeros(shape: tuple[int, int], channels: int, heads: int) -> None:
    none = torch.empty(0, dtype=torch.long)
    pattern = Pattern.from_coo(none, none, shape)
    x, y = factors(pattern, heads, channels)
    assert_close(spmm(pattern, torch.ones(1, 0), y), torch.zeros(heads, shape[0], channels))
    assert sddmm(pattern, x, y).shape == (heads, 0)


@pytest.mark.parametrize("heads", [*HEADS, None], ids=str)
def test_derivatives_of_both_orders(heads: tuple[int, int] | None) -> None:
    pattern = rectangle()
    primitive = partial(sddmm if heads is None else spmm, pattern)
    assert_derivatives(primitive, factors(pattern) if heads is None else operands(pattern, heads))


@pytest.mark.parametrize("wanted", [0, 1])
def test_one_gradient_alone_is_the_same(wanted: int) -> None:
    pattern = rectangle()
    for primitive, pair in ((spmm, operands(pattern)), (sddmm, factors(pattern))):
        both, alone = require_grad(pair), require_grad(pair)
        alone[1 - wanted].requires_grad_(False)
        for leaves in (both, alone):
            primitive(pattern, *leaves).square().sum().backward()
        assert alone[1 - wanted].grad is None
        assert torch.equal(alone[wanted].grad, both[wanted].grad)


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_half_precision_is_summed_in_single(dtype: torch.dtype) -> None:
    """Four thousand ones: a half-precision sum of them stops at 2,048, or at 256."""
    size = 4000
    row = Pattern.from_coo(torch.zeros(size, dtype=torch.long), torch.arange(size), (1, size))
    ones = torch.ones(1, size, 1, dtype=dtype)
    total = spmm(row, ones[..., 0], ones)
    assert total.dtype == dtype
    assert_close(total.item(), float(size), rtol=4e-3, atol=0)
    single = Pattern.from_coo(torch.tensor([0]), torch.tensor([0]), (1, 1))
    score = sddmm(single, ones.mT, ones.mT)
    assert score.dtype == torch.float32
    assert score.item() == size
    value, x = require_grad(operands(rectangle(), dtype=dtype))
    spmm(rectangle(), value, x).float().sum().backward()
    assert (value.grad.dtype, x.grad.dtype) == (dtype, dtype)


def test_types_are_promoted_and_autocast_changes_nothing() -> None:
    pattern = rectangle()
    value, x = operands(pattern)
    assert spmm(pattern, value, x.float()).dtype == torch.float64
    assert spmm(pattern, value.float(), x.bfloat16()).dtype == torch.bfloat16
    assert sddmm(pattern, *(x.float() for x in factors(pattern))).dtype == torch.float32
    value, x = operands(pattern, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(spmm(pattern, value, x), spmm(pattern, value.double(), x.double()).float())


@pytest.mark.parametrize("grad", [False, True])
def test_opcheck(grad: bool) -> None:
    pattern = rectangle()
    calls = (products._spmm, operands(pattern)), (products.inner_products, factors(pattern))
    for op, pair in calls:
        leaves = [x.requires_grad_(grad) for x in pair]
        torch.library.opcheck(op.definition, (*leaves, *pattern.tensors))


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiles_as_one_graph(backend: str) -> None:
    if backend == "inductor" and not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("inductor needs a C++ compiler")
    torch.compiler.reset()
    pattern = rectangle()
    leaves = require_grad(factors(pattern))

    def run(x: Tensor, y: Tensor) -> Tensor:
        return spmm(pattern, sddmm(pattern, x, y).sigmoid(), y)

    outputs = torch.compile(run, fullgraph=True, backend=backend)(*leaves), run(*leaves)
    assert_close(*outputs)
    assert_close(*(torch.autograd.grad(out.square().sum(), leaves) for out in outputs))


def rows_of_unequal_length(size: int) -> Pattern:
    """Rows of 0 to N - 1 entries."""
    row, col = torch.ones(size, size).tril(-1).nonzero(as_tuple=True)
    return Pattern.from_coo(row, col, (size, size))


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled products, however few multiply-adds there are."""
    if not HAS_NUMBA:
        pytest.skip("needs numba")
    monkeypatch.setattr(products, "_MIN_COMPILED_WORK", 0)


by_numba = pytest.mark.usefixtures("compiled")


@by_numba
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("channels", [16, 17, 31, 68, 128, 145, 300])
def test_the_compiled_product_is_the_dense_one(
    channels: int, dtype: torch.dtype, generator: torch.Generator
) -> None:
    """Whole lines, an overlapping last line, several parts; heads and rows with strides."""
    pattern, rtol = rows_of_unequal_length(40), 1e-5 if dtype == torch.float32 else 1e-10
    value = torch.randn(2, pattern.nnz, generator=generator, dtype=dtype)
    wide = torch.randn(40, 2, channels + 3, generator=generator, dtype=dtype)
    x = wide[..., :channels].transpose(0, 1)
    assert products._runs_compiled(x, pattern.col)
    for values in (value, value[:1]):
        dense = pattern.to_dense(values) @ x
        assert_close(spmm(pattern, values, x), dense, rtol=rtol, atol=1e-5)


@by_numba
def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphmask.kernels._compiled._MIN_THREAD_WORK", 1)
    pattern, outputs = rows_of_unequal_length(40), []
    value, x = operands(pattern, (1, 1), channels=33)
    for threads in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        outputs.append(spmm(pattern, value, x))
    assert torch.equal(*outputs)


@by_numba
def test_derivatives_of_compiled_products() -> None:
    pattern = rows_of_unequal_length(6)
    assert_derivatives(partial(spmm, pattern), operands(pattern, (1, 2), channels=9))


# Triton kernels run on a GPU, or in the interpreter.
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def by_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton kernels, which cut rows although they are short."""
    pytest.importorskip("triton", exc_type=ImportError)
    monkeypatch.setattr(products, "runs_triton", lambda x: True)
    for module in ("_rows_triton", "_spmm_triton"):
        monkeypatch.setattr(f"graphmask.kernels.{module}.LENGTH", 16)


@pytest.mark.usefixtures("by_triton")
@pytest.mark.parametrize("channels", [1, 5, 300])
@pytest.mark.parametrize("heads", [1, 3])
def test_triton_kernels_are_the_definitions(
    heads: int, channels: int, generator: torch.Generator
) -> None:
    square = uneven(12)
    pattern = Pattern(square.rowptr.to(DEVICE), square.col.to(DEVICE), 13)
    value = torch.randn(pattern.nnz, heads, generator=generator).mT.to(DEVICE)
    x = torch.randn(13, heads, channels, generator=generator).transpose(0, 1).to(DEVICE)
    y = torch.randn(heads, 12, channels, generator=generator).to(DEVICE)
    assert_close(spmm(pattern, value, x), pattern.to_dense(value) @ x)
    assert_close(sddmm(pattern, y, x), (y @ x.mT)[:, pattern.row.long(), pattern.col.long()])


@pytest.mark.usefixtures("by_triton")
@pytest.mark.parametrize("rows", [0, 2])
def test_triton_kernels_of_no_entries(rows: int) -> None:
    none = torch.zeros(0, dtype=torch.long, device=DEVICE)
    pattern, x = Pattern.from_coo(none, none, (rows, 3)), torch.ones(2, 3, 4, device=DEVICE)
    product = spmm(pattern, torch.zeros(2, 0, device=DEVICE), x)
    assert_close(product, torch.zeros(2, rows, 4, device=DEVICE))
    assert sddmm(pattern, torch.ones(2, rows, 4, device=DEVICE), x).shape == (2, 0)
