"""The value object that every sampler returns."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.data import Batch, Data

from graphmask import reference
from graphmask.walks import Walks

ENTRIES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2), st.floats(-2, 2))
)


def walks_of(entries: list[tuple[int, int, int, float]]) -> Walks:
    columns = zip(*entries, strict=True) if entries else ((), (), (), ())
    row, col, hop, weight = (torch.tensor(column) for column in columns)
    return Walks(row.long(), col.long(), hop.long(), weight.double(), num_nodes=4, num_hops=2)


@given(ENTRIES)
def test_entries_in_any_order_are_sorted_and_add(entries: list) -> None:
    walks = walks_of(entries)
    key = (walks.row.long() * 4 + walks.col) * 3 + walks.hop
    assert (key.diff() >= 0).all()
    assert walks.nnz == len(entries)
    expected = torch.zeros(3, 4, 4)
    for row, col, hop, weight in entries:
        expected[hop, row, col] += weight
    assert_close(walks.to_dense(), expected)
    parts = (walks.row.long(), walks.col.long(), walks.hop.long(), walks.weight)
    assert_close(reference.walk_matrices(*parts, 4, 2), expected)
    assert walks.nonnegative == all(weight >= 0 for *_, weight in entries)


@given(ENTRIES)
def test_pairs_times_hops_are_the_entries(entries: list) -> None:
    walks = walks_of(entries)
    pairs = sorted({(row, col) for row, col, *_ in entries})
    assert list(zip(walks.pattern.row.tolist(), walks.pattern.col.tolist(), strict=True)) == pairs
    table = walks.hop_pattern.to_dense(walks.weight)
    assert table.shape == (len(pairs), 3)
    assert_close(table, walks.to_dense()[:, walks.pattern.row.long(), walks.pattern.col.long()].mT)


@given(ENTRIES)
def test_walks_of_pairs_are_the_walks_of_their_entries(entries: list) -> None:
    walks = walks_of(entries)
    table = walks.hop_pattern.to_dense(walks.weight)
    made = Walks.of_pairs(walks.pattern, table, "rw")
    assert (made.num_nodes, made.num_hops, made.normalization) == (4, 2, "rw")
    assert made.nnz == int((table != 0).sum())
    assert_close(made.to("cpu").to_dense(), walks.to_dense())
    assert_close(made.to_dense(), walks.to_dense())
    assert made.nnz == made.weight.numel()
    assert_close(made.symmetrized.to_dense(), walks.symmetrized.to_dense())
    assert_close(pickle.loads(pickle.dumps(made)).to_dense(), walks.to_dense())
    assert_close(copy.deepcopy(made).to_dense(), walks.to_dense())


@given(ENTRIES, st.booleans())
def test_values_combine_alike_from_entries_and_from_tables(entries: list, live: bool) -> None:
    walks = walks_of(entries)
    coefficients = torch.tensor([[1.0, 2.0, 0.5], [-1.0, 0.0, 3.0]])
    table = walks.hop_pattern.to_dense(walks.weight)
    expected = torch.einsum("ht,pt->hp", coefficients, table)
    made = Walks.of_pairs(walks.pattern, table)
    sparse = dataclasses.replace(walks, weight=walks.weight.requires_grad_(live))
    assert (sparse.table is None) == (live or walks.nnz < 0.25 * table.numel())
    for each in (made, sparse):
        assert_close(each.combine(coefficients), expected)
        assert_close(each.combine(coefficients.float()), expected, check_dtype=False)


def test_tables_are_checked() -> None:
    pattern = walks_of([(0, 1, 0, 1.0), (2, 1, 1, 1.0)]).pattern
    for table, expected in (
        (torch.ones(3, 2), "P = 2"),
        (torch.ones(2), "P = 2"),
        (torch.full((2, 2), torch.nan), "finite"),
    ):
        with pytest.raises(ValueError, match=expected):
            Walks.of_pairs(pattern, table)
    with pytest.raises(AttributeError, match="nothing"):
        _ = Walks.of_pairs(pattern, torch.ones(2, 1)).nothing


@given(ENTRIES)
def test_symmetrized_walks_are_the_average_of_both_directions(entries: list) -> None:
    walks = walks_of(entries)
    both = walks.symmetrized
    assert_close(both.to_dense(), reference.symmetric_part(walks.to_dense()))
    key = (both.row.long() * 4 + both.col) * 3 + both.hop
    assert (key.diff() > 0).all()
    assert (both.num_nodes, both.num_hops) == (4, 2)
    assert both.nonnegative or not walks.nonnegative
    assert walks.symmetrized is both


def test_symmetrized_walks_carry_the_gradient_and_share_their_structure() -> None:
    walks = walks_of([(0, 1, 1, 2.0), (1, 0, 1, 1.0), (2, 2, 0, 1.0), (3, 1, 2, -1.0)])
    weight = walks.weight.clone().requires_grad_()
    learned = replace(walks, weight=weight)
    first, second = learned.symmetrized, learned.symmetrized
    assert first is not second
    assert first.pattern is second.pattern
    assert first.hop_pattern is second.hop_pattern
    above = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.autograd.grad(reference.symmetric_part(learned.to_dense()), weight, above)
    assert_close(torch.autograd.grad(first.to_dense(), weight, above), expected)
    assert_close(torch.autograd.grad(second.to_dense(), weight, above), expected)


def test_symmetrized_in_inference_mode_serves_training() -> None:
    walks = walks_of([(3, 1, 2, 1.0), (0, 1, 0, 1.0)])
    with torch.inference_mode():
        kept = walks.symmetrized
    assert not any(
        part.is_inference()
        for part in (kept.weight, kept.row, kept.pattern.row, kept.hop_pattern.mT.row)
    )


@pytest.mark.parametrize("normalization", [None, "sym", "rw", "unknown"])
def test_walks_tell_what_they_were_drawn_with(normalization: str | None) -> None:
    walks = one(normalization=normalization)
    assert (
        walks.normalization
        == walks.to("cpu").normalization
        == walks.symmetrized.normalization
        == normalization
    )
    assert one().normalization == "unknown"


def test_indices_are_narrow() -> None:
    walks = walks_of([(3, 1, 2, 1.0)])
    assert {walks.row.dtype, walks.col.dtype, walks.hop.dtype} == {torch.int32}
    assert repr(walks) == "Walks(num_nodes=4, num_hops=2, nnz=1)"
    assert_close(walks.to("cpu").to_dense(), walks.to_dense())


def one(**changes: object) -> Walks:
    zero = torch.zeros(2, dtype=torch.long)
    return Walks(
        **{
            "row": zero,
            "col": zero,
            "hop": zero,
            "weight": torch.ones(2),
            "num_nodes": 3,
            "num_hops": 1,
            **changes,
        }
    )


REFUSED: list[tuple[dict[str, object], type[Exception], str]] = [
    (
        {"row": torch.tensor([0, 3])},
        ValueError,
        "`row` must be from 0 to 2, got values from 0 to 3",
    ),
    ({"col": torch.tensor([-1, 0])}, ValueError, "`col` must be from 0 to 2"),
    ({"hop": torch.tensor([0, 2])}, ValueError, "`hop` must be from 0 to 1"),
    ({"row": torch.tensor([0])}, ValueError, r"`row` must be of shape \[nnz\] = \[2\]"),
    ({"col": torch.ones(2)}, TypeError, "`col` must be an integer tensor"),
    ({"hop": torch.ones(2, dtype=torch.bool)}, TypeError, "`hop`"),
    ({"row": [0, 0]}, TypeError, "`row`"),
    ({"weight": torch.ones(2).long()}, TypeError, "`weight` must be a floating-point tensor"),
    ({"weight": [1.0, 1.0]}, TypeError, "`weight`"),
    ({"weight": torch.ones(2, 1)}, ValueError, r"`row` must be of shape"),
    (
        {"weight": torch.tensor([1.0, float("nan")])},
        ValueError,
        "`weight` must be finite, got 1 NaN or infinite of 2",
    ),
    ({"weight": torch.tensor([1.0, float("inf")])}, ValueError, "`weight` must be finite"),
    ({"num_nodes": -1}, ValueError, "`num_nodes`"),
    ({"num_nodes": 3.0}, TypeError, "`num_nodes`"),
    ({"num_hops": -1}, ValueError, "`num_hops`"),
    (
        {"normalization": "row"},
        ValueError,
        "`normalization` must be 'sym', 'rw', None or 'unknown', got row",
    ),
    ({"normalization": ["sym"]}, ValueError, "`normalization`"),
]


@pytest.mark.parametrize(("changes", "error", "expected"), REFUSED)
def test_bad_input_is_refused_by_name(changes: dict, error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=expected):
        one(**changes)


def data(hops: int = 1, **changes: object) -> Data:
    written = {
        "walk_index": torch.tensor([[0, 1, 0], [0, 1, 1]]),
        "walk_hop": torch.tensor([0, 0, 1]),
        "walk_weight": torch.tensor([1.0, 1.0, 0.5]),
        "walk_num_hops": hops,
    }
    return Data(
        num_nodes=2,
        **{name: value for name, value in {**written, **changes}.items() if value is not None},
    )


def test_walks_are_read_from_data() -> None:
    (walks,) = Walks.sets_from_data(data())
    assert (walks.num_nodes, walks.num_hops) == (2, 1)
    assert walks.to_dense()[1].tolist() == [[0, 0.5], [0, 0]]
    assert Walks.sets_from_data(Data(num_nodes=2)) == []


@pytest.mark.parametrize(
    ("number", "expected"), [(0, None), (1, "sym"), (2, "rw"), (3, "unknown"), (None, "unknown")]
)
def test_the_normalisation_is_read_from_data(number: int | None, expected: str | None) -> None:
    """Data stored without it tell nothing."""
    (alone,) = Walks.sets_from_data(data(walk_normalization=number))
    (joined,) = Walks.sets_from_data(Batch.from_data_list([data(walk_normalization=number)] * 2))
    assert alone.normalization == joined.normalization == expected


def paired(**changes: object) -> Data:
    written = {
        "walk_index": torch.tensor([[0, 0, 1], [0, 1, 1]], dtype=torch.int32),
        "walk_table": torch.tensor([[1.0, 0.0], [0.0, 0.5], [1.0, 0.0]]),
        "walk_normalization": 1,
    }
    return Data(
        num_nodes=2,
        **{name: value for name, value in {**written, **changes}.items() if value is not None},
    )


def test_pairs_are_read_from_data() -> None:
    (walks,) = Walks.sets_from_data(paired())
    assert (walks.num_nodes, walks.num_hops, walks.normalization, walks.nonnegative) == (
        2,
        1,
        "sym",
        True,
    )
    assert_close(walks.to_dense(), Walks.sets_from_data(data())[0].to_dense())
    table = paired().walk_table * torch.tensor([1.0, -1.0])
    assert not Walks.sets_from_data(paired(walk_table=table))[0].nonnegative


def test_pairs_that_come_twice_add() -> None:
    twice = torch.tensor([[1, 0, 1], [1, 1, 1]])
    (walks,) = Walks.sets_from_data(paired(walk_index=twice))
    assert walks.pattern.nnz == 2
    assert walks.to_dense().tolist() == [[[0, 0], [0, 2]], [[0, 0.5], [0, 0]]]


def test_no_pairs() -> None:
    empty = paired(walk_index=torch.empty(2, 0).long(), walk_table=torch.empty(0, 3))
    (walks,) = Walks.sets_from_data(empty)
    assert (walks.num_hops, walks.nnz, walks.pattern.shape) == (2, 0, (2, 2))
    assert walks.to_dense().shape == (3, 2, 2)


NAN = torch.tensor([[1.0, torch.nan], [0, 0], [0, 0]])
STORED: list[tuple[dict[str, object], type[Exception], str]] = [
    (
        {"walk_index": torch.tensor([[0, 0, 2], [0, 1, 1]])},
        ValueError,
        "`walk_index` must be node ids from 0 to N - 1 = 1",
    ),
    (
        {"walk_index": torch.tensor([[0, 0, 1], [0, -1, 1]])},
        ValueError,
        "`walk_index`.*ids from -1 to 1",
    ),
    (
        {"walk_index": torch.tensor([[0, 0, 1], [0, 2**32, 1]])},
        ValueError,
        "`walk_index`.*to 4294967296",
    ),
    ({"walk_index": torch.ones(2, 3)}, TypeError, "`walk_index` must be an integer tensor"),
    ({"walk_index": torch.zeros(3).long()}, ValueError, r"`walk_index` must be of shape \[2, P\]"),
    (
        {"walk_table": torch.ones(2, 2)},
        ValueError,
        r"`walk_table` must be of shape \[P, K \+ 1\] with P = 3",
    ),
    ({"walk_table": torch.ones(3, 0)}, ValueError, "`walk_table` must be of shape"),
    ({"walk_table": torch.ones(3)}, ValueError, "`walk_table` must be of shape"),
    (
        {"walk_table": torch.ones(3, 2).long()},
        TypeError,
        "`walk_table` must be a floating-point tensor",
    ),
    ({"walk_table": NAN}, ValueError, "`walk_table` must be finite, got 1 NaN or infinite of 6"),
    (
        {"walk_table": torch.full((3, 2), -torch.inf)},
        ValueError,
        "`walk_table` must be finite, got 6",
    ),
    ({"walk_normalization": 3.5}, ValueError, "`walk_normalization` must be a place"),
    (
        {"walk_normalization": torch.tensor([4, 4])},
        ValueError,
        "`walk_normalization` must be a place.*got 4",
    ),
    ({"walk_index_1": torch.tensor([[0], [0]])}, TypeError, "`walk_table_1`.*got NoneType"),
    (
        {"walk_index_1": torch.tensor([[0], [0]]), "walk_table_1": torch.ones(2, 2)},
        ValueError,
        "`walk_table_1`.*P = 1",
    ),
]


@pytest.mark.parametrize(("changes", "error", "expected"), STORED)
def test_stored_pairs_are_checked(changes: dict, error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=expected):
        Walks.sets_from_data(paired(**changes))


def test_sets_are_told_apart() -> None:
    first, second = Walks.sets_from_data(data(walk_set=torch.tensor([0, 1, 1])))
    assert (first.nnz, second.nnz) == (1, 2)
    assert second.to_dense()[0].tolist() == [[0, 0], [0, 1]]


def test_batches_are_block_diagonal() -> None:
    (walks,) = Walks.sets_from_data(Batch.from_data_list([data(), data(), data()]))
    block = Walks.sets_from_data(data())[0].to_dense()[1]
    assert_close(walks.to_dense()[1], torch.block_diag(block, block, block))


INCOMPLETE: list[tuple[Callable[[], Data], str]] = [
    (lambda: data(walk_hop=None), "`data` must be as written by AddWalks.*no walk_hop"),
    (lambda: data(walk_weight=None, walk_hop=None), "no walk_hop, walk_weight"),
    (lambda: Data(walk_index=torch.zeros(2, 1).long(), num_nodes=1), "walk_num_hops"),
    (
        lambda: Batch.from_data_list([data(1), data(2)]),
        r"`walk_num_hops` must be the same.*\[1, 2\]",
    ),
    (
        lambda: Batch.from_data_list([data(walk_normalization=number) for number in (2, 1, 2)]),
        r"`walk_normalization` must be the same for all graphs of a batch, got \[1, 2\]",
    ),
    (lambda: data(walk_normalization=4), "`walk_normalization` must be a place in .*, got 4"),
    (lambda: data(walk_normalization=-1), "`walk_normalization`"),
]


@pytest.mark.parametrize(("make", "expected"), INCOMPLETE)
def test_incomplete_attributes_are_refused(make: Callable[[], Data], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Walks.sets_from_data(make())


def test_caches_made_in_inference_mode_serve_training() -> None:
    walks = walks_of([(3, 1, 2, 1.0), (0, 1, 0, 1.0)])
    with torch.inference_mode():
        kept: list[Tensor] = [walks.pattern.row, walks.hop_pattern.mT.row]
    assert not any(part.is_inference() for part in kept)
