"""Walks are stored with a graph as they are drawn, and read from batches and renamed nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_geometric.transforms as T
from torch import Tensor
from torch.testing import assert_close
from torch_geometric.data import Batch, Data

from graphmask import Topology
from graphmask._random import generator_from
from graphmask.transforms import AddWalks, ReorderNodes
from graphmask.walks import IIDWalks, ResampledWalks, TruncatedWalks, WalkSampler

SAMPLER = ResampledWalks(budget=2, hops=3)
LISTED = IIDWalks(num_walks=5, p_halt=0.4, hops=3)
SAMPLERS = pytest.mark.parametrize("sampler", [SAMPLER, LISTED], ids=["resampled", "iid"])


STORED = {"walk_index", "walk_table", "walk_normalization", "walk_graph", "walk_start_index"}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def graph(num_nodes: int, seed: int = 0) -> Data:
    edges = torch.randint(num_nodes, (2, 4 * num_nodes), generator=seeded(seed))
    weight = torch.rand(4 * num_nodes, generator=seeded(seed))
    return Data(edge_index=edges, edge_weight=weight, num_nodes=num_nodes)


def graphs(transform: AddWalks) -> list[Data]:
    return [transform(graph(size, size)) for size in (5, 1, 9)]


def stored(data: Data) -> dict[str, Tensor]:
    return {name: torch.as_tensor(value) for name, value in data if name.startswith("walk_")}


@SAMPLERS
def test_sets_of_walks_are_stored_as_they_are_drawn(sampler: WalkSampler) -> None:
    """They depend on the seed, the set and the graph, not on the graphs before."""
    transform = AddWalks(sampler, seeded(), sets=2)
    transform(graph(5))
    data, other = transform(graph(9)), AddWalks(sampler, seeded(1), sets=2)(graph(9))
    drawn = [
        sampler(Topology.from_data(graph(9)), generator_from(transform.seed, index))
        for index in (0, 1)
    ]
    for walks, expected in zip(Topology.from_data(data).walk_sets, drawn, strict=True):
        assert_close(walks.to_dense(), expected.to_dense(), rtol=0, atol=0)
        assert (walks.num_hops, walks.nonnegative) == (3, expected.nonnegative)
    assert not torch.equal(drawn[0].to_dense(), drawn[1].to_dense())
    assert not torch.equal(data.walk_table, other.walk_table)


@SAMPLERS
def test_pairs_are_stored_with_their_table(sampler: WalkSampler) -> None:
    transform = AddWalks(sampler, seeded())
    data = transform(graph(9))
    walks = sampler(Topology.from_data(graph(9)), generator_from(transform.seed, 0))
    assert set(stored(data)) == STORED
    assert torch.equal(data.walk_index, torch.stack([walks.pattern.row, walks.pattern.col]))
    assert torch.equal(data.walk_table, walks.table)
    assert data.walk_index.dtype == torch.int32


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
def test_the_normalisation_is_stored_and_batched(normalization: str | None) -> None:
    batch = Batch.from_data_list(
        graphs(AddWalks(ResampledWalks(2, 1, normalization), seeded(), sets=2))
    )
    for data in (batch, *batch.to_data_list()):
        walk_sets = Topology.from_data(data).walk_sets
        assert [walks.normalization for walks in walk_sets] == [normalization] * 2


def test_batches_of_different_normalisations_are_an_error() -> None:
    transforms = [AddWalks(ResampledWalks(hops=1, normalization=name)) for name in ("sym", "rw")]
    batch = Batch.from_data_list([transform(graph(5)) for transform in transforms])
    message = "`walk_normalization` must be the same for all graphs of a batch, got 1 to 2"
    with pytest.raises(ValueError, match=message):
        Topology.from_data(batch)
    batch = Batch.from_data_list([AddWalks(sampler)(graph(5)) for sampler in (SAMPLER, LISTED)])
    assert Topology.from_data(batch).walks.num_nodes == 10


@SAMPLERS
@pytest.mark.parametrize("before", [SAMPLER, LISTED], ids=["resampled", "iid"])
def test_drawing_again_replaces(before: WalkSampler, sampler: WalkSampler) -> None:
    twice = AddWalks(sampler, seeded())(AddWalks(before, sets=3)(graph(9)))
    assert_close(stored(twice), stored(AddWalks(sampler, seeded())(graph(9))))


@pytest.mark.parametrize("sets", [1, 2])
@SAMPLERS
def test_batches_join_walks_block_by_block_in_any_order(sampler: WalkSampler, sets: int) -> None:
    examples = graphs(AddWalks(sampler, seeded(), sets))
    batch = Batch.from_data_list(examples)
    before = Topology.from_data(batch).walk_sets
    assert len(before) == sets
    alone = zip(*(Topology.from_data(data).walk_sets for data in examples), strict=True)
    for walks, blocks in zip(before, alone, strict=True):
        for hop in range(4):
            expected = torch.block_diag(*(block.to_dense()[hop] for block in blocks))
            assert_close(walks.to_dense()[hop], expected, rtol=0, atol=0)
    # Nothing is sorted where nodes are in order.
    assert before[0].table is batch.walk_table
    assert_close(before[0].pattern.row, batch.walk_index[0], rtol=0, atol=0)
    order = torch.randperm(15, generator=seeded())
    for name in ("batch", "walk_graph", "walk_start_index"):
        batch[name] = batch[name][order]
    for name in ("edge_index", *(name for name in stored(batch) if "index" in name)):
        batch[name] = order.argsort()[batch[name].long()]
    after = Topology.from_data(batch).walk_sets
    for old, new in zip(before, after, strict=True):
        assert_close(new.to_dense(), old.to_dense()[:, order][:, :, order], rtol=0, atol=0)
        assert new.nonnegative == old.nonnegative
        assert ((new.pattern.row.long() * 15 + new.pattern.col).diff() > 0).all()


@SAMPLERS
def test_stored_walks_carry_no_gradient(sampler: WalkSampler) -> None:
    """What is stored outlives the graph that a gradient flows through."""
    data = graph(9)
    data.edge_weight.requires_grad_()
    message = r"`edge_weight` must be without gradient, since stored walks carry none"
    with pytest.raises(ValueError, match=message):
        AddWalks(ResampledWalks(2, 3))(data)
    with torch.no_grad():
        assert not any(value.requires_grad for value in stored(AddWalks(sampler)(data)).values())


def drop_edges(data: Data, mask: Tensor) -> Data:
    return data.edge_subgraph(mask.nonzero().squeeze(1))


def permute_features_and_edges(data: Data) -> Data:
    order = torch.randperm(data.num_nodes, generator=seeded())
    data.x, data.edge_index = data.x[order], order.argsort()[data.edge_index]
    return data


CHANGES: dict[str, Callable[[Data], Data]] = {
    "link split": lambda data: T.RandomLinkSplit(num_val=0.0, num_test=0.3)(data)[0],
    "weights": lambda data: data.update({"edge_weight": data.edge_weight + 1e-3}),
    "no weights": lambda data: data.update({"edge_weight": None}),
    "one weight in place": lambda data: (data.edge_weight[3].neg_(), data)[1],
    "permuted": permute_features_and_edges,
    "reversed": lambda data: data.update({"edge_index": data.edge_index.flip(0)}),
    "added": lambda data: data.update(
        {
            "edge_index": torch.cat([data.edge_index, torch.tensor([[0], [7]])], 1),
            "edge_weight": torch.cat([data.edge_weight, torch.ones(1)]),
        }
    ),
    "dropped": lambda data: drop_edges(data, torch.arange(data.num_edges) > 0),
    "undirected": T.ToUndirected(),
    "loops": T.AddSelfLoops("edge_weight"),
    "virtual node": T.VirtualNode(),
    "diffused": T.GDC(),
    "two hops": T.TwoHop(),
    "line graph": T.LineGraph(),
    "half": lambda data: data.subgraph(torch.arange(6)),
    "one part of a component": lambda data: data.subgraph(torch.arange(data.num_nodes) != 2),
    "weights of another node": lambda data: data.update({"edge_weight": data.edge_weight.flip(0)}),
    "graph of an earlier release": lambda data: data.update({"walk_graph": None}),
}


def two_components() -> Data:
    """A graph of 9 nodes and, between its nodes, one of 4."""
    first, second = graph(9), graph(4, 3)
    ids = torch.randperm(13, generator=seeded(5))
    edges = torch.cat([ids[:9][first.edge_index], ids[9:][second.edge_index]], 1)
    weight = torch.cat([first.edge_weight, second.edge_weight])
    return Data(x=torch.arange(13.0)[:, None], edge_index=edges, edge_weight=weight)


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("sets", [1, 2])
def test_walks_of_another_graph_are_an_error(change: Callable[[Data], Data], sets: int) -> None:
    data = two_components()
    if isinstance(change, (T.GDC, T.TwoHop, T.LineGraph)):
        # They leave weights as they are, and PyG multiplies matrices as if columns were sorted.
        del data.edge_weight
        data = data.coalesce()
    data = change(AddWalks(SAMPLER, seeded(), sets)(data))
    with pytest.raises(ValueError, match=r"walk_index.* must be|`walk_index` must be stored"):
        Topology.from_data(data)
    if data.get("edge_index") is not None:
        Topology.from_data(AddWalks(SAMPLER)(data))


def select_component(data: Data) -> Data:
    # By chance as many pairs as edges, which PyG then takes for attributes of edges.
    return data.subgraph(torch.randperm(13, generator=seeded(5))[9:].sort().values)


def shuffle_edges(data: Data) -> Data:
    order = torch.randperm(data.num_edges, generator=seeded())
    return data.update(
        {"edge_index": data.edge_index[:, order], "edge_weight": data.edge_weight[order]}
    )


def permute_nodes(data: Data) -> Data:
    """All attributes of nodes, by PyG's rule, but only the ids in ``edge_index``."""
    order = torch.randperm(data.num_nodes, generator=seeded())
    for name in [name for name in data.to_dict() if data.is_node_attr(name)]:
        data[name] = data[name][order]
    data.edge_index = order.argsort()[data.edge_index]
    return data


SAME: dict[str, Callable[[Data], Data]] = {
    "nothing": lambda data: data,
    "component": select_component,
    "shuffled edges": shuffle_edges,
    "permuted nodes": permute_nodes,
    "reordered": ReorderNodes(),
    "reordered component": lambda data: ReorderNodes()(select_component(data)),
    "double": lambda data: data.update({"edge_weight": data.edge_weight.double()}),
    "features": T.NormalizeFeatures(),
    "batch": lambda data: Batch.from_data_list([data, data])[1],
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
@pytest.mark.parametrize("sampler", [SAMPLER, TruncatedWalks(0.0, 3)], ids=["drawn", "exact"])
def test_walks_follow_the_nodes_of_their_graph(
    change: Callable[[Data], Data], sampler: WalkSampler
) -> None:
    data = AddWalks(sampler, seeded())(two_components())
    data.name = torch.arange(13)
    before = Topology.from_data(data).walks.to_dense()
    changed = change(data.clone())
    (walks,) = Topology.from_data(changed).walk_sets
    kept = changed.name
    assert_close(walks.to_dense(), before[:, kept][:, :, kept], rtol=0, atol=0)


def test_nodes_that_lose_a_target_are_told_apart() -> None:
    """Their column sums, by which weights are normalised, are others."""
    edges = torch.tensor([[0, 0, 3], [1, 2, 0]])
    data = AddWalks(SAMPLER)(Data(edge_index=edges, num_nodes=4))
    with pytest.raises(ValueError, match="other ones at 1 of 3 nodes"):
        Topology.from_data(data.subgraph(torch.tensor([0, 1, 3])))


def test_a_graph_that_loses_all_nodes_has_no_walks() -> None:
    edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    data = AddWalks(SAMPLER, seeded())(Data(edge_index=edges, num_nodes=3))
    none = data.subgraph(torch.zeros(3, dtype=torch.bool))
    assert none.walk_index.shape[1] > 0
    assert Topology.from_data(none).walks.nnz == 0


def test_components_selected_before_batching_are_an_error() -> None:
    data = select_component(AddWalks(SAMPLER, seeded())(two_components()))
    with pytest.raises(ValueError, match="walks of another selection of nodes"):
        Topology.from_data(Batch.from_data_list([data, data]))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_identities_that_were_cut_to_fewer_bits_are_an_error(dtype: torch.dtype) -> None:
    data = AddWalks(SAMPLER)(graph(5))
    data = data.apply(lambda value: value if value.is_floating_point() else value.to(dtype))
    with pytest.raises(ValueError, match=rf"`walk_index` .* in int64, .*got {dtype}: apply AddW"):
        Topology.from_data(data)


def test_lost_pairs_are_an_error() -> None:
    """PyG selects with the edges whatever has as many rows."""
    data = AddWalks(SAMPLER, seeded())(graph(9))
    data.walk_index, data.walk_table = data.walk_index[:, 1:], data.walk_table[1:]
    with pytest.raises(ValueError, match="walks of another selection of nodes"):
        Topology.from_data(data)


def test_walks_of_a_batch_are_those_of_its_graphs() -> None:
    before = Batch.from_data_list(graphs(AddWalks(SAMPLER)))
    batch = AddWalks(LISTED, sets=2)(before)
    assert len(Topology.from_data(batch).walk_sets) == 2
    for data, whole in zip(batch.to_data_list(), graphs(AddWalks(LISTED)), strict=True):
        assert [walks.num_hops for walks in Topology.from_data(data).walk_sets] == [
            Topology.from_data(whole).walks.num_hops
        ] * 2
    # The batch that was given keeps its own.
    assert [len(Topology.from_data(each).walk_sets) for each in before.to_data_list()] == [1] * 3


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_batches_with_a_sparse_matrix_are_drawn_on() -> None:
    edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    batch = Batch.from_data_list([Data(edge_index=edges, num_nodes=3) for _ in range(2)])
    drawn = AddWalks(SAMPLER, seeded())(T.ToSparseTensor(remove_edge_index=False)(batch))
    assert Topology.from_data(drawn).walks.nnz == 2 * Topology.from_data(drawn[0]).walks.nnz


def test_ones_are_the_same_weights_as_none() -> None:
    data = AddWalks(SAMPLER)(Data(edge_index=graph(9).edge_index, num_nodes=9))
    data.edge_weight = torch.ones(data.num_edges)
    assert Topology.from_data(data).walks is not None


def test_weights_beyond_single_precision_are_told_apart() -> None:
    data = graph(5)
    for weight in (1e300, 1e-300):
        data.edge_weight = torch.full((data.num_edges,), weight, dtype=torch.float64)
        drawn = AddWalks(TruncatedWalks(0.0, 1))(data)
        drawn.edge_weight = drawn.edge_weight * 2
        with pytest.raises(ValueError, match=r"at . of 5 nodes"):
            Topology.from_data(drawn)


def other_target(data: Data) -> None:
    """Still sorted, within the graph and without repetition."""
    row, col = data.walk_index.long()
    free = next(i for i in range(data.num_nodes) if i not in col[row == row[-1]])
    where = (row == row[-1]).nonzero().squeeze(1)
    col = col[where]
    col[-1] = free
    data.walk_index[1, where] = col.sort().values.int()


IN_PLACE: dict[str, Callable[[Data], Any]] = {
    "other order": lambda data: data.walk_index[1, :2].copy_(data.walk_index[1, :2].flip(0)),
    "other target": other_target,
    "other start": lambda data: data.walk_index[0].copy_(data.walk_index[0].flip(0)),
    "out of range": lambda data: data.walk_index[1].add_(data.num_nodes),
    "negative": lambda data: data.walk_index[1, 3].neg_().sub_(1),
    "shifted": lambda data: data.walk_index[1].add_(1).remainder_(data.num_nodes),
    "reversed": lambda data: data.walk_index.copy_(data.walk_index.flip(0)),
    "numbers of starts": lambda data: data.walk_start_index.copy_(data.walk_start_index.flip(0)),
    "numbers of the graph": lambda data: data.walk_graph[:, 0].add_(1),
    "hashes": lambda data: data.walk_graph[:, 2].add_(1),
    "normalisation": lambda data: data.update(
        {"walk_normalization": 3 - torch.as_tensor(data.walk_normalization)}
    ),
}


@pytest.mark.parametrize("change", IN_PLACE.values(), ids=IN_PLACE)
@pytest.mark.parametrize("is_batch", [False, True])
def test_walks_that_are_changed_by_hand_are_an_error(
    change: Callable[[Data], Any], is_batch: bool
) -> None:
    data = AddWalks(SAMPLER, seeded())(graph(9))
    if is_batch:
        data = Batch.from_data_list([data.clone(), data])
    before = Topology.from_data(data)
    expected = before.walks.to_dense()
    change(data)
    with pytest.raises(ValueError, match=r"`walk_index` must be"):
        Topology.from_data(data)
    assert_close(before.walks.to_dense(), expected, rtol=0, atol=0)
