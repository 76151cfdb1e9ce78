"""The value object that every sampler returns, and its stored form."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from torch_geometric.data import Batch, Data

from graphmask import Topology, reference
from graphmask._walk_storage import has_walks, write_walks
from graphmask.kernels import Pattern
from graphmask.walks import Walks

ENTRIES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2), st.floats(-2, 2))
)


def walks_of(entries: list[tuple[int, int, int, float]]) -> Walks:
    columns = zip(*entries, strict=True) if entries else ((), (), (), ())
    row, col, hop, weight = (torch.tensor(column) for column in columns)
    return Walks.from_entries(row.long(), col.long(), hop.long(), weight.double(), 4, 2)


@given(ENTRIES)
def test_entries_in_any_order_are_sorted_and_add(entries: list) -> None:
    walks = walks_of(entries)
    key = (walks.row.long() * 4 + walks.col) * 3 + walks.hop
    assert (key.diff() > 0).all()
    expected = torch.zeros(3, 4, 4)
    for row, col, hop, weight in entries:
        expected[hop, row, col] += weight
    assert walks.nnz == len(walks.weight) == int((expected != 0).sum())
    parts = (walks.row.long(), walks.col.long(), walks.hop.long(), walks.weight)
    for dense in (walks.to_dense(), reference.walk_matrices(*parts, 4, 2)):
        assert_close(dense, expected)
    assert walks.nonnegative == all(weight >= 0 for *_, weight in entries)
    pairs = sorted({(row, col) for row, col, *_ in entries})
    assert list(zip(walks.pattern.row.tolist(), walks.pattern.col.tolist(), strict=True)) == pairs


@given(ENTRIES)
def test_copies_hold_the_same_walks(entries: list) -> None:
    walks = replace(walks_of(entries), normalization="rw")
    for again in (
        Walks(walks.pattern, walks.table, "rw"),
        walks.to("cpu"),
        pickle.loads(pickle.dumps(walks)),
        copy.deepcopy(walks),
    ):
        assert (again.num_nodes, again.num_hops, again.normalization) == (4, 2, "rw")
        assert_close(again.to_dense(), walks.to_dense(), rtol=0, atol=0)
        assert repr(again) == f"Walks(num_nodes=4, num_hops=2, nnz={walks.nnz})"


@given(ENTRIES)
def test_values_are_sums_over_hops(entries: list) -> None:
    walks = walks_of(entries)
    coefficients = torch.tensor([[1.0, 2.0, 0.5], [-1.0, 0.0, 3.0]])
    dense = torch.einsum("ht,tij->hij", coefficients, walks.to_dense())
    expected = dense[:, walks.pattern.row.long(), walks.pattern.col.long()]
    for values in (walks.combine(coefficients), walks.values(coefficients.float())):
        assert_close(values, expected, check_dtype=False)


@given(ENTRIES)
def test_symmetrized_walks_are_the_average_of_both_directions(entries: list) -> None:
    walks = replace(walks_of(entries), normalization="sym")
    both = walks.symmetrized
    assert_close(both.to_dense(), reference.symmetric_part(walks.to_dense()))
    assert (both.num_nodes, both.num_hops, both.normalization) == (4, 2, "sym")
    assert (both.pattern.row.long() * 4 + both.pattern.col).diff().gt(0).all()
    assert both.nonnegative == walks.nonnegative
    assert walks.symmetrized is both


def test_estimates_carry_a_gradient() -> None:
    parts = walks_of([(0, 1, 1, 2.0), (1, 0, 1, 1.0), (2, 2, 0, 1.0), (3, 1, 2, -1.0)])
    weight = parts.weight.clone().requires_grad_()
    walks = Walks.from_entries(parts.row, parts.col, parts.hop, weight, 4, 2)
    first, second = walks.symmetrized, walks.symmetrized
    assert first is not second
    assert first.pattern is second.pattern
    grad_output = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))
    dense = torch.zeros(3, 4, 4).index_put(
        (parts.hop.long(), parts.row.long(), parts.col.long()), weight
    )
    expected, *grads = (
        torch.autograd.grad(symmetric, weight, grad_output, retain_graph=True)
        for symmetric in (reference.symmetric_part(dense), first.to_dense(), second.to_dense())
    )
    assert_close(grads, [expected, expected])
    assert walks.requires_grad
    assert walks.weight.requires_grad


def test_what_is_kept_in_inference_mode_serves_training() -> None:
    walks = walks_of([(3, 1, 2, 1.0), (0, 1, 0, 1.0)])
    with torch.inference_mode():
        both, row = walks.symmetrized, walks.pattern.row
    assert not any(x.is_inference() for x in (row, both.table, both.pattern.row, walks.row))


def test_indices_are_narrow() -> None:
    walks = walks_of([(3, 1, 2, 1.0)])
    assert {walks.row.dtype, walks.col.dtype, walks.hop.dtype} == {torch.int32}


def test_former_constructors_warn() -> None:
    walks = walks_of([(3, 1, 2, 1.0)])
    parts = walks.row, walks.col, walks.hop, walks.weight
    with pytest.warns(DeprecationWarning, match="from_entries"):
        first = Walks(*parts, num_nodes=4, num_hops=2)
    with pytest.warns(DeprecationWarning, match=r"Walks\(pattern, table"):
        second = Walks.of_pairs(walks.pattern, walks.table)
    for again in (first, second):
        assert_close(again.to_dense(), walks.to_dense())


def entries(**changes: object) -> Callable[[], Walks]:
    zero = torch.zeros(2, dtype=torch.long)
    arguments = {"row": zero, "col": zero, "hop": zero, "weight": torch.ones(2)}
    return lambda: Walks.from_entries(**{**arguments, "num_nodes": 3, "num_hops": 1, **changes})


def pairs(table: object, num_cols: int = 3, **options: object) -> Callable[[], Walks]:
    pattern = Pattern(torch.tensor([0, 1, 2, 2]), torch.tensor([1, 1]), num_cols)
    return lambda: Walks(pattern, table, **options)


NAN = float("nan")
INVALID: list[tuple[Callable[[], Walks], type[Exception], str]] = [
    (
        entries(row=torch.tensor([0, 3])),
        ValueError,
        "`row` must be from 0 to 2, got 3",
    ),
    (entries(col=torch.tensor([-1, 0])), ValueError, "`col` must be from 0 to 2"),
    (entries(hop=torch.tensor([0, 2])), ValueError, "`hop` must be from 0 to 1"),
    (entries(row=torch.tensor([0])), ValueError, r"`row` must be of shape \[nnz\] = \[2\]"),
    (entries(col=torch.ones(2)), TypeError, "`col` must be an integer tensor"),
    (entries(hop=torch.ones(2, dtype=torch.bool)), TypeError, "`hop`"),
    (entries(row=[0, 0]), TypeError, "`row`"),
    (entries(weight=torch.ones(2).long()), TypeError, "`weight` must be a floating-point tensor"),
    (entries(weight=[1.0, 1.0]), TypeError, "`weight`"),
    (entries(weight=torch.ones(2, 1)), ValueError, r"`row` must be of shape"),
    (
        entries(weight=torch.tensor([1.0, NAN])),
        ValueError,
        "`weight` must be finite, got 1 NaN or infinite of 2",
    ),
    (entries(weight=torch.tensor([1.0, torch.inf])), ValueError, "`weight` must be finite"),
    (entries(num_nodes=-1), ValueError, "`num_nodes`"),
    (entries(num_nodes=3.0), TypeError, "`num_nodes`"),
    (entries(num_hops=-1), ValueError, "`num_hops`"),
    (
        entries(normalization="row"),
        ValueError,
        "`normalization` must be 'sym', 'rw', None or 'unknown', got row",
    ),
    (entries(normalization=["sym"]), ValueError, "`normalization`"),
    (pairs(torch.ones(3, 2)), ValueError, r"`table` must be of shape \[P, K \+ 1\] with P = 2"),
    (pairs(torch.ones(2)), ValueError, "P = 2"),
    (pairs(torch.ones(2, 0)), ValueError, "P = 2"),
    (pairs(torch.ones(2, 2).long()), TypeError, "`table` must be a floating-point tensor"),
    (pairs(torch.full((2, 2), NAN)), ValueError, "`table` must be finite, got 4"),
    (pairs(torch.ones(2, 2), num_cols=4), ValueError, r"`pattern` must be square"),
    (pairs(torch.ones(2, 2), normalization="row"), ValueError, "`normalization`"),
]


@pytest.mark.parametrize(("make", "error", "expected"), INVALID)
def test_invalid_walks_raise(
    make: Callable[[], Walks], error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        make()


NO_EDGES = torch.empty(2, 0, dtype=torch.long)


def read(data: Data) -> list[Walks]:
    return list(Topology.from_data(data).walk_sets)


def with_entries(hops: int = 1, **changes: object) -> Data:
    """Walks as lists of entries, as they were stored before pairs were."""
    attributes = {
        "edge_index": NO_EDGES,
        "walk_index": torch.tensor([[0, 1, 0], [0, 1, 1]]),
        "walk_hop": torch.tensor([0, 0, 1]),
        "walk_weight": torch.tensor([1.0, 1.0, 0.5]),
        "walk_num_hops": hops,
        **changes,
    }
    return Data(num_nodes=2, **{k: v for k, v in attributes.items() if v is not None})


def with_pairs(**changes: object) -> Data:
    attributes = {
        "edge_index": NO_EDGES,
        "walk_index": torch.tensor([[0, 0, 1], [0, 1, 1]], dtype=torch.int32),
        "walk_table": torch.tensor([[1.0, 0.0], [0.0, 0.5], [1.0, 0.0]]),
        "walk_normalization": 1,
        **changes,
    }
    return Data(num_nodes=2, **{k: v for k, v in attributes.items() if v is not None})


@pytest.mark.parametrize("make", [with_entries, with_pairs])
def test_both_stored_forms_are_read(make: Callable[..., Data]) -> None:
    (walks,) = read(make())
    assert (walks.num_nodes, walks.num_hops, walks.nonnegative) == (2, 1, True)
    assert walks.to_dense().tolist() == [[[1, 0], [0, 1]], [[0, 0.5], [0, 0]]]
    (batched,) = read(Batch.from_data_list([make(), make(), make()]))
    block = walks.to_dense()[1]
    assert_close(batched.to_dense()[1], torch.block_diag(block, block, block))
    assert read(Data(edge_index=NO_EDGES, num_nodes=2)) == []
    assert has_walks(make())


def test_walks_are_written_in_the_place_of_earlier_ones() -> None:
    data = with_entries(walk_set=torch.tensor([0, 1, 1]))
    first, second = read(data)
    assert (first.nnz, second.nnz) == (1, 2)
    assert second.to_dense()[0].tolist() == [[0, 0], [0, 1]]
    for sets in ([second, first], [first]):
        write_walks(data, sets)
        assert [walks.to_dense().tolist() for walks in read(data)] == [
            walks.to_dense().tolist() for walks in sets
        ]
    assert {name for name in data.keys() if name.startswith("walk")} == {
        "walk_index",
        "walk_table",
        "walk_normalization",
    }


@pytest.mark.parametrize("make", [with_entries, with_pairs])
@pytest.mark.parametrize(
    ("position", "expected"),
    [(0, None), (1, "sym"), (2, "rw"), (3, "unknown"), (None, "unknown")],
)
def test_the_normalisation_is_read(
    make: Callable[..., Data], position: int | None, expected: str | None
) -> None:
    data = make(walk_normalization=position)
    for stored in (data, Batch.from_data_list([data, data])):
        assert [walks.normalization for walks in read(stored)] == [expected]


def test_signed_tables_are_read() -> None:
    table = with_pairs().walk_table * torch.tensor([1.0, -1.0])
    assert not read(with_pairs(walk_table=table))[0].nonnegative


def test_pairs_that_come_twice_add() -> None:
    (walks,) = read(with_pairs(walk_index=torch.tensor([[1, 0, 1], [1, 1, 1]])))
    assert walks.pattern.nnz == 2
    assert walks.to_dense().tolist() == [[[0, 0], [0, 2]], [[0, 0.5], [0, 0]]]


def test_no_pairs() -> None:
    (walks,) = read(with_pairs(walk_index=NO_EDGES, walk_table=torch.empty(0, 3)))
    assert (walks.num_hops, walks.nnz, walks.pattern.shape) == (2, 0, (2, 2))
    assert walks.to_dense().shape == (3, 2, 2)


ONE_PAIR = torch.tensor([[0], [0]])
INVALID_DATA: list[tuple[Callable[[], Data], type[Exception], str]] = [
    (
        lambda: with_pairs(walk_index=torch.tensor([[0, 0, 2], [0, 1, 1]])),
        ValueError,
        "`walk_index` must be node ids from 0 to N - 1 = 1",
    ),
    (
        lambda: with_pairs(walk_index=torch.tensor([[0, 0, 1], [0, -1, 1]])),
        ValueError,
        "`walk_index`.*got -1",
    ),
    (
        lambda: with_pairs(walk_index=torch.tensor([[0, 0, 1], [0, 2**32, 1]])),
        ValueError,
        "`walk_index`.*got 4294967296",
    ),
    (
        lambda: with_pairs(walk_index=torch.ones(2, 3)),
        TypeError,
        "`walk_index` must be an integer tensor",
    ),
    (
        lambda: with_pairs(walk_index=torch.zeros(3).long()),
        ValueError,
        r"`walk_index` must be of shape \[2, P\]",
    ),
    (
        lambda: with_pairs(walk_table=torch.ones(2, 2)),
        ValueError,
        r"`walk_table` must be of shape \[P, K \+ 1\] with P = 3",
    ),
    (lambda: with_pairs(walk_table=torch.ones(3, 0)), ValueError, "`walk_table` must be of shape"),
    (lambda: with_pairs(walk_table=torch.ones(3)), ValueError, "`walk_table` must be of shape"),
    (
        lambda: with_pairs(walk_table=torch.ones(3, 2).long()),
        TypeError,
        "`walk_table` must be a floating-point tensor",
    ),
    (
        lambda: with_pairs(walk_table=torch.tensor([[1.0, NAN], [0, 0], [0, 0]])),
        ValueError,
        "`walk_table` must be finite, got 1 NaN or infinite of 6",
    ),
    (
        lambda: with_pairs(walk_table=torch.full((3, 2), -torch.inf)),
        ValueError,
        "`walk_table` must be finite, got 6",
    ),
    (
        lambda: with_pairs(walk_normalization=3.5),
        ValueError,
        "`walk_normalization` must be a place",
    ),
    (
        lambda: with_pairs(walk_normalization=torch.tensor([4, 4])),
        ValueError,
        "`walk_normalization` must be a place.*got 4",
    ),
    (
        lambda: Batch.from_data_list([with_pairs(walk_normalization=k) for k in (2, 1, 2)]),
        ValueError,
        "`walk_normalization` must be the same for all graphs of a batch, got 1 to 2",
    ),
    (lambda: with_pairs(walk_index_1=ONE_PAIR), TypeError, "`walk_table_1`.*got NoneType"),
    (
        lambda: with_pairs(walk_index_1=ONE_PAIR, walk_table_1=torch.ones(2, 2)),
        ValueError,
        "`walk_table_1`.*P = 1",
    ),
    (
        lambda: with_entries(walk_hop=None),
        ValueError,
        "`data` must be as written by AddWalks.*no walk_hop",
    ),
    (
        lambda: with_entries(walk_weight=None, walk_hop=None),
        ValueError,
        "no walk_hop, walk_weight",
    ),
    (
        lambda: Data(edge_index=NO_EDGES, walk_index=ONE_PAIR, num_nodes=1),
        ValueError,
        "walk_num_hops",
    ),
    (
        lambda: Batch.from_data_list([with_entries(1), with_entries(2)]),
        ValueError,
        r"`walk_num_hops` must be the same.*\[1, 2\]",
    ),
    (
        lambda: Batch.from_data_list([with_entries(walk_normalization=k) for k in (2, 1, 2)]),
        ValueError,
        r"`walk_normalization` must be the same for all graphs of a batch, got \[1, 2\]",
    ),
    (
        lambda: with_entries(walk_normalization=4),
        ValueError,
        "`walk_normalization` must be a place in .*, got 4",
    ),
    (lambda: with_entries(walk_normalization=-1), ValueError, "`walk_normalization`"),
]


@pytest.mark.parametrize(("make", "error", "expected"), INVALID_DATA)
def test_invalid_data_raises(
    make: Callable[[], Data], error: type[Exception], expected: str
) -> None:
    data = make()
    with pytest.raises(error, match=expected):
        read(data)
