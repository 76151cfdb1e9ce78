"""Triton kernels against the dense definition.

On a GPU where there is one, else in Triton's interpreter (see conftest).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pairs_by_hand import Inputs, definition, inputs, pattern_of, uneven
from torch import Tensor
from torch.testing import assert_close

pytest.importorskip("triton", exc_type=ImportError)

from graphmask.kernels import HopValues, Pattern, fused, pairs
from graphmask.kernels import _pairs_triton as bodies
from graphmask.kernels import _rows_triton as rows

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

# Heads, features and value channels: powers of 2 and others, several groups of heads, one number of
# each.
SIZES = [(2, 3, 2), (3, 16, 16), (2, 128, 5), (1, 1, 1)]


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are cut although they are short."""
    for module in (bodies, rows):
        monkeypatch.setattr(module, "LENGTH", 16)


def small() -> Pattern:
    return on_device(uneven(12))


def on_device(pattern: Pattern) -> Pattern:
    return Pattern(pattern.rowptr.to(DEVICE), pattern.col.to(DEVICE), pattern.num_cols)


def leaves_of(some: Inputs, dtype: torch.dtype) -> Inputs:
    return tuple(x.detach().to(DEVICE, dtype).requires_grad_() for x in some)


def weighted_sum(outputs: tuple[Tensor, Tensor]) -> Tensor:
    """Every number of both outputs counts differently."""
    return sum(
        (x.double() * torch.linspace(-1, 2, x.numel(), device=x.device).view(x.shape)).sum()
        for x in outputs
    )


def assert_both_ways(
    pattern: Pattern, some: Inputs, signed: bool = True, dtype: torch.dtype = torch.float64
) -> None:
    """The definition in float64 on the numbers that the kernel read, in values and gradients."""
    leaves = leaves_of(some, dtype)
    wide = leaves_of(leaves, torch.float64)
    found, expected = (
        fused.fused_pair_attention(pattern, *leaves, signed),
        definition(pattern, *wide),
    )
    sums = torch.float64 if dtype == torch.float64 else torch.float32
    assert_close(found, tuple(x.to(sums) for x in expected))
    slopes = torch.autograd.grad(weighted_sum(found), leaves)
    if not signed:
        expected = pairs._compose(pattern, *wide, signed)
    assert_close(
        slopes,
        tuple(x.to(dtype) for x in torch.autograd.grad(weighted_sum(expected), wide)),
        **tolerance(dtype),
    )


def tolerance(dtype: torch.dtype) -> dict[str, float]:
    """Gradients are rounded once, so that they may be off by one unit in the last place, or by float32's sums."""
    eps = torch.finfo(dtype).eps
    return {
        "rtol": max(2 * eps, 1e-12),
        "atol": max(2 * eps, 2e-5 if dtype != torch.float64 else 1e-9),
    }


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_attention_is_the_definition(
    size: tuple[int, int, int], shared: bool, signed: bool
) -> None:
    pattern = small()
    q, k, v, value = inputs(pattern, size, 1 if shared else size[0])
    assert_both_ways(pattern, (q, k, v, value if signed else value.abs()), signed)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_read_and_summed_in_single(dtype: torch.dtype) -> None:
    pattern = small()
    assert_both_ways(pattern, inputs(pattern, (2, 8, 16), 2), dtype=dtype)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_the_mask_is_made_from_hops(dtype: torch.dtype, shared: bool) -> None:
    pattern, generator = small(), torch.Generator().manual_seed(2)
    q, k, v, _ = leaves_of(inputs(pattern, (3, 8, 5), 3), dtype)
    sums = torch.float64 if dtype == torch.float64 else torch.float32
    table = torch.randn(pattern.nnz, 5, generator=generator).to(DEVICE, sums)
    coefficients = (
        torch.randn(1 if shared else 3, 5, generator=generator).to(DEVICE, sums).requires_grad_()
    )
    found = fused.fused_pair_attention(pattern, q, k, v, HopValues(table, coefficients))
    wide = leaves_of((q, k, v, coefficients), torch.float64)
    expected = definition(pattern, *wide[:3], wide[3] @ table.double().mT)
    assert_close(found, tuple(x.to(sums) for x in expected))
    slopes = torch.autograd.grad(weighted_sum(found), (q, k, v, coefficients))
    expected = torch.autograd.grad(weighted_sum(expected), wide)
    for slope, other in zip(slopes, expected, strict=True):
        assert_close(slope, other.to(slope.dtype), **tolerance(dtype))


def test_a_table_with_a_gradient_gets_it() -> None:
    pattern = small()
    q, k, v, _ = inputs(pattern, (2, 3, 2), 2)
    generator = torch.Generator().manual_seed(0)
    table, coefficients = (
        torch.rand(pattern.nnz, 3, generator=generator),
        torch.rand(2, 3, generator=generator),
    )
    found, expected = [], []
    for attend, slopes in ((fused.fused_pair_attention, found), (None, expected)):
        own = leaves_of((table, coefficients), torch.float64)
        features = tuple(x.to(DEVICE) for x in (q, k, v))
        values = HopValues(*own)
        outputs = (
            attend(pattern, *features, values)
            if attend
            else definition(pattern, *features, own[1] @ own[0].mT)
        )
        slopes += torch.autograd.grad(weighted_sum(outputs), own)
    assert_close(found, expected)


@pytest.mark.usefixtures("cut")
def test_a_row_and_a_column_of_many_pairs() -> None:
    nodes = 10_001 if DEVICE == "cuda" else 200
    others = torch.arange(1, nodes)
    row, col = (
        torch.cat([torch.zeros_like(others), others]),
        torch.cat([others, torch.zeros_like(others)]),
    )
    pattern = on_device(Pattern.from_coo(row, col, (nodes, nodes)))
    q, k, v, value = leaves_of(inputs(pattern, (1, 2, 1), 1), torch.float64)
    found, slopes = {}, {}
    for name, attend in (("fused", fused.fused_pair_attention), ("composed", pairs._compose)):
        found[name] = attend(pattern, q, k, v, value, True)
        slopes[name] = torch.autograd.grad(weighted_sum(found[name]), (q, k, v, value))
    assert_close(found["fused"], found["composed"])
    assert_close(slopes["fused"], slopes["composed"])


@pytest.mark.parametrize("nodes", [0, 1, 5])
def test_no_entries_give_zeros(nodes: int) -> None:
    pattern = on_device(pattern_of(torch.zeros(nodes, nodes)))
    assert_both_ways(pattern, inputs(pattern, (2, 3, 2), 2))


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8])
def test_rows_may_be_cut_anywhere(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bodies, rows):
        monkeypatch.setattr(module, "LENGTH", length)
    dense = torch.zeros(6, 6)
    dense[0], dense[2, :5], dense[5, 1:4] = 1, 1, 1
    pattern = on_device(pattern_of(dense))
    assert_both_ways(pattern, inputs(pattern, (1, 2, 2), 1))


@pytest.mark.usefixtures("cut")
def test_the_same_bits_at_every_run() -> None:
    pattern = small()
    leaves = leaves_of(inputs(pattern, (2, 8, 8), 2), torch.float32)
    runs = []
    for _ in range(2):
        outputs = fused.fused_pair_attention(pattern, *leaves)
        runs.append((*outputs, *torch.autograd.grad(weighted_sum(outputs), leaves)))
    assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))


@pytest.mark.parametrize("from_hops", [False, True])
def test_derivatives_of_both_orders(from_hops: bool) -> None:
    pattern = on_device(pattern_of(torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 0]])))
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(pattern.nnz, 2, generator=generator).to(DEVICE)
    shapes = [(1, 3, 2), (1, 3, 2), (1, 3, 1), (1, 2) if from_hops else (1, pattern.nnz)]
    leaves = leaves_of([torch.randn(shape, generator=generator) for shape in shapes], torch.float64)

    def attend(q: Tensor, k: Tensor, v: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        return fused.fused_pair_attention(
            pattern, q, k, v, HopValues(table, last) if from_hops else last
        )

    assert torch.autograd.gradcheck(attend, leaves)
    above = (
        torch.ones(1, 3, 1, device=DEVICE).requires_grad_(),
        torch.ones(1, 3, device=DEVICE).requires_grad_(),
    )
    assert torch.autograd.gradgradcheck(attend, leaves, above)


@pytest.mark.parametrize("from_hops", [False, True])
def test_opcheck(from_hops: bool) -> None:
    pattern = on_device(pattern_of(torch.eye(3)))
    q, k, v, value = leaves_of(inputs(pattern, (2, 3, 2), 2), torch.float64)
    mask = (
        (torch.ones(3, 2, device=DEVICE), torch.ones(2, 2, device=DEVICE).requires_grad_())
        if from_hops
        else (value, None)
    )
    sides = (
        pattern.rowptr,
        pattern.col,
        pattern.mT.rowptr,
        pattern.mT.col,
        pattern.order,
        pattern.mT.order,
    )
    torch.library.opcheck(fused._attend, (q, k, v, *mask, *sides, True))
    above = torch.ones(2, 3, 2, device=DEVICE), torch.ones(2, 3, device=DEVICE)
    for derivative in (fused._differentiate_rows, fused._differentiate_columns):
        torch.library.opcheck(derivative, (*above, q, k, v, *mask, *sides, True))


def test_all_kernels_compile_for_hopper() -> None:
    environment = {
        **os.environ,
        "TRITON_INTERPRET": "0",
        "PYTHONPATH": str(Path(fused.__file__).parents[2]),
    }
    command = [sys.executable, str(Path(__file__).with_name("for_hopper.py"))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "_attend",
        "_differentiate_columns",
        "_differentiate_rows",
        "_join",
        "_sddmm",
        "_spmm",
    ]
