from __future__ import annotations

import gc
import weakref
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import pattern_of
from torch.testing import assert_close

from graphmask.kernels import Pattern
from graphmask.kernels.pattern import index_dtype


@st.composite
def supports(draw: st.DrawFn) -> torch.Tensor:
    """A dense boolean matrix, possibly without rows, columns or entries."""
    rows, cols = draw(st.integers(0, 5)), draw(st.integers(0, 5))
    cells = draw(st.lists(st.booleans(), min_size=rows * cols, max_size=rows * cols))
    return torch.tensor(cells, dtype=torch.bool).reshape(rows, cols)


@given(supports())
def test_patterns_and_their_transposes(support: torch.Tensor) -> None:
    pattern, fresh = pattern_of(support), pattern_of(support.mT)
    row, col = support.nonzero(as_tuple=True)
    assert (pattern.shape, pattern.nnz) == (tuple(support.shape), len(row))
    assert_close((pattern.row.long(), pattern.col.long()), (row, col))
    assert_close(pattern.rowptr.diff().long(), support.sum(1))
    value = torch.arange(1.0, pattern.nnz + 1)
    assert_close(pattern.mT.to_dense(value[pattern.csc_perm]), pattern.to_dense(value).mT)
    assert_close(value[pattern.csc_perm][pattern.mT.csc_perm], value)
    for actual, expected in ((pattern.mT.mT, pattern), (pattern.mT, fresh)):
        for name in ("rowptr", "col", "row"):
            assert_close(getattr(actual, name), getattr(expected, name))
    by_sorting = pattern_of(support)
    with mock.patch("torch.compiler.is_compiling", return_value=True):
        assert_close(pattern.tensors, by_sorting.tensors)
    assert_close(pattern.tensors[4], torch.argsort(pattern.col, stable=True).int())


def test_values_of_a_partner_are_kept_for_the_latest_one() -> None:
    pattern, first, second = pattern_of(torch.eye(3, dtype=torch.bool)), object(), object()
    assert pattern.cached("key", list) is pattern.cached("key", list)
    one = pattern.cached("two", list, first)
    assert pattern.cached("two", list, first) is one
    other = pattern.cached("two", list, second)
    assert pattern.cached("two", list, second) is other is not one
    assert pattern.is_cached("two", second)
    assert not pattern.is_cached("two", first)
    assert pattern.cached("two", list, first) is not one


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
def test_unchecked_entries_give_the_same_pattern(dtype: torch.dtype) -> None:
    row, col = torch.tensor([[0, 0, 2], [1, 2, 0]], dtype=dtype)
    unchecked, checked = Pattern.from_unchecked(row, col, 4), Pattern.from_coo(row, col, (4, 4))
    assert_close((unchecked.row, *unchecked.tensors), (checked.row, *checked.tensors))


def test_transposing_back_sorts_nothing_and_keeps_nothing_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pattern = pattern_of(torch.eye(3, dtype=torch.bool))
    flipped, alive = pattern.mT, weakref.ref(pattern)
    monkeypatch.setattr(torch, "argsort", None)
    assert flipped.mT.col is pattern.col
    assert flipped.mT.mT.col is flipped.col
    assert flipped.mT.csc_perm is pattern.csc_perm
    gc.disable()
    del pattern
    gc.enable()
    assert alive() is None


def test_dense_values_lead_and_coinciding_entries_add() -> None:
    twice = Pattern.from_coo(torch.tensor([0, 0, 1]), torch.tensor([1, 1, 0]), (2, 3))
    dense = twice.to_dense(torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, -1.0]]))
    assert dense.tolist() == [[[0, 3, 0], [4, 0, 0]], [[0, 0, 0], [-1, 0, 0]]]
    assert pattern_of(torch.ones(3, 40)).subsample().rowptr.diff().tolist() == [8, 8, 8]


def test_indices_are_narrow_and_no_inference_tensors() -> None:
    pattern = pattern_of(torch.eye(3, dtype=torch.bool))
    with torch.inference_mode():
        cached = (pattern.row, pattern.csc_perm, pattern.mT.row, pattern.mT.rowptr)
    assert not any(index.is_inference() for index in cached), "caches outlive inference mode"
    indices = (*pattern.tensors, pattern.row, pattern.csc_perm, pattern.mT.csc_perm)
    assert {index.dtype for index in indices} == {torch.int32}
    assert [index_dtype(2**31 - 1), index_dtype(2**31)] == [torch.int32, torch.int64]


def shuffled_ring(nodes: int) -> Pattern:
    """Neighbours of a ring whose nodes have random ids."""
    name = torch.randperm(nodes, generator=torch.Generator().manual_seed(0))
    row = torch.arange(nodes).repeat_interleave(3)
    col = (row + torch.tensor([-1, 0, 1]).repeat(nodes)) % nodes
    entry = torch.sort(name[row] * nodes + name[col]).values
    return Pattern.from_coo(entry // nodes, entry % nodes, (nodes, nodes))


def test_an_order_of_rows_brings_neighbours_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphmask.kernels.pattern._LARGE", 1)
    monkeypatch.setattr("graphmask.kernels.pattern._NEAR", 0)
    ring, rank = shuffled_ring(200), torch.empty(200, dtype=torch.long)
    rank[ring.row_order.long()] = torch.arange(200)
    assert sorted(rank.tolist()) == list(range(200))
    assert (rank[ring.row.long()] - rank[ring.col.long()]).abs().max() <= 2


def test_large_square_patterns_get_an_order_unless_they_have_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("graphmask.kernels.pattern._LARGE", 300)
    monkeypatch.setattr("graphmask.kernels.pattern._WINDOW", 8)
    near = torch.ones(300, 300).tril(1).triu(-1)
    # A window that shares distant columns reads them once: distant blocks are no bad order.
    local, distant, oblong = (pattern_of(x) for x in (near, near.roll(150, 1), torch.ones(60, 61)))
    patterns = shuffled_ring(300), shuffled_ring(10), local, distant, oblong
    assert [len(pattern.row_order) for pattern in patterns] == [300, 0, 0, 0, 0]


def test_former_names_work_and_warn() -> None:
    pattern = pattern_of(torch.eye(3, dtype=torch.bool))
    for former, name in (("order", "csc_perm"), ("schedule", "row_order")):
        with pytest.warns(DeprecationWarning, match=f"now called `{name}`"):
            assert getattr(pattern, former) is getattr(pattern, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = pattern.nothing
