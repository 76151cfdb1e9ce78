"""Virtual edges beside those of a graph."""

from __future__ import annotations

import math

import networkx as nx
import pytest
import torch
from torch.testing import assert_close
from torch_geometric.data import Batch, Data
from torch_geometric.utils import to_networkx

import graphmask as gm
from graphmask.transforms import ExpanderGraph, HypercubeGraph


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ring(n: int, **attributes: torch.Tensor) -> Data:
    step = torch.arange(n)
    edges = torch.stack([step, (step + 1) % n])
    return Data(edge_index=torch.cat([edges, edges.flip(0)], 1), num_nodes=n, **attributes)


def virtual(data: Data) -> nx.Graph:
    added = data.edge_attr[:, -1] == 1
    graph = Data(edge_index=data.edge_index[:, added], num_nodes=data.num_nodes)
    return to_networkx(graph, to_undirected=True)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 11, 64])
def test_hypercubes_join_gray_codes_that_differ_in_a_bit(n: int) -> None:
    graph = virtual(HypercubeGraph()(ring(n)))
    code = [i ^ i >> 1 for i in range(n)]
    expected = {(i, j) for i in range(n) for j in range(i) if (code[i] ^ code[j]).bit_count() == 1}
    assert expected >= {(i + 1, i) for i in range(n - 1)}
    assert {tuple(sorted(edge, reverse=True)) for edge in graph.edges} == expected
    assert nx.diameter(graph) <= math.ceil(math.log2(max(n, 2)))


@pytest.mark.parametrize("n", [1, 2, 3, 200])
def test_expanders_are_regular_connected_and_of_small_diameter(n: int) -> None:
    data = ExpanderGraph(6, seeded())(ring(n))
    added = data.edge_index[:, data.edge_attr[:, -1] == 1]
    assert added[1].bincount(minlength=n).tolist() == [6 if n > 1 else 0] * n
    graph = virtual(data)
    assert nx.is_connected(graph)
    assert nx.diameter(graph) <= 6
    if n == 200:
        adjacency = torch.zeros(n, n).index_put((added[0], added[1]), torch.ones(()), True)
        second = torch.linalg.eigvalsh(adjacency.double())[-2]
        assert second < 1.15 * 2 * math.sqrt(6 - 1)  # the least possible of large regular graphs


@pytest.mark.parametrize("transform", [HypercubeGraph(), ExpanderGraph(2, seeded())], ids=repr)
def test_edges_of_the_graph_stay_first_and_are_told_apart(transform: HypercubeGraph) -> None:
    plain = ring(5, edge_weight=torch.full((10,), 3.0), edge_attr=torch.arange(10.0))
    data = transform(plain.clone())
    assert torch.equal(data.edge_index[:, :10], plain.edge_index)
    assert_close(data.edge_attr[:10], torch.stack([plain.edge_attr, torch.zeros(10)], 1))
    assert data.edge_attr[10:].unique(dim=0).tolist() == [[0.0, 1.0]]
    assert data.edge_weight.tolist() == [3.0] * 10 + [1.0] * (data.num_edges - 10)
    mask = gm.masks.PowerSeriesMask(2, 2, edge_dim=2)
    assert mask(gm.Topology.from_data(data)).to_dense().shape == (2, 5, 5)


def test_batches_stay_apart() -> None:
    batch = Batch.from_data_list([ring(4), ring(1), ring(6)])
    for transform in (HypercubeGraph(), ExpanderGraph(4, seeded())):
        edges = transform(batch.clone()).edge_index
        assert torch.equal(batch.batch[edges[0]], batch.batch[edges[1]])


def test_draws_follow_the_generator() -> None:
    first, second, other = (
        ExpanderGraph(4, seeded(seed))(ring(9)).edge_index for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="`degree` must be an even number"):
        ExpanderGraph(3)
    with pytest.raises(ValueError, match="`data` must be a graph with `edge_index`"):
        HypercubeGraph()(Data(num_nodes=3))
