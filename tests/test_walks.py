"""The value object that every sampler returns, and its stored form."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from builders import NO_EDGES
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.data import Batch, Data

from graphmask import Topology, reference
from graphmask._identity import identify
from graphmask._walk_storage import has_walks, hash_set, remove_walks, write_walks
from graphmask.kernels import Pattern
from graphmask.transforms import AddWalks
from graphmask.walks import IIDWalks, ResampledWalks, Shells, Walks, WalkSampler

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


@given(ENTRIES)
def test_copies_hold_the_same_walks(entries: list) -> None:
    walks = replace(walks_of(entries), normalization="rw")
    copies = walks.to("cpu"), pickle.loads(pickle.dumps(walks)), copy.deepcopy(walks)
    for again in (Walks(walks.pattern, walks.table, "rw"), *copies):
        assert (again.num_nodes, again.num_hops, again.normalization) == (4, 2, "rw")
        assert_close(again.to_dense(), walks.to_dense(), rtol=0, atol=0)
        assert repr(again) == f"Walks(num_nodes=4, num_hops=2, nnz={walks.nnz})"
        assert {again.row.dtype, again.col.dtype, again.hop.dtype} == {torch.int32}


def test_structure_derived_in_inference_mode_serves_training() -> None:
    walks = walks_of([(3, 1, 2, 1.0), (0, 1, 0, 1.0)])
    with torch.inference_mode():
        both, row = walks.symmetrized, walks.pattern.row
    assert not any(x.is_inference() for x in (row, both.table, both.pattern.row, walks.row))


def test_former_constructors_warn() -> None:
    walks = walks_of([(3, 1, 2, 1.0)])
    with pytest.warns(DeprecationWarning, match="from_entries"):
        first = Walks(walks.row, walks.col, walks.hop, walks.weight, num_nodes=4, num_hops=2)
    with pytest.warns(DeprecationWarning, match=r"Walks\(pattern, table"):
        second = Walks.of_pairs(walks.pattern, walks.table)
    for again in (first, second):
        assert_close(again.to_dense(), walks.to_dense())


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


NAN = float("nan")
ZERO, ONES = torch.zeros(2, dtype=torch.long), torch.ones(2)


def read(data: Data) -> list[Walks]:
    return list(Topology.from_data(data).walk_sets)


def graph_of(*sets: Tensor, normalization: int = 1) -> Tensor:
    """``walk_graph`` of sets of pairs on two nodes without edges."""
    nodes = torch.arange(2)
    ordered = [pairs[:, pairs[0].argsort(stable=True)] for pairs in sets]
    hashes = [
        hash_set(Pattern.from_unchecked(*pairs, 2), nodes, normalization) for pairs in ordered
    ]
    return torch.stack([nodes, ZERO, *hashes], 1)


THREE_PAIRS = torch.tensor([[0, 0, 1], [0, 1, 1]], dtype=torch.int32)


def with_pairs(**changes: object) -> Data:
    attributes = {
        "edge_index": NO_EDGES,
        "walk_index": THREE_PAIRS,
        "walk_table": torch.tensor([[1.0, 0.0], [0.0, 0.5], [1.0, 0.0]]),
        "walk_normalization": 1,
        "walk_start_index": torch.arange(2),
        "walk_graph": graph_of(THREE_PAIRS),
        **changes,
    }
    return Data(num_nodes=2, **{k: v for k, v in attributes.items() if v is not None})


def test_stored_walks_are_read() -> None:
    (walks,) = read(with_pairs())
    assert (walks.num_nodes, walks.num_hops, walks.nonnegative) == (2, 1, True)
    assert walks.to_dense().tolist() == [[[1, 0], [0, 1]], [[0, 0.5], [0, 0]]]
    (batched,) = read(Batch.from_data_list([with_pairs() for _ in range(3)]))
    block = walks.to_dense()[1]
    assert_close(batched.to_dense()[1], torch.block_diag(block, block, block))
    assert read(Data(edge_index=NO_EDGES, num_nodes=2)) == []
    assert has_walks(with_pairs())


def test_walks_are_written_in_the_place_of_earlier_ones() -> None:
    (walks,), data = read(with_pairs()), with_pairs(walk_hop=torch.zeros(3))
    for sets in ([walks, walks.symmetrized], [walks.symmetrized]):
        write_walks(data, sets, identify(NO_EDGES, None, torch.arange(2)))
        assert [walks.to_dense().tolist() for walks in read(data)] == [
            walks.to_dense().tolist() for walks in sets
        ]
    assert {name for name in data.to_dict() if name.startswith("walk")} == {
        "walk_index",
        "walk_table",
        "walk_normalization",
        "walk_graph",
        "walk_start_index",
    }
    remove_walks(data)
    assert set(data.keys()) == {"edge_index", "num_nodes"}


def test_rows_in_any_order_of_any_sign_or_none_are_read() -> None:
    pairs = torch.tensor([[1, 0, 0], [1, 0, 1]])
    (walks,) = read(with_pairs(walk_index=pairs, walk_graph=graph_of(pairs)))
    assert walks.to_dense().tolist() == [[[0, 1], [0, 1]], [[0.5, 0], [0, 0]]]
    (walks,) = read(with_pairs(walk_table=with_pairs().walk_table * torch.tensor([1.0, -1.0])))
    assert not walks.nonnegative
    none = graph_of(NO_EDGES)
    (walks,) = read(with_pairs(walk_index=NO_EDGES, walk_table=torch.empty(0, 3), walk_graph=none))
    assert (walks.num_hops, walks.nnz, walks.pattern.shape) == (2, 0, (2, 2))
    assert walks.to_dense().shape == (3, 2, 2)


@pytest.mark.parametrize(
    ("position", "expected"),
    [(0, None), (1, "sym"), (2, "rw"), (3, "unknown")],
)
def test_the_normalisation_is_read(position: int, expected: str | None) -> None:
    graph = graph_of(THREE_PAIRS, normalization=position)
    data = with_pairs(walk_normalization=position, walk_graph=graph)
    for stored in (data, Batch.from_data_list([data, data])):
        assert [walks.normalization for walks in read(stored)] == [expected]


OTHER_NODES = "walks of another selection of nodes, or .* changed: apply AddWalks once more"
ONE_PAIR = torch.tensor([[0], [0]])
TWO_SETS = graph_of(THREE_PAIRS, ONE_PAIR)
PAIRS: list[tuple[dict[str, object], type[Exception], str]] = [
    ({"walk_index": torch.tensor([[0, 0, 2], [0, 1, 1]])}, ValueError, OTHER_NODES),
    ({"walk_index": torch.tensor([[0, 0, 1], [0, -1, 1]])}, ValueError, OTHER_NODES),
    ({"walk_index": torch.tensor([[0, 0, 1], [0, 2**32, 1]])}, ValueError, OTHER_NODES),
    ({"walk_index": torch.tensor([[0, 0, 1], [0, 1, 0]])}, ValueError, OTHER_NODES),
    ({"walk_index": torch.tensor([[0, 1, 1], [0, 1, 1]])}, ValueError, OTHER_NODES),
    ({"walk_index": torch.tensor([[0, 0, 1], [1, 0, 1]])}, ValueError, OTHER_NODES),
    ({"walk_graph": torch.tensor([[0, 0, 2], [1, 0, 1]])}, ValueError, OTHER_NODES),
    ({"walk_start_index": torch.tensor([0, 0])}, ValueError, OTHER_NODES),
    ({"walk_graph": torch.zeros(3, 3).long()}, ValueError, "that of a graph of 3 nodes, for 2"),
    ({"walk_graph": torch.zeros(2, 4).long()}, ValueError, r"of shape \[N, 3\] for 1 sets"),
    ({"walk_graph": None}, ValueError, "got those of an earlier release"),
    ({"walk_hop": torch.zeros(3)}, ValueError, "got those of an earlier release"),
    ({"walk_graph": torch.zeros(2, 3)}, ValueError, "stored with the identity of its graph"),
    ({"walk_start_index": None}, ValueError, "`walk_start_index` must be integers"),
    ({"walk_index": torch.ones(2, 3)}, TypeError, "`walk_index` must be an integer tensor"),
    ({"walk_index": torch.zeros(3).long()}, ValueError, r"`walk_index` must be of shape \[2, P\]"),
    ({"walk_table": torch.ones(2, 2)}, ValueError, r"of shape \[P, K \+ 1\] with P = 3"),
    ({"walk_table": torch.ones(3, 0)}, ValueError, "`walk_table` must be of shape"),
    ({"walk_table": torch.ones(3)}, ValueError, "`walk_table` must be of shape"),
    ({"walk_table": torch.ones(3, 2).long()}, TypeError, "`walk_table` must be a floating-point"),
    ({"walk_table": torch.full((3, 2), -torch.inf)}, ValueError, "must be finite, got 6"),
    ({"walk_table": torch.full((3, 2), NAN)}, ValueError, "`walk_table` must be finite, got 6"),
    ({"walk_normalization": 3.5}, ValueError, "`walk_normalization` must be a place"),
    ({"walk_normalization": None}, ValueError, "`walk_normalization` must be a place"),
    ({"walk_normalization": 2}, ValueError, OTHER_NODES),
    ({"walk_normalization": torch.tensor([5, 5])}, ValueError, "must be a place.*got 5"),
    (
        {"walk_index_1": ONE_PAIR, "walk_graph": TWO_SETS},
        TypeError,
        "`walk_table_1`.*got NoneType",
    ),
    (
        {"walk_index_1": ONE_PAIR, "walk_table_1": torch.ones(2, 2), "walk_graph": TWO_SETS},
        ValueError,
        "_1`.*P = 1",
    ),
]


def test_invalid_data_raises() -> None:
    for changes, error, expected in PAIRS:
        with pytest.raises(error, match=expected):
            read(with_pairs(**changes))
    batch = Batch.from_data_list([with_pairs(walk_normalization=position) for position in (2, 1)])
    shared = "`walk_normalization` must be the same for all graphs of a batch, got 1 to 2"
    with pytest.raises(ValueError, match=shared):
        read(batch)


def test_changes_of_the_table_in_place_are_seen() -> None:
    walks = walks_of([(0, 1, 1, 2.0), (1, 0, 1, 1.0)])
    assert walks.nonnegative
    assert walks.weight.tolist() == [2.0, 1.0]
    walks.symmetrized  # noqa: B018
    walks.table.neg_()
    assert not walks.nonnegative
    assert not walks.symmetrized.nonnegative
    assert_close(walks.symmetrized.to_dense()[1, 0, 1], torch.tensor(-1.5))
    walks.table.fill_(NAN)
    with pytest.raises(ValueError, match="`table` must be finite"):
        walks.symmetrized  # noqa: B018


ORIGIN = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


def graph_to_walk_on(**changes: Tensor | None) -> Topology:
    tensors = {"edge_index": ORIGIN.clone(), "edge_weight": torch.ones(4), **changes}
    return Topology(num_nodes=3, **tensors)


@pytest.mark.parametrize("sampler", [ResampledWalks(hops=2), Shells(hops=2), IIDWalks(hops=2)])
def test_walks_of_another_graph_are_an_error(sampler: WalkSampler) -> None:
    """Also where it has as many nodes, however they came to it, and the same graph takes them."""
    graph = graph_to_walk_on()
    data = AddWalks(sampler)(Data(edge_index=ORIGIN, edge_weight=torch.ones(4), num_nodes=3))
    shuffled = graph_to_walk_on(edge_index=ORIGIN.flip(1))
    same = (graph, graph.with_walks(), shuffled, graph_to_walk_on(edge_weight=None))
    other_edges = graph_to_walk_on(edge_index=torch.tensor([[0, 2, 1, 2], [2, 0, 2, 1]]))
    other_weights = graph_to_walk_on(edge_weight=torch.tensor([1.0, 1.0, 2.0, 2.0]))
    for walks in (sampler(graph), Topology.from_data(data).walks, sampler(graph).symmetrized):
        for one in (*same, *map(pickle.loads, map(pickle.dumps, same))):
            assert one.with_walks(walks.to("cpu")).walks.nnz == walks.nnz
        with pytest.raises(ValueError, match="`walks` must be of this graph"):
            other_edges.with_walks(walks)
        with pytest.raises(ValueError, match="`walks` must be of this graph"):
            Topology(other_edges.edge_index, 3, walks=walks)
        if sampler.reads_weights:
            with pytest.raises(ValueError, match="`walks` must be of this graph"):
                other_weights.with_walks(walks)
        else:
            assert other_weights.with_walks(walks).walks.nnz == walks.nnz
        by_hand = Walks(walks.pattern, walks.table, walks.normalization)
        assert other_edges.with_walks(by_hand).walks is by_hand


@pytest.mark.parametrize("name", ["edge_index", "edge_weight"])
def test_walks_of_a_graph_before_it_was_changed_in_place_are_an_error(name: str) -> None:
    graph = graph_to_walk_on()
    walks, shells = ResampledWalks(hops=2)(graph), Shells(hops=2)(graph)
    getattr(graph, name)[..., 0] = 2
    for walk_set in (walks, shells) if name == "edge_index" else (walks,):
        with pytest.raises(ValueError, match="changed in place since"):
            Topology(graph.edge_index, 3, graph.edge_weight, walks=walk_set)
        with pytest.raises(ValueError, match="changed in place since"):
            graph.with_walks(walk_set)


def test_walks_stay_those_of_a_graph_whose_positions_change() -> None:
    graph = graph_to_walk_on(pos=torch.rand(3, 2))
    walks = ResampledWalks(hops=2)(graph)
    graph.pos.add_(1)
    for one in (graph_to_walk_on(), graph):
        assert one.with_walks(walks).walks is walks
