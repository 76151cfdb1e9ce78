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


@pytest.mark.parametrize("order", ORDERS, ids=repr)
def test_neighbours_come_close(order: CuthillMcKee | Hilbert) -> None:
    pos, edge_index = sphere_graph(2000)
    data = Data(pos=pos, edge_index=edge_index)
    place = order(data).argsort()
    distance = (place[edge_index[0]] - place[edge_index[1]]).abs().float()
    assert distance.median() < 0.1 * (edge_index[0] - edge_index[1]).abs().float().median()


def test_cuthill_mckee_does_not_depend_on_how_edges_are_listed() -> None:
    _, edge_index = sphere_graph(300)
    expected = CuthillMcKee()(Data(edge_index=edge_index, num_nodes=300))
    once = edge_index[:, edge_index[0] < edge_index[1]]
    listed = edge_index[:, shuffled(edge_index.shape[1])]
    for edges in (once, once.flip(0), listed, torch.cat([listed, once], 1), edge_index.int()):
        assert torch.equal(CuthillMcKee()(Data(edge_index=edges, num_nodes=300)), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_hilbert_orders_a_grid_of_any_scale(dtype: torch.dtype, dim: int, scale: float) -> None:
    cells = grid(3, dim)[shuffled(8**dim)]
    order = Hilbert(bits=3)(Data(pos=(cells.to(dtype) - 5) * scale))
    assert (cells[order].diff(dim=0).abs().sum(1) == 1).all()


def test_hilbert_orders_the_largest_and_smallest_numbers() -> None:
    corners = torch.tensor([[-1, -1], [1, 1], [1, -1], [-1, 1]], dtype=torch.float64)
    for scale in (1.7e308, 1e-300):
        order = Hilbert(bits=31)(Data(pos=corners * scale))
        assert (corners[order].diff(dim=0).abs().sum(1) == 2).all()


def test_points_of_one_cell_keep_their_order_and_flat_clouds_their_proportions() -> None:
    assert Hilbert()(Data(pos=torch.full((5, 3), 0.1))).tolist() == list(range(5))
    pos = torch.tensor([[1.0, 1.0], [0.1, 0.0], [0.0, 0.1]])
    assert Hilbert(bits=1)(Data(pos=pos)).tolist() == [1, 2, 0]
    line = shuffled(50).unsqueeze(1) * torch.tensor([[1.0, 0.0]])
    assert line[Hilbert()(Data(pos=line))][:, 0].diff().abs().sum() == 49


def test_cuthill_mckee_finds_the_smallest_bandwidth() -> None:
    """Of a path and of a ladder whatever their nodes are called; nearly, of small graphs."""
    path = torch.stack([torch.arange(29), torch.arange(1, 30)])
    ladder = torch.cat([path[:, ::2], torch.stack([torch.arange(28), torch.arange(2, 30)])], 1)
    for edges, smallest in ((path, 1), (ladder, 2)):
        for seed in range(5):
            renamed = shuffled(30, seed)[edges]
            order = CuthillMcKee()(Data(edge_index=renamed, num_nodes=30))
            assert bandwidth(renamed, order) == smallest
    for name, graph in example_topologies().items():
        if 1 < graph.num_nodes <= 7 and graph.num_edges:
            orders = torch.tensor(list(itertools.permutations(range(graph.num_nodes))))
            source, target = graph.edge_index
            smallest = int((orders[:, source] - orders[:, target]).abs().amax(1).min())
            data = Data(edge_index=graph.edge_index, num_nodes=graph.num_nodes)
            assert bandwidth(graph.edge_index, CuthillMcKee()(data)) <= smallest + 1, name


@pytest.mark.parametrize("order", ORDERS, ids=repr)
def test_orders_hold_every_node_once(order: CuthillMcKee | Hilbert) -> None:
    for topology in example_topologies().values():
        n = topology.num_nodes
        data = Data(pos=torch.rand(n, 3), batch=topology.batch, num_nodes=n)
        data.edge_index = topology.edge_index
        assert torch.equal(order(data).sort().values, torch.arange(n))
        assert torch.equal(order(data), order(data))
    empty = Data(edge_index=torch.empty(2, 0, dtype=torch.long), pos=torch.empty(0, 2))
    assert order(empty).tolist() == []


@pytest.mark.parametrize("order", ORDERS, ids=repr)
def test_graphs_of_a_batch_are_ordered_as_alone(order: CuthillMcKee | Hilbert) -> None:
    examples = enumerate(map(sphere_graph, (40, 2, 30)), 1)
    graphs = [Data(pos=pos * scale, edge_index=edges) for scale, (pos, edges) in examples]
    batch = Batch.from_data_list(graphs)
    starts = zip(graphs, (0, 40, 42), strict=True)
    expected = torch.cat([order(graph) + start for graph, start in starts])
    assert torch.equal(order(batch), expected)
    names = shuffled(72)
    mixed = Data(pos=batch.pos[names], batch=batch.batch[names])
    mixed.edge_index = names.argsort()[batch.edge_index]
    assert (mixed.batch[order(mixed)].diff() >= 0).all()
    if isinstance(order, Hilbert):
        assert torch.equal(names[order(mixed)], expected)
