from __future__ import annotations

import networkx as nx
import pytest
import torch
from torch.testing import assert_close
from torch_geometric.data import Batch, Data

import graphmask as gm
from graphmask.transforms import MinimumSpanningTree, minimum_spanning_tree


def random_graph(nodes: int, edges: int, seed: int, ties: int = 0) -> Data:
    """Directed edges with loops and parallel ones; with ties, of the lengths 0 to ties - 1."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(nodes, (2, edges), generator=generator)
    weight = torch.rand(edges, generator=generator, dtype=torch.float64)
    weight = torch.randint(ties, (edges,), generator=generator).double() if ties else weight
    return Data(edge_index=edge_index, edge_weight=weight, num_nodes=nodes)


@pytest.mark.parametrize("ties", [0, 2])
@pytest.mark.parametrize(("nodes", "num_edges"), [(2, 3), (12, 40), (30, 25), (50, 400)])
def test_the_forest_is_that_of_networkx(nodes: int, num_edges: int, ties: int) -> None:
    data = random_graph(nodes, num_edges, seed=nodes, ties=ties)
    graph = nx.MultiGraph()
    graph.add_nodes_from(range(nodes))
    edges = zip(*data.edge_index.tolist(), data.edge_weight.tolist(), strict=True)
    graph.add_weighted_edges_from(edges)
    expected = nx.minimum_spanning_tree(graph).size(weight="weight")
    out = MinimumSpanningTree()(data)
    assert float(out.edge_weight.sum() / 2) == pytest.approx(expected)
    forest = nx.Graph(out.edge_index.T.tolist())
    forest.add_nodes_from(range(nodes))
    assert nx.is_forest(forest)
    assert nx.number_connected_components(forest) == nx.number_connected_components(graph)
    gm.masks.TreeDistanceMask()(gm.Topology.from_data(out))


def test_equal_lengths_do_not_depend_on_the_order_of_edges() -> None:
    data = random_graph(20, 120, seed=1, ties=2)
    order = torch.randperm(120, generator=torch.Generator().manual_seed(0))
    shuffled = Data(
        edge_index=data.edge_index[:, order], edge_weight=data.edge_weight[order], num_nodes=20
    )
    first, second = MinimumSpanningTree()(data), MinimumSpanningTree()(shuffled)
    assert_close(first.edge_index, second.edge_index)
    assert_close(first.edge_weight, second.edge_weight)


def test_attributes_follow_edges_of_their_own_direction() -> None:
    data = Data(
        x=torch.eye(3),
        edge_index=torch.tensor([[0, 1, 1, 2, 0], [1, 0, 2, 0, 1]]),
        edge_weight=torch.tensor([1.0, 2.0, 3.0, 9.0, 5.0]),
        edge_attr=torch.tensor([[1.0], [-1.0], [2.0], [3.0], [4.0]]),
        walk_index=torch.zeros(2, 1),
    )
    out = MinimumSpanningTree()(data)
    assert out.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert out.edge_weight.tolist() == [1, 1, 3, 3]
    assert out.edge_attr.flatten().tolist() == [1, -1, 2, 2]
    assert "walk_index" not in out
    assert_close(out.x, torch.eye(3))


def test_a_batch_gets_a_forest_per_graph_and_lengths_keep_their_gradient() -> None:
    graphs = [random_graph(9, 30, seed) for seed in range(3)]
    together = MinimumSpanningTree()(Batch.from_data_list(graphs))
    apart = Batch.from_data_list([MinimumSpanningTree()(graph) for graph in graphs])
    assert_close(together.edge_index, apart.edge_index)
    data = random_graph(9, 30, seed=4)
    data.edge_weight.requires_grad_()
    MinimumSpanningTree()(data).edge_weight.sum().backward()
    kept = minimum_spanning_tree(data.edge_index, data.edge_weight, 9)
    assert data.edge_weight.grad.nonzero().flatten().tolist() == kept.tolist()


def test_without_edges_and_without_lengths() -> None:
    none = Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=3)
    assert MinimumSpanningTree()(none).edge_index.shape == (2, 0)
    complete = Data(edge_index=torch.combinations(torch.arange(4)).T, num_nodes=4)
    out = MinimumSpanningTree()(complete)
    assert out.edge_weight is None
    assert out.edge_index.tolist() == [[0, 0, 0, 1, 2, 3], [1, 2, 3, 0, 0, 0]]
