from __future__ import annotations

import pytest
import torch
from pairs_by_hand import Inputs, definition, inputs, pattern_of, uneven
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from graphmask.kernels import Pattern, pair_attention, pairs, pattern

bodies = pytest.importorskip("graphmask.kernels._pairs_numba", exc_type=ImportError)

# Heads, features and value channels: heads in one group of registers, and in groups of one.
SIZES = [(2, 3, 2), (4, 32, 20)]
DTYPES = [torch.float64, torch.float32]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled bodies for problems of any size."""
    monkeypatch.setattr(pairs, "_WORTH_COMPILING", 0)


def shuffled_ring(nodes: int) -> Pattern:
    """Neighbours of a ring whose nodes are numbered at random."""
    name = torch.randperm(nodes, generator=torch.Generator().manual_seed(0))
    row = torch.arange(nodes).repeat_interleave(3)
    col = (row + torch.tensor([-1, 0, 1]).repeat(nodes)) % nodes
    place = torch.sort(name[row] * nodes + name[col]).values
    return Pattern.from_coo(place // nodes, place % nodes, (nodes, nodes))


def slopes(outputs: tuple[Tensor, Tensor], leaves: Inputs) -> tuple[Tensor, ...]:
    """Of a sum in which every number of both outputs counts differently."""
    total = sum(
        (out.double() * torch.linspace(-1, 2, out.numel()).view(out.shape)).sum() for out in outputs
    )
    return torch.autograd.grad(total, leaves)


def assert_both_ways(pattern: Pattern, some: Inputs, signed: bool = True) -> None:
    """The definition, in values and gradients."""
    leaves = tuple(x.detach().requires_grad_() for x in some)
    wide = tuple(x.detach().double().requires_grad_() for x in some)
    found, expected = pair_attention(pattern, *leaves, signed=signed), definition(pattern, *wide)
    assert_close(found, tuple(x.to(some[0].dtype) for x in expected))
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if some[0].dtype == torch.float32 else {}
    assert_close(
        slopes(found, leaves),
        tuple(x.to(some[0].dtype) for x in slopes(expected, wide)),
        **tolerance,
    )


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("shared", [False, True])
def test_compiled_bodies_are_the_definition(
    size: tuple[int, int, int], shared: bool, dtype: torch.dtype
) -> None:
    pattern = uneven()
    assert_both_ways(pattern, inputs(pattern, size, 1 if shared else size[0], dtype))


@pytest.mark.parametrize("has_numba", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_small_problems_and_other_machines_are_composed(
    shared: bool, has_numba: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "HAS_NUMBA", has_numba)
    for name in ("attend", "differentiate_rows", "differentiate_columns"):
        monkeypatch.setattr(bodies, name, None)
    pattern = uneven()
    assert_both_ways(pattern, inputs(pattern, (2, 3, 2), 1 if shared else 2))


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("signed", [False, True])
def test_where_values_cannot_be_negative_zero_has_a_slope(signed: bool) -> None:
    """|M| has slope 1 at M = 0 for masks of no other sign, and 0 by convention for others.

    Compiled and composed alike.
    """
    pattern = uneven()
    q, k, v, value = inputs(pattern, (2, 3, 2), 2)
    value = value.abs().requires_grad_()
    found = slopes(pair_attention(pattern, q, k, v, value, signed), (value,))
    assert_close(found, slopes(pairs._compose(pattern, q, k, v, value, signed), (value,)))


@pytest.mark.usefixtures("compiled")
def test_derivatives_of_both_orders() -> None:
    pattern = pattern_of(torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1]]))
    generator = torch.Generator().manual_seed(1)
    shapes = [(2, 3, 3), (2, 3, 3), (2, 3, 2), (2, pattern.nnz)]
    leaves = tuple(torch.randn(shape, generator=generator).requires_grad_() for shape in shapes)
    assert gradcheck(lambda *x: pair_attention(pattern, *x), leaves)
    above = torch.ones(2, 3, 2).requires_grad_(), torch.ones(2, 3).requires_grad_()
    assert gradgradcheck(lambda *x: pair_attention(pattern, *x), leaves, above)


@pytest.mark.usefixtures("compiled")
def test_third_derivatives() -> None:
    pattern = uneven(12)
    q, k, v, value = inputs(pattern, (2, 3, 2), 2)
    found, expected = [], []
    for attend, kept in ((pair_attention, found), (pairs._compose, expected)):
        x = torch.ones(()).requires_grad_()
        (total,) = (
            out.square().sum()
            for out in attend(pattern, q * x, k * x.sin(), v, value * x, True)[:1]
        )
        for _ in range(3):
            (total,) = torch.autograd.grad(total, x, create_graph=True)
        kept.append(total)
    assert_close(found, expected)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("wanted", range(4))
def test_a_gradient_wanted_alone_is_the_same(wanted: int) -> None:
    pattern = uneven()
    some = inputs(pattern, (2, 3, 2), 2)
    all_of = [x.detach().clone().requires_grad_() for x in some]
    alone = [x.detach().clone().requires_grad_(number == wanted) for number, x in enumerate(some)]
    for leaves in (all_of, alone):
        sum(out.square().sum() for out in pair_attention(pattern, *leaves)).backward()
    assert [x.grad is None for x in alone] == [number != wanted for number in range(4)]
    assert torch.equal(alone[wanted].grad, all_of[wanted].grad)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("nodes", [0, 1, 5])
def test_no_entries_give_zeros(nodes: int) -> None:
    pattern = pattern_of(torch.zeros(nodes, nodes))
    assert_both_ways(pattern, inputs(pattern, (2, 3, 2), 2))


@pytest.mark.usefixtures("compiled")
def test_infinities_are_not_lost() -> None:
    pattern = pattern_of(torch.eye(3))
    ones = torch.ones(2, 3, 2)
    ones[0, 1, 0] = float("inf")
    numerator, normaliser = pair_attention(
        pattern, torch.ones(2, 3, 3), torch.ones(2, 3, 3), ones, torch.ones(2, 3)
    )
    assert numerator.isinf().nonzero().tolist() == [[0, 1, 0]]
    assert normaliser.isfinite().all()


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("scheduled", [False, True])
def test_threads_change_no_bit(scheduled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_WORTH_A_THREAD", 1)
    if scheduled:
        schedule_all(monkeypatch)
    pattern = uneven(150)
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        leaves = tuple(x.detach().requires_grad_() for x in inputs(pattern, (2, 3, 2), 1))
        outputs = pair_attention(pattern, *leaves)
        found.append((*outputs, *slopes(outputs, leaves)))
    assert len(pattern.schedule) == (150 if scheduled else 0)
    assert all(torch.equal(one, many) for one, many in zip(*found, strict=True))


def schedule_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "_LARGE", 1)
    monkeypatch.setattr(pattern, "_NEAR", 0)


@pytest.mark.usefixtures("compiled")
def test_a_schedule_changes_nothing_and_brings_neighbours_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedule_all(monkeypatch)
    ring = shuffled_ring(200)
    place = torch.empty(200, dtype=torch.long)
    place[ring.schedule.long()] = torch.arange(200)
    assert sorted(place.tolist()) == list(range(200))
    assert (place[ring.row.long()] - place[ring.col.long()]).abs().max() <= 2
    assert_both_ways(ring, inputs(ring, (2, 3, 2), 2))


def test_large_patterns_are_scheduled_unless_they_are_in_order_or_not_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pattern, "_LARGE", 300)
    monkeypatch.setattr(pattern, "_WINDOW", 8)
    ring = shuffled_ring(300)
    assert len(ring.schedule) == 300
    assert len(shuffled_ring(10).schedule) == 0
    near = torch.ones(300, 300).tril(1).triu(-1)
    assert len(pattern_of(near).schedule) == 0
    assert len(pattern_of(torch.ones(60, 61)).schedule) == 0
    # What lies far away is read once by a window that shares it: a few distant blocks do not make
    # an order a bad one.
    assert len(pattern_of(near.roll(150, 1)).schedule) == 0


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("grad", [False, True])
def test_opcheck(grad: bool) -> None:
    check_operators(uneven(12), grad)


@pytest.mark.parametrize("grad", [False, True])
def test_opcheck_of_what_is_composed(grad: bool) -> None:
    check_operators(uneven(12), grad)


def check_operators(pattern: Pattern, grad: bool) -> None:
    some = [x.detach().requires_grad_(grad) for x in inputs(pattern, (2, 3, 2), 2)]
    above = torch.ones(2, 12, 2), torch.ones(2, 12)
    sides = (
        pattern.rowptr,
        pattern.col,
        pattern.mT.rowptr,
        pattern.mT.col,
        pattern.order,
        pattern.mT.order,
        pattern.schedule,
    )
    torch.library.opcheck(pairs._attend, (*some, *sides, True))
    for derivative in (pairs._differentiate_rows, pairs._differentiate_columns):
        torch.library.opcheck(derivative, (*above, *some, *sides, True))


@pytest.mark.usefixtures("compiled")
def test_compiles_as_one_graph() -> None:
    torch.compiler.reset()
    pattern = uneven(12)
    _ = pattern.mT, pattern.schedule
    leaves = tuple(x.detach().requires_grad_() for x in inputs(pattern, (2, 3, 2), 2))
    run = torch.compile(lambda *x: pair_attention(pattern, *x), fullgraph=True, backend="aot_eager")
    found, expected = run(*leaves), pair_attention(pattern, *leaves)
    assert_close(found, expected)
    assert_close(slopes(found, leaves), slopes(expected, leaves))


def test_types_are_promoted() -> None:
    pattern = uneven(12)
    q, k, v, value = inputs(pattern, (2, 3, 2), 2)
    assert {
        out.dtype for out in pair_attention(pattern, q.float(), k.float(), v.float(), value)
    } == {torch.float64}
    assert {
        out.dtype for out in pair_attention(pattern, *(x.float() for x in (q, k, v, value)))
    } == {torch.float32}
