"""Orders of nodes, against what defines them."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from graphmask.benchmark import sphere_graph
from graphmask.testing import example_topologies
from graphmask.transforms import CuthillMcKee, Hilbert
from graphmask.transforms.orders import hilbert_key

ORDERS = [CuthillMcKee(), Hilbert()]


def shuffled(n: int, seed: int = 0) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def grid(bits: int, dim: int) -> Tensor:
    return torch.cartesian_prod(*[torch.arange(2**bits)] * dim)


def bandwidth(edge_index: Tensor, order: Tensor) -> int:
    place = order.argsort()
    return int((place[edge_index[0]] - place[edge_index[1]]).abs().max())


@pytest.mark.parametrize(("bits", "dim"), [(1, 2), (2, 2), (5, 2), (1, 3), (2, 3), (4, 3)])
def test_hilbert_curve_walks_from_cell_to_adjacent_cell(bits: int, dim: int) -> None:
    cells = grid(bits, dim)
    key = hilbert_key(cells, bits)
    assert torch.equal(key.sort().values, torch.arange(len(cells)))
    assert (cells[key.argsort()].diff(dim=0).abs().sum(1) == 1).all()


@pytest.mark.parametrize("dim", [2, 3])
def test_hilbert_curve_is_nested(dim: int) -> None:
    """A curve refined by a level visits the parts of a cell before those of the next cell."""
    for bits in (1, 2, 3):
        fine = grid(bits + 1, dim)
        coarse = hilbert_key(fine >> 1, bits)
        assert torch.equal(hilbert_key(fine, bits + 1) >> dim, coarse)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_hilbert_order_of_a_grid_in_any_scale(dtype: torch.dtype, dim: int, scale: float) -> None:
    cells = grid(3, dim)[shuffled(8**dim)]
    order = Hilbert(bits=3)(Data(pos=(cells.to(dtype) - 5) * scale))
    assert (cells[order].diff(dim=0).abs().sum(1) == 1).all()


def test_hilbert_order_survives_the_largest_and_smallest_numbers() -> None:
    for scale in (1.7e308, 1e-300):
        pos = (
            torch.tensor([[-1.0, -1.0], [1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
            * scale
        )
        order = Hilbert(bits=31)(Data(pos=pos))
        assert (pos[order].sign().diff(dim=0).abs().sum(1) == 2).all()


def test_points_of_one_cell_keep_their_order() -> None:
    assert Hilbert()(Data(pos=torch.full((5, 3), 0.1))).tolist() == list(range(5))
    assert Hilbert(bits=1)(
        Data(pos=torch.tensor([[1.0, 1.0], [0.1, 0.0], [0.0, 0.1]]))
    ).tolist() == [1, 2, 0]


def test_flat_clouds_keep_their_proportions() -> None:
    """A line in the plane is visited from one end to the other."""
    line = torch.tensor([[1.0, 0.0]]) * torch.arange(50.0).unsqueeze(1)
    keys = Hilbert()(Data(pos=line[shuffled(50)]))
    assert line[shuffled(50)][keys][:, 0].diff().abs().sum() == 49


@pytest.mark.parametrize("order", ORDERS, ids=repr)
def test_neighbours_come_close(order: CuthillMcKee | Hilbert) -> None:
    pos, edge_index = sphere_graph(2000)
    data = Data(pos=pos, edge_index=edge_index)
    place = order(data).argsort()
    distance = (place[edge_index[0]] - place[edge_index[1]]).abs().float()
    assert distance.median() < 0.1 * (edge_index[0] - edge_index[1]).abs().float().median()


def test_cuthill_mckee_finds_the_smallest_bandwidth() -> None:
    """Of a path and of a ladder, whatever their nodes are called."""
    path = torch.stack([torch.arange(29), torch.arange(1, 30)])
    ladder = torch.cat([path[:, ::2], torch.stack([torch.arange(28), torch.arange(2, 30)])], 1)
    for edges, smallest in ((path, 1), (ladder, 2)):
        for seed in range(5):
            renamed = shuffled(30, seed)[edges]
            order = CuthillMcKee()(Data(edge_index=renamed, num_nodes=30))
            assert bandwidth(renamed, order) == smallest


def test_cuthill_mckee_of_small_graphs_is_never_far_from_the_best() -> None:
    for name, graph in example_topologies().items():
        if 1 < graph.num_nodes <= 7 and graph.num_edges:
            best = min(
                bandwidth(graph.edge_index, torch.tensor(p))
                for p in itertools.permutations(range(graph.num_nodes))
            )
            found = bandwidth(
                graph.edge_index,
                CuthillMcKee()(Data(edge_index=graph.edge_index, num_nodes=graph.num_nodes)),
            )
            assert found <= best + 1, name


def test_cuthill_mckee_does_not_depend_on_how_edges_are_listed() -> None:
    _, edge_index = sphere_graph(300)
    expected = CuthillMcKee()(Data(edge_index=edge_index, num_nodes=300))
    once = edge_index[:, edge_index[0] < edge_index[1]]
    listed = edge_index[:, shuffled(edge_index.shape[1])]
    for edges in (once, once.flip(0), listed, torch.cat([listed, once], 1), edge_index.int()):
        assert torch.equal(CuthillMcKee()(Data(edge_index=edges, num_nodes=300)), expected)


@pytest.mark.parametrize("name", example_topologies())
def test_orders_name_each_node_once(name: str) -> None:
    topology = example_topologies()[name]
    n = topology.num_nodes
    data = Data(
        edge_index=topology.edge_index, pos=torch.rand(n, 3), batch=topology.batch, num_nodes=n
    )
    for order in ORDERS:
        found = order(data)
        assert torch.equal(found.sort().values, torch.arange(n))
        assert torch.equal(order(data), found)


@pytest.mark.parametrize("order", ORDERS, ids=repr)
def test_no_nodes(order: CuthillMcKee | Hilbert) -> None:
    assert (
        order(Data(edge_index=torch.empty(2, 0, dtype=torch.long), pos=torch.empty(0, 2))).tolist()
        == []
    )


@pytest.mark.parametrize("order", ORDERS, ids=repr)
def test_batched_equals_alone(order: CuthillMcKee | Hilbert) -> None:
    graphs = [
        Data(pos=pos * scale, edge_index=edges)
        for scale, (pos, edges) in enumerate(map(sphere_graph, (40, 2, 30)), 1)
    ]
    alone = [order(each) for each in graphs]
    first = torch.tensor([0, 40, 42])
    expected = torch.cat([found + start for found, start in zip(alone, first, strict=True)])
    batch = Batch.from_data_list(graphs)
    assert torch.equal(order(batch), expected)
    names = shuffled(72)
    mixed = Data(
        pos=batch.pos[names], edge_index=names.argsort()[batch.edge_index], batch=batch.batch[names]
    )
    found = order(mixed)
    assert (mixed.batch[found].diff() >= 0).all()
    if isinstance(order, Hilbert):
        assert torch.equal(names[found], expected)
