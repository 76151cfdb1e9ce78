"""Pair attention by each of its implementations.

Triton kernels run on a GPU where there is one, else in Triton's interpreter (see conftest).
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from itertools import product
from pathlib import Path

import pytest
import torch
from oracles import Inputs, definition, inputs, pattern_of, softmax_definition, uneven
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from graphmask.kernels import (
    HopValues,
    Pattern,
    pair_attention,
    pair_softmax,
    pair_sums,
    pairs,
    products,
)
from graphmask.kernels._extra import HAS_NUMBA
from graphmask.kernels._options import Options

HAS_GPU = torch.cuda.is_available()

# "torch": the composition. "operator": the same within the operator, as for small problems.
IMPLEMENTATIONS = ["torch", "operator", "numba", "triton"]


def slow(*values: object) -> object:
    """Parameters of a case that Triton's interpreter, or a gradient check, takes long for."""
    return pytest.param(*values, marks=pytest.mark.slow)


class Implementation:
    """Makes :func:`pair_attention` run by one implementation, whatever the size of the problem."""

    def __init__(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name, self.monkeypatch = name, monkeypatch
        self.device = "cuda" if name == "triton" and HAS_GPU else "cpu"
        if name == "torch":
            for module in (pairs, products):
                monkeypatch.setattr(module, "HAS_NUMBA", False)
        elif name == "triton":
            pytest.importorskip("triton", exc_type=ImportError)
            monkeypatch.setattr(pairs, "runs_triton", lambda x: True)
            self.cut(16)
        elif not HAS_NUMBA:
            pytest.skip("needs numba")
        elif name == "numba":
            monkeypatch.setattr(pairs, "_MIN_COMPILED_WORK", 0)

    def cut(self, length: int) -> None:
        """Triton kernels cut rows although they are short."""
        from graphmask.kernels import _pairs_triton, _rows_triton

        for module in (_pairs_triton, _rows_triton):
            self.monkeypatch.setattr(module, "LENGTH", length)

    def pattern(self, pattern: Pattern) -> Pattern:
        return Pattern(
            pattern.rowptr.to(self.device), pattern.col.to(self.device), pattern.num_cols
        )

    def leaves(self, tensors: Inputs, dtype: torch.dtype = torch.float64) -> Inputs:
        return tuple(x.detach().to(self.device, dtype).requires_grad_() for x in tensors)


@pytest.fixture(params=IMPLEMENTATIONS)
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Implementation:
    return Implementation(request.param, monkeypatch)


by_numba = pytest.mark.parametrize("by", ["numba"], indirect=True)
by_triton = pytest.mark.parametrize("by", ["triton"], indirect=True)


def grads_of(outputs: tuple[Tensor, ...], leaves: Inputs) -> tuple[Tensor, ...]:
    """Gradients of a sum in which every number of both outputs counts differently."""
    weights = (torch.linspace(-1, 2, x.numel(), device=x.device).view(x.shape) for x in outputs)
    total = sum((x.double() * w).sum() for x, w in zip(outputs, weights, strict=True))
    return torch.autograd.grad(total, leaves)


def assert_definition(
    by: Implementation,
    pattern: Pattern,
    tensors: Inputs,
    signed: bool = True,
    dtype: torch.dtype = torch.float64,
) -> None:
    """Values and gradients, by the definition in float64 on the same numbers."""
    pattern, leaves = by.pattern(pattern), by.leaves(tensors, dtype)
    wide = by.leaves(leaves)
    sums = torch.float64 if dtype == torch.float64 else torch.float32
    actual, expected = pair_attention(pattern, *leaves, signed=signed), definition(pattern, *wide)
    assert_close(actual, tuple(x.to(sums) for x in expected))
    if not signed:
        # |M| has slope 1 at 0 for masks without sign, and 0 by convention for others.
        expected = pairs._compose_sums(pattern.tensors, *wide, Options(signed))[:2]
    grads = tuple(x.to(dtype) for x in grads_of(expected, wide))
    # Gradients are rounded once: off by a unit in the last place, or by float32's sums.
    eps = torch.finfo(dtype).eps
    atol = 1e-9 if dtype == torch.float64 else 1e-4
    assert_close(
        grads_of(actual, leaves), grads, rtol=max(2 * eps, 1e-4 * (eps > 1e-9), 1e-12),
        atol=max(2 * eps, atol),
    )  # fmt: skip


# Heads, m and d. Numba: heads in one group of registers, and in groups of one. Triton: powers of 2
# and others, several groups of heads, one number of each.
SIZES = [
    *product(IMPLEMENTATIONS, [(2, 3, 2)]),
    ("numba", (4, 32, 20)),
    ("triton", (3, 16, 16)),
    slow("triton", (2, 128, 5)),
    slow("triton", (1, 1, 1)),
]


@pytest.mark.parametrize(
    ("shared", "signed"), [(False, True), (True, False), slow(True, True), slow(False, False)]
)
@pytest.mark.parametrize(("by", "size"), SIZES, indirect=["by"], ids=str)
def test_attention_is_the_definition(
    by: Implementation, size: tuple[int, int, int], shared: bool, signed: bool
) -> None:
    pattern = uneven(12 if by.name == "triton" else 40)
    q, k, v, value = inputs(pattern, size, 1 if shared else size[0])
    assert_definition(by, pattern, (q, k, v, value if signed else value.abs()), signed)


@pytest.mark.parametrize(
    ("by", "dtype"),
    [
        *product(IMPLEMENTATIONS, [torch.float32]),
        ("triton", torch.bfloat16),
        slow("triton", torch.float16),
    ],
    indirect=["by"],
)
def test_low_precision_is_summed_in_single(by: Implementation, dtype: torch.dtype) -> None:
    pattern = uneven(12)
    assert_definition(by, pattern, inputs(pattern, (2, 8, 16), 2), dtype=dtype)


@pytest.mark.parametrize("learned_table", [slow(False), True])
@pytest.mark.parametrize("shared", [slow(True), False])
def test_the_mask_is_formed_from_hops(
    by: Implementation, shared: bool, learned_table: bool
) -> None:
    pattern, generator = by.pattern(uneven(12)), torch.Generator().manual_seed(2)
    q, k, v, _ = inputs(pattern, (3, 8, 5), 3)
    shapes = (1 if shared else 3, 5), (pattern.nnz, 5)
    coefficients, table = (torch.randn(shape, generator=generator) for shape in shapes)
    leaves = by.leaves((q, k, v, coefficients, table))
    if not learned_table:
        leaves[4].requires_grad_(False)
    values = HopValues(leaves[4], leaves[3])
    actual = pair_attention(pattern, *leaves[:3], values)
    expected = definition(pattern, *leaves[:3], leaves[3] @ leaves[4].mT)
    assert_close(actual, expected)
    count = 5 if learned_table else 4
    assert_close(grads_of(actual, leaves[:count]), grads_of(expected, leaves[:count]))


@by_triton
@pytest.mark.slow
def test_half_precision_forms_the_mask_from_a_single_table(by: Implementation) -> None:
    pattern, generator = by.pattern(uneven(12)), torch.Generator().manual_seed(2)
    q, k, v, _ = by.leaves(inputs(pattern, (3, 8, 5), 3), torch.bfloat16)
    table, coefficients = (torch.randn(n, 5, generator=generator) for n in (pattern.nnz, 3))
    table, coefficients = table.to(q.device), coefficients.to(q.device).requires_grad_()
    actual = pair_attention(pattern, q, k, v, HopValues(table.float(), coefficients.float()))
    wide = by.leaves((q, k, v, coefficients))
    expected = definition(pattern, *wide[:3], wide[3] @ table.mT)
    assert_close(actual, tuple(x.float() for x in expected), rtol=1e-4, atol=1e-4)
    grads = grads_of(actual, (q, k, v, coefficients))
    for grad, other in zip(grads, grads_of(expected, wide), strict=True):
        assert_close(grad, other.to(grad.dtype), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("nodes", [0, 1, 5])
def test_no_entries_give_zeros(by: Implementation, nodes: int) -> None:
    pattern = pattern_of(torch.zeros(nodes, nodes))
    assert_definition(by, pattern, inputs(pattern, (2, 3, 2), 2))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("by", IMPLEMENTATIONS[:3], indirect=True)
def test_sums_of_one_node_share_no_memory(by: Implementation, signed: bool) -> None:
    """Torch refuses operators whose results do."""
    ones = torch.ones(1, 1, 1)
    assert_definition(by, pattern_of(torch.ones(1, 1)), (ones, ones, ones, ones[0]), signed)


@pytest.mark.parametrize("from_hops", [False, True])
@pytest.mark.parametrize("by", [*IMPLEMENTATIONS[:3], slow("triton")], indirect=True)
def test_derivatives_of_both_orders(by: Implementation, from_hops: bool) -> None:
    pattern = by.pattern(pattern_of(torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 0]])))
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(pattern.nnz, 2, generator=generator).to(by.device)
    shapes = [(1, 3, 2), (1, 3, 2), (1, 3, 1), (1, 2) if from_hops else (1, pattern.nnz)]
    leaves = by.leaves([torch.randn(shape, generator=generator) for shape in shapes])

    def attend(q: Tensor, k: Tensor, v: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        return pair_attention(pattern, q, k, v, HopValues(table, last) if from_hops else last)

    grads = by.leaves((torch.ones(1, 3, 1), torch.ones(1, 3)))
    assert gradcheck(attend, leaves)
    assert gradgradcheck(attend, leaves, grads)


@by_numba
def test_third_derivatives(by: Implementation) -> None:
    pattern = uneven(12)
    q, k, v, value = inputs(pattern, (2, 3, 2), 2)
    third = []
    for attend, support, options in (
        (pair_attention, pattern, True),
        (pairs._compose_sums, pattern.tensors, Options()),
    ):
        x = torch.ones(()).requires_grad_()
        total = attend(support, q * x, k * x.sin(), v, value * x, options)[0].square().sum()
        for _ in range(3):
            (total,) = torch.autograd.grad(total, x, create_graph=True)
        third.append(total)
    assert_close(*third)


@pytest.mark.parametrize("wanted", [slow(0), 1, slow(2), 3])
def test_one_gradient_alone_is_the_same(by: Implementation, wanted: int) -> None:
    pattern = by.pattern(uneven(12))
    together = by.leaves(inputs(pattern, (2, 3, 2), 2))
    alone = by.leaves(together)
    for index, x in enumerate(alone):
        x.requires_grad_(index == wanted)
    for leaves in (together, alone):
        sum(out.square().sum() for out in pair_attention(pattern, *leaves)).backward()
    assert [x.grad is None for x in alone] == [index != wanted for index in range(4)]
    assert torch.equal(alone[wanted].grad, together[wanted].grad)


def test_infinities_are_not_lost(by: Implementation) -> None:
    pattern, (k, v) = by.pattern(pattern_of(torch.eye(3))), torch.ones(2, 2, 3, 2).to(by.device)
    v[0, 1, 0] = float("inf")
    numerator, denominator = pair_attention(pattern, k, k, v, k[..., 0])
    assert numerator.isinf().nonzero().tolist() == [[0, 1, 0]]
    assert denominator.isfinite().all()


@pytest.mark.parametrize("by", ["operator"], indirect=True)
def test_small_problems_are_composed(by: Implementation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphmask.kernels._pairs_numba.run_rows", None)
    pattern = uneven()
    assert_definition(by, pattern, inputs(pattern, (2, 3, 2), 2))


@by_numba
def test_threads_and_an_order_of_rows_change_no_bit(
    by: Implementation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphmask.kernels._compiled._MIN_THREAD_WORK", 1)
    pattern, results = uneven(150), []
    leaves = by.leaves(inputs(pattern, (2, 3, 2), 2))
    ordered = Pattern(pattern.rowptr, pattern.col, pattern.num_cols)
    ordered.cached("row_order", pattern.cuthill_mckee)
    for each in (pattern, ordered):
        for threads in (1, 3):
            monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
            outputs = pair_attention(each, *leaves)
            results.append((*outputs, *grads_of(outputs, leaves)))
    for result in results[1:]:
        assert all(map(torch.equal, result, results[0]))


@by_triton
def test_the_same_bits_at_every_run(by: Implementation) -> None:
    pattern = by.pattern(uneven(12))
    leaves, runs = by.leaves(inputs(pattern, (2, 8, 8), 2), torch.float32), []
    for _ in range(2):
        outputs = pair_attention(pattern, *leaves)
        runs.append((*outputs, *grads_of(outputs, leaves)))
    assert all(map(torch.equal, *runs))


@by_triton
@pytest.mark.parametrize("length", [1, 2, slow(3), slow(5), slow(8)])
def test_rows_may_be_cut_anywhere(by: Implementation, length: int) -> None:
    by.cut(length)
    dense = torch.zeros(6, 6)
    dense[0], dense[2, :5], dense[5, 1:4] = 1, 1, 1
    pattern = pattern_of(dense)
    assert_definition(by, pattern, inputs(pattern, (1, 2, 2), 1))


@by_triton
def test_a_row_and_a_column_of_many_pairs(by: Implementation) -> None:
    nodes = 10_001 if HAS_GPU else 70
    leaf, hub = torch.arange(1, nodes), torch.zeros(nodes - 1, dtype=torch.long)
    star = Pattern.from_coo(torch.cat([hub, leaf]), torch.cat([leaf, hub]), (nodes, nodes))
    pattern, leaves = by.pattern(star), by.leaves(inputs(star, (1, 2, 1), 1))
    actual = pair_attention(pattern, *leaves, True)
    expected = pairs._compose_sums(pattern.tensors, *leaves, Options())[:2]
    assert_close(actual, expected)
    assert_close(grads_of(actual, leaves), grads_of(expected, leaves))


OPTIONS = {
    "attention": Options(),
    "sums": Options(signed=False, normalized=False),
    "softmax": Options(exponentials=True),
    "plus one": Options(plus_one=True),
}


@pytest.mark.parametrize(
    ("by", "mask", "options"),
    [
        ("operator", "values", "attention"),
        ("numba", "constants", "attention"),
        slow("operator", "values", "softmax"),
        slow("operator", "constants", "sums"),
        slow("numba", "values", "softmax"),
        *(slow("triton", mask, "attention") for mask in ("values", "constants", "hops")),
        slow("numba", "values", "sums"),
        slow("triton", "values", "sums"),
        slow("numba", "values", "plus one"),
    ],
    indirect=["by"],
)
def test_opcheck(by: Implementation, mask: str, options: str) -> None:
    pattern = by.pattern(pattern_of(torch.eye(3)))
    q, k, v, value = by.leaves(inputs(pattern, (2, 3, 2), 2))
    operands = q, k, v, value, None
    if mask == "constants":
        operands = *(x.detach() for x in operands[:4]), None
    elif mask == "hops":
        table, coefficients = by.leaves((torch.ones(3, 2), torch.ones(2, 2)))
        operands = q, k, v, table.detach(), coefficients
    rest = *pattern.tensors, pattern.row_order, *OPTIONS[options]
    torch.library.opcheck(pairs._attend.definition, (*operands, *rest))
    grads = (x.detach() for x in by.leaves((torch.ones(2, 3, 2), *torch.ones(2, 2, 3))))
    args = *grads, *operands, *rest
    for derivative in (pairs._differentiate_rows, pairs._differentiate_columns):
        torch.library.opcheck(derivative.definition, args)


@pytest.mark.slow
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(("by", "size"), SIZES, indirect=["by"], ids=str)
def test_one_more_is_a_feature_of_ones(
    by: Implementation, size: tuple[int, int, int], signed: bool
) -> None:
    pattern = uneven(12 if by.name == "triton" else 40)
    *features, value = inputs(pattern, size, size[0])
    leaves = by.leaves((*features, value if signed else value.abs()))
    pattern, (q, k, v, value) = by.pattern(pattern), leaves
    wide = *(torch.cat([torch.ones_like(x[..., :1]), x], -1) for x in (q, k)), v, value
    actual = pair_attention(pattern, q, k, v, value, signed, plus_one=True)
    alone = pair_sums(pattern, q, k, v, value, plus_one=True)
    expected, numerator = pair_attention(pattern, *wide, signed), pair_sums(pattern, *wide)
    assert_close(actual, expected)
    assert_close(alone, numerator)
    for sums, outputs in (actual, expected), ((alone,), (numerator,)):
        assert_close(grads_of(sums, leaves), grads_of(outputs, leaves))


@pytest.mark.parametrize("shared", [slow(False), True])
@pytest.mark.parametrize(("by", "size"), SIZES, indirect=["by"], ids=str)
def test_sums_alone_are_the_numerator(
    by: Implementation, size: tuple[int, int, int], shared: bool
) -> None:
    pattern = uneven(12 if by.name == "triton" else 40)
    leaves = by.leaves(inputs(pattern, size, 1 if shared else size[0]))
    pattern = by.pattern(pattern)
    actual, expected = pair_sums(pattern, *leaves), definition(pattern, *leaves)[0]
    assert_close(actual, expected)
    assert_close(grads_of((actual,), leaves), grads_of((expected,), leaves))


ON_CPU = [*IMPLEMENTATIONS[:3]]


@pytest.mark.parametrize(
    ("shared", "signed", "dtype"),
    [
        (False, True, torch.float64),
        (True, False, torch.float32),
        slow(False, True, torch.float32),
        slow(True, True, torch.float64),
    ],
)
@pytest.mark.parametrize(
    ("by", "size"),
    [*product(ON_CPU, [(2, 3, 2)]), slow("numba", (4, 32, 20)), slow("numba", (1, 1, 1))],
    indirect=["by"],
    ids=str,
)
def test_softmax_is_its_definition(
    by: Implementation,
    size: tuple[int, int, int],
    shared: bool,
    signed: bool,
    dtype: torch.dtype,
) -> None:
    pattern = uneven()
    q, k, v, value = inputs(pattern, size, 1 if shared else size[0])
    leaves = by.leaves((3 * (q - 0.5), 3 * (k - 0.5), v, value if signed else value.abs()), dtype)
    wide = by.leaves(leaves)
    actual = pair_softmax(pattern, *leaves, signed)
    expected = softmax_definition(pattern, *wide, signed)
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {}
    assert_close(actual, tuple(x.to(dtype) for x in expected), **tolerance)
    grads = tuple(x.to(dtype) for x in grads_of(expected[:2], wide))
    assert_close(grads_of(actual[:2], leaves), grads, **tolerance)


@pytest.mark.parametrize("by", ON_CPU, indirect=True)
def test_softmax_keeps_scores_of_any_size(by: Implementation) -> None:
    """Entries of zero do not count, however large their score; NaN stays in its row."""
    pattern = pattern_of(torch.ones(4, 4))
    q, k = torch.ones(1, 4, 1), torch.tensor([[[1e30], [1.0], [-1e30], [1e30]]])
    v, value = torch.arange(4.0).view(1, 4, 1), torch.ones(4, 4)
    value[1, 0] = value[1, 3] = 0
    value[2] = 0
    q[0, 3] = torch.nan
    leaves = by.leaves((q, k, v, value.view(1, 16)), torch.float32)
    numerator, denominator, shift = pair_softmax(pattern, *leaves)
    for actual, expected in (
        (numerator[..., 0], [3.0, 1.0, 0.0]),
        (denominator, [2.0, 1.0, 0.0]),
        (shift, [1e30, 1.0, 0.0]),
    ):
        assert_close(actual[0, :3], torch.tensor(expected, dtype=torch.float32))
    assert numerator[0, 3].isnan().all()
    grads = torch.autograd.grad((numerator + denominator[..., None])[0, :3].sum(), leaves[:3])
    assert grads[0][0, :3].isfinite().all()


@pytest.mark.parametrize("by", ON_CPU, indirect=True)
def test_softmax_has_derivatives_of_both_orders(by: Implementation) -> None:
    """Of averages, which do not depend on the shift."""
    pattern = pattern_of(torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 0]]))
    generator = torch.Generator().manual_seed(1)
    shapes = [(1, 3, 2), (1, 3, 2), (1, 3, 1), (1, pattern.nnz)]
    leaves = by.leaves([torch.randn(shape, generator=generator) for shape in shapes])

    def average(*inputs: Tensor) -> Tensor:
        numerator, denominator, _ = pair_softmax(pattern, *inputs)
        return numerator / denominator.masked_fill(denominator == 0, 1).unsqueeze(-1)

    assert gradcheck(average, leaves)
    assert gradgradcheck(average, leaves, by.leaves([torch.ones(1, 3, 1)]))


@by_numba
def test_compiles_as_one_graph(by: Implementation) -> None:
    torch.compiler.reset()
    pattern = uneven(12)
    _ = pattern.mT, pattern.row_order
    leaves = by.leaves(inputs(pattern, (2, 3, 2), 2))
    attend = partial(pair_attention, pattern)
    run = torch.compile(attend, fullgraph=True, backend="aot_eager")
    actual, expected = run(*leaves), attend(*leaves)
    assert_close(actual, expected)
    assert_close(grads_of(actual, leaves), grads_of(expected, leaves))


def test_types_are_promoted() -> None:
    pattern = uneven(12)
    q, k, v, value = inputs(pattern, (2, 3, 2), 2)
    for last, expected in ((value, torch.float64), (value.float(), torch.float32)):
        outputs = pair_attention(pattern, q.float(), k.float(), v.float(), last)
        assert {out.dtype for out in outputs} == {expected}


@pytest.mark.slow
def test_all_kernels_compile_for_sm90() -> None:
    pytest.importorskip("triton", exc_type=ImportError)
    root = str(Path(pairs.__file__).parents[2])
    environment = {**os.environ, "TRITON_INTERPRET": "0", "PYTHONPATH": root}
    command = [sys.executable, str(Path(__file__).with_name("compile_sm90.py"))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = "_attend _differentiate_columns _differentiate_rows _join _sddmm _spmm"
    assert done.stdout.split() == names.split()
