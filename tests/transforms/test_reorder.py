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
from torch_geometric.loader import DataLoader
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
    edges = torch.randint(
        max(n - 1, 1), (2, 3 * n), generator=seeded(seed)
    )  # the last node stays isolated
    edges = torch.cat([edges, edges.flip(0)], 1) if undirected else edges
    weight = torch.rand(3 * n, generator=seeded(seed), dtype=torch.float64).repeat(1 + undirected)
    x, pos = (torch.rand(n, 3, generator=seeded(seed + 1), dtype=torch.float64) for _ in range(2))
    return Data(x=x, pos=pos, edge_index=edges, edge_weight=weight)


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
@pytest.mark.parametrize("order", ORDERS, ids=["cuthill-mckee", "hilbert", "random"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("n", [1, 2, 13])
def test_a_model_restored_is_the_model(name: str, order: Callable[[Data], Tensor], n: int) -> None:
    data = AddWalks(IIDWalks(num_walks=3, hops=3), seeded(), sets=2)(graph(n, undirected=n == 2))
    near = ReorderNodes(order)(data)
    model = MODELS[name]()
    expected = model(data.x, Topology.from_data(data))
    found = ReorderNodes.restore(model(near.x, Topology.from_data(near)), near)
    assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.global_rng
def test_exact_walks_may_be_drawn_afterwards() -> None:
    data, draw = graph(13), AddWalks(ResampledWalks(budget=13, hops=3), seeded())
    near = ReorderNodes(Hilbert())(data)
    model = MODELS["walks"]()
    expected = model(data.x, Topology.from_data(draw(data)))
    found = ReorderNodes.restore(model(near.x, Topology.from_data(draw(near))), near)
    assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.global_rng
@pytest.mark.parametrize("order", ORDERS, ids=["cuthill-mckee", "hilbert", "random"])
def test_batches_are_restored(order: Callable[[Data], Tensor]) -> None:
    graphs = [
        AddWalks(IIDWalks(num_walks=3, hops=3), seeded(), sets=2)(graph(n, n)) for n in (7, 1, 13)
    ]
    model = MODELS["grf"]()
    expected = torch.cat([model(each.x, Topology.from_data(each)) for each in graphs])
    (loaded,) = DataLoader(
        [ReorderNodes(order)(each) for each in graphs], batch_size=3, generator=seeded()
    )
    batched = ReorderNodes(order)(Batch.from_data_list(graphs))
    for batch in (loaded, batched):
        found = ReorderNodes.restore(model(batch.x, Topology.from_data(batch)), batch)
        assert_close(found, expected, rtol=1e-10, atol=1e-10)
    for part, each in zip(loaded.to_data_list(), graphs, strict=True):
        assert torch.equal(ReorderNodes.restore(part.x, part), each.x)


@pytest.mark.parametrize("order", [CuthillMcKee(), Hilbert()], ids=repr)
def test_reordered_and_batched_is_batched_and_reordered(order: Callable[[Data], Tensor]) -> None:
    graphs = [
        AddWalks(IIDWalks(num_walks=3, hops=3), seeded(), sets=2)(graph(n, n)) for n in (7, 1, 13)
    ]
    for each in graphs:
        each.y, each.names, each.root_index = (
            torch.tensor([1.0]),
            ["a"] * each.num_nodes,
            torch.tensor([0]),
        )
    first = Batch.from_data_list([ReorderNodes(order)(each) for each in graphs])
    then = ReorderNodes(order)(Batch.from_data_list(graphs, follow_batch=["x"]))
    for key, value in first:
        same = torch.equal(value, then[key]) if isinstance(value, Tensor) else value == then[key]
        assert same or key == "names", key
    assert torch.equal(then.x_batch, first.batch)
    for part, each in zip(then.to_data_list(), graphs, strict=True):
        assert torch.equal(part.x.sort(0).values, each.x.sort(0).values)
        assert part.y == 1


def test_everything_of_the_nodes_moves_along() -> None:
    n = 5
    data = Data(
        x=torch.arange(n),
        train_mask=torch.tensor([True, False, False, False, True]),
        y=torch.arange(n) * 10.0,
        names=list("abcde"),
        colours=("r", "g", "b", "y", "k"),
        table=np.arange(2 * n).reshape(n, 2),
        edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]),
        edge_attr=torch.rand(3, 2),
        edge_label_index=torch.tensor([[4, 0], [0, 3]]),
        face=torch.tensor([[0], [2], [4]]),
        parent_index=torch.tensor([0, 0, 1, 1, 2]),
        root_index=4,
        refractive_index=torch.rand(n),
        temperature=3.5,
        total=torch.tensor(7.0),
        note="index of nothing",
    )
    order = torch.tensor([3, 1, 4, 0, 2])
    near = ReorderNodes(lambda _: order)(data)
    for key in ("x", "train_mask", "y", "refractive_index"):
        assert torch.equal(near[key], data[key][order]), key
    assert (near.names, near.colours) == (list("dbeac"), ("y", "g", "k", "r", "b"))
    assert near.table.tolist() == data.table[order.numpy()].tolist()
    for key in ("edge_index", "edge_label_index", "face"):
        assert torch.equal(order[near[key]], data[key]), key
    assert torch.equal(order[near.parent_index], data.parent_index[order])
    assert order[near.root_index] == 4
    for key in ("edge_attr", "temperature", "total", "note"):
        assert near[key] is data[key], key
    assert torch.equal(near.original_index, order)
    assert data.x.tolist() == list(range(n)), "what was given stays as it is"
    assert "original_index" not in data


@pytest.mark.parametrize("faces", [4, 5])
def test_as_many_faces_or_walks_as_nodes(faces: int) -> None:
    """PyG may take lists of ids for attributes of nodes: what belongs to them moves along."""
    face = torch.stack(
        [torch.arange(faces) % 4, (torch.arange(faces) + 1) % 4, (torch.arange(faces) + 3) % 4]
    )
    data = Data(
        pos=torch.rand(4, 3), face=face, face_area=torch.arange(float(faces)), edge_index=face[:2]
    )
    data = AddWalks(ResampledWalks(hops=0))(data)
    near = ReorderNodes(by_chance)(data)
    area = {
        tuple(column): size
        for column, size in zip(face.T.tolist(), data.face_area.tolist(), strict=True)
    }
    renamed = near.original_index[near.face].T.tolist()
    assert {
        tuple(column): size for column, size in zip(renamed, near.face_area.tolist(), strict=True)
    } == area
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


def test_stored_pairs_are_sorted_with_their_table() -> None:
    data = AddWalks(ResampledWalks(budget=3, hops=3), seeded(), sets=2)(graph(13))
    near = ReorderNodes()(data)
    before, after = (Topology.from_data(each).walk_sets for each in (data, near))
    for number, name in enumerate(("walk_index", "walk_index_1")):
        row, col = near[name]
        assert ((row * 13 + col).diff() > 0).all()
        first = near.original_index
        assert_close(
            after[number].to_dense(),
            before[number].to_dense()[:, first][:, :, first],
            rtol=0,
            atol=0,
        )


def test_stored_lists_of_entries_are_sorted() -> None:
    """As earlier versions stored walks."""
    data = graph(13)
    topology = Topology.from_data(data)
    sets = [IIDWalks(num_walks=4, hops=3)(topology, seeded(seed)) for seed in (0, 1)]
    data.walk_index = torch.cat([torch.stack([walks.row, walks.col]) for walks in sets], 1)
    data.walk_hop = torch.cat([walks.hop for walks in sets])
    data.walk_weight = torch.cat([walks.weight for walks in sets])
    counts = torch.tensor([walks.nnz for walks in sets])
    data.walk_num_hops, data.walk_set = 3, torch.arange(2).repeat_interleave(counts)
    near = ReorderNodes(by_chance)(data)
    for number in (0, 1):
        row, col = near.walk_index[:, near.walk_set == number]
        place = (row * 13 + col) * 4 + near.walk_hop[near.walk_set == number]
        assert (place.diff() >= 0).all()
    order = near.original_index
    for old, new in zip(
        Topology.from_data(data).walk_sets, Topology.from_data(near).walk_sets, strict=True
    ):
        assert_close(new.to_dense(), old.to_dense()[:, order][:, :, order])


@pytest.mark.parametrize("name", example_topologies())
def test_awkward_graphs(name: str) -> None:
    topology = example_topologies()[name]
    n = topology.num_nodes
    data = Data(
        edge_index=topology.edge_index, batch=topology.batch, num_nodes=n, x=torch.arange(float(n))
    )
    if topology.edge_weight is not None:
        data.edge_weight = topology.edge_weight
    near = ReorderNodes()(data)
    assert torch.equal(ReorderNodes.restore(near.x, near), data.x)
    if topology.batch is not None:
        assert torch.equal(near.batch, topology.batch)
    order = near.original_index
    for normalization in ("sym", "rw", None):
        pattern, weight = topology.adjacency(normalization)
        moved, moved_weight = Topology.from_data(near).adjacency(normalization)
        assert_close(moved.to_dense(moved_weight), pattern.to_dense(weight)[order][:, order])


def test_no_nodes() -> None:
    data = Data(edge_index=torch.empty(2, 0, dtype=torch.long), x=torch.empty(0, 3))
    for order in (CuthillMcKee(), by_chance):
        near = ReorderNodes(order)(data)
        assert near.original_index.shape == (0,)
        assert ReorderNodes.restore(near.x, near).shape == (0, 3)


def test_edge_index_objects_stay_what_they_are() -> None:
    edges = EdgeIndex(
        torch.tensor([[0, 2], [2, 0]]), sparse_size=(3, 3), is_undirected=True, sort_order="row"
    )
    near = ReorderNodes(lambda _: torch.tensor([2, 0, 1]))(Data(edge_index=edges, num_nodes=3))
    assert isinstance(near.edge_index, EdgeIndex)
    assert near.edge_index.tolist() == [[1, 0], [0, 1]]
    assert (
        near.edge_index.sparse_size(),
        near.edge_index.is_undirected,
        near.edge_index.sort_order,
    ) == ((3, 3), True, None)


def test_gradients_reach_what_was_restored() -> None:
    near = ReorderNodes(by_chance)(graph(5))
    out = torch.rand(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda out: ReorderNodes.restore(out, near), out)
