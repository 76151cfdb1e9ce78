"""Renaming nodes changes no result but the order of its rows, and that is undone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv

from graphmask import Topology
from graphmask.masks import GlobalMask, GRFMask, PowerSeriesMask, TopologicalMask, WalkMask
from graphmask.nn import TopologicalTransformer
from graphmask.testing import example_topologies
from graphmask.transforms import AddWalks, CuthillMcKee, Hilbert, ReorderNodes
from graphmask.walks import IIDWalks, ResampledWalks


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def by_chance(data: Data) -> Tensor:
    """No order that a graph could tell."""
    return torch.randperm(data.num_nodes, generator=seeded(3))


ORDERS = [CuthillMcKee(), Hilbert(), by_chance]


def graph(n: int, seed: int = 0, undirected: bool = True) -> Data:
    # The last node stays isolated.
    edges = torch.randint(max(n - 1, 1), (2, 3 * n), generator=seeded(seed))
    edges = torch.cat([edges, edges.flip(0)], 1) if undirected else edges
    weight = torch.rand(3 * n, generator=seeded(seed), dtype=torch.float64).repeat(1 + undirected)
    x, pos = (torch.rand(n, 3, generator=seeded(seed + 1), dtype=torch.float64) for _ in range(2))
    return Data(x=x, pos=pos, edge_index=edges, edge_weight=weight)


def with_walks(n: int, **options: bool) -> Data:
    return AddWalks(IIDWalks(num_walks=3, hops=3), seeded(), sets=2)(graph(n, n, **options))


def model_of(mask: TopologicalMask, **options: object) -> TopologicalTransformer:
    torch.manual_seed(0)
    return TopologicalTransformer(3, 8, 2, num_layers=2, heads=2, mask=mask, **options).double()


MODELS: dict[str, Callable[[], TopologicalTransformer]] = {
    "global": lambda: model_of(GlobalMask()),
    "series": lambda: model_of(PowerSeriesMask(hops=3, heads=2)),
    "walks": lambda: model_of(WalkMask(hops=3, heads=2)),
    "grf": lambda: model_of(GRFMask(hops=2, heads=2)),
    "conv": lambda: model_of(WalkMask(hops=2, heads=2) + 0.5 * GlobalMask(), conv=GCNConv(8, 8)),
}


@pytest.mark.global_rng
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("n", [1, 2, 13])
def test_models_of_reordered_nodes_are_restored(name: str, n: int) -> None:
    data, model = with_walks(n, undirected=n == 2), MODELS[name]()
    expected = model(data.x, Topology.from_data(data))
    for order in ORDERS:
        near = ReorderNodes(order)(data)
        out = ReorderNodes.restore(model(near.x, Topology.from_data(near)), near)
        assert_close(out, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.global_rng
@pytest.mark.parametrize("order", ORDERS, ids=["cuthill-mckee", "hilbert", "random"])
def test_batches_are_restored(order: Callable[[Data], Tensor]) -> None:
    graphs, model = [with_walks(n) for n in (7, 1, 13)], MODELS["grf"]().eval()
    expected = torch.cat([model(data.x, Topology.from_data(data)) for data in graphs])
    loaded = Batch.from_data_list([ReorderNodes(order)(data) for data in graphs])
    batched = ReorderNodes(order)(Batch.from_data_list(graphs))
    for batch in (loaded, batched):
        out = ReorderNodes.restore(model(batch.x, Topology.from_data(batch)), batch)
        assert_close(out, expected, rtol=1e-10, atol=1e-10)
    for near, data in zip(loaded.to_data_list(), graphs, strict=True):
        assert torch.equal(ReorderNodes.restore(near.x, near), data.x)


@pytest.mark.parametrize("order", [CuthillMcKee(), Hilbert()], ids=repr)
def test_reordered_and_batched_is_batched_and_reordered(order: Callable[[Data], Tensor]) -> None:
    graphs = [with_walks(n) for n in (7, 1, 13)]
    for data in graphs:
        data.y, data.names = torch.tensor([1.0]), ["a"] * data.num_nodes
        data.root_index = torch.tensor([0])
    first = Batch.from_data_list([ReorderNodes(order)(data) for data in graphs])
    follow = ["x", "edge_index"]
    then = ReorderNodes(order)(Batch.from_data_list(graphs, follow_batch=follow))
    assert torch.equal(then.edge_index_batch, then.batch[then.edge_index[0]])
    assert then.edge_index_ptr.diff().tolist() == [data.num_edges for data in graphs]
    for key, value in first:
        same = torch.equal(value, then[key]) if isinstance(value, Tensor) else value == then[key]
        assert same or key == "names", key
    assert torch.equal(then.x_batch, first.batch)
    for near, data in zip(then.to_data_list(), graphs, strict=True):
        assert torch.equal(near.x.sort(0).values, data.x.sort(0).values)
        assert near.y == 1


def test_attributes_of_nodes_move_along() -> None:
    by_node = {
        "x": torch.arange(5),
        "train_mask": torch.tensor([True, False, False, False, True]),
        "refractive_index": torch.rand(5),
        "names": list("abcde"),
        "colours": ("r", "g", "b", "y", "k"),
        "table": np.arange(10).reshape(5, 2),
    }
    of_nodes = {
        "edge_index": torch.tensor([[0, 1, 2], [1, 2, 3]]),
        "edge_label_index": torch.tensor([[4, 0], [0, 3]]),
        "face": torch.tensor([[0], [2], [4]]),
    }
    others = {"edge_attr": torch.rand(3, 2), "temperature": 3.5, "note": "index of nothing"}
    parents = torch.tensor([0, 0, 1, 1, 2])
    data = Data(**by_node, **of_nodes, **others, parent_index=parents, root_index=4)
    order = torch.tensor([3, 1, 4, 0, 2])
    near = ReorderNodes(lambda _: order)(data)
    for key, value in by_node.items():
        assert type(near[key]) is type(value), key
        assert repr(list(near[key])) == repr([value[index] for index in order.tolist()]), key
    for key, value in of_nodes.items():
        assert torch.equal(order[near[key]], value), key
    for key, value in others.items():
        assert near[key] is value, key
    assert torch.equal(order[near.parent_index], parents[order])
    assert order[near.root_index] == 4
    assert torch.equal(near.original_index, order)


@pytest.mark.parametrize("faces", [4, 5])
def test_as_many_faces_or_walks_as_nodes_are_not_mistaken_for_nodes(faces: int) -> None:
    """PyG may take lists of ids for attributes of nodes: what belongs to them moves along."""
    index = torch.arange(faces)
    face, area = torch.stack([index % 4, (index + 1) % 4, (index + 3) % 4]), index.float()
    data = Data(pos=torch.rand(4, 3), face=face, face_area=area, edge_index=face[:2])
    near = ReorderNodes(by_chance)(AddWalks(ResampledWalks(hops=0))(data))
    renamed = near.original_index[near.face].T.tolist()
    rows = sorted([*ids, area] for ids, area in zip(renamed, near.face_area.tolist(), strict=True))
    assert rows == sorted(torch.cat([face, area.unsqueeze(0)]).T.tolist())
    assert_close(Topology.from_data(near).walks.to_dense(), torch.eye(4).unsqueeze(0))


def test_reordering_again_keeps_the_first_names() -> None:
    data = graph(13)
    twice = ReorderNodes(by_chance)(ReorderNodes()(data))
    assert torch.equal(data.x[twice.original_index], twice.x)
    assert torch.equal(ReorderNodes.restore(twice.x, twice), data.x)


def test_the_number_of_nodes_stays_known() -> None:
    """Even where it was read from the edges alone."""
    data = Data(edge_index=torch.tensor([[0, 4], [4, 0]]))
    with pytest.warns(UserWarning, match="num_nodes"):
        near = ReorderNodes(lambda _: torch.tensor([4, 0, 1, 2, 3]))(data)
    assert near.num_nodes == 5
    assert near.edge_index.tolist() == [[1, 0], [0, 1]]


def assert_walks_are_permuted(data: Data, near: Data) -> None:
    order, walk_sets = near.original_index, Topology.from_data(near).walk_sets
    for old, new in zip(Topology.from_data(data).walk_sets, walk_sets, strict=True):
        assert_close(new.to_dense(), old.to_dense()[:, order][:, :, order], rtol=0, atol=0)


def test_stored_pairs_are_sorted_with_their_table() -> None:
    data = AddWalks(ResampledWalks(budget=3, hops=3), seeded(), sets=2)(graph(13))
    near = ReorderNodes()(data)
    assert_walks_are_permuted(data, near)
    for name in ("walk_index", "walk_index_1"):
        row, col = near[name]
        assert ((row * 13 + col).diff() > 0).all()


def test_edge_index_objects_stay_what_they_are() -> None:
    edges = EdgeIndex(
        torch.tensor([[0, 2], [2, 0]]), sparse_size=(3, 3), is_undirected=True, sort_order="row"
    )
    near = ReorderNodes(lambda _: torch.tensor([2, 0, 1]))(Data(edge_index=edges, num_nodes=3))
    assert isinstance(near.edge_index, EdgeIndex)
    assert near.edge_index.tolist() == [[1, 0], [0, 1]]
    assert near.edge_index.sparse_size() == (3, 3)
    assert near.edge_index.is_undirected
    assert near.edge_index.sort_order is None


def test_gradients_reach_what_was_restored() -> None:
    near = ReorderNodes(by_chance)(graph(5))
    out = torch.rand(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda out: ReorderNodes.restore(out, near), out)


@pytest.mark.parametrize("name", example_topologies())
def test_adjacency_matrices_are_permuted(name: str) -> None:
    topology = example_topologies()[name]
    n = topology.num_nodes
    data = Data(edge_index=topology.edge_index, num_nodes=n, x=torch.arange(float(n)))
    if topology.edge_weight is not None:
        data.edge_weight = topology.edge_weight
    if topology.batch is not None:
        data.batch = topology.batch
    near = ReorderNodes()(data)
    assert torch.equal(ReorderNodes.restore(near.x, near), data.x)
    assert topology.batch is None or torch.equal(near.batch, topology.batch)
    order = near.original_index
    for normalization in ("sym", "rw", None):
        pattern, weight = topology.adjacency(normalization)
        moved, moved_weight = Topology.from_data(near).adjacency(normalization)
        assert_close(moved.to_dense(moved_weight), pattern.to_dense(weight)[order][:, order])


def test_points_without_edges_have_no_attributes_of_edges():
    rows = torch.arange(9)
    data = Data(pos=torch.rand(9, 3), edge_of_flight_line=rows, edge_count=torch.tensor([5]))
    near = ReorderNodes(Hilbert())(data)
    assert torch.equal(near.edge_of_flight_line, near.original_index)
    assert near.edge_count.tolist() == [5]
