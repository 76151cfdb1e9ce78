from __future__ import annotations

from functools import partial
from typing import Any

import cases
import networkx as nx
import numpy as np
import pytest
import torch
from cases import trees
from torch import Tensor
from torch.testing import assert_close

import graphmask as gm
from graphmask.kernels import forest
from graphmask.masks import (
    ExponentialDistance,
    Free,
    PolynomialExponentialDistance,
    TableDistance,
    TreeDistanceMask,
)
from graphmask.operators import _centroids, _tree_products
from graphmask.testing import assert_gradients
from graphmask.testing.graphs import replace

PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
FUNCTIONS = [
    ExponentialDistance,
    partial(PolynomialExponentialDistance, 2),
    partial(TableDistance, 4000),
]


@pytest.fixture(params=["compiled", "by steps"])
def _passes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forest, "HAS_NUMBA", request.param == "compiled")


def edges_of(graph: nx.Graph) -> Tensor:
    edges = torch.tensor(list(graph.edges)).mT
    return torch.cat([edges, edges.flip(0)], 1)


def distances(graph: nx.Graph) -> Tensor:
    """As networkx finds them, infinite between trees."""
    found = torch.full((len(graph), len(graph)), torch.inf, dtype=torch.float64)
    for i, row in nx.all_pairs_dijkstra_path_length(graph):
        for j, length in row.items():
            found[i, j] = length
    return found


GRAPHS = {
    "star": nx.star_graph(300),
    "path": nx.path_graph(300),
    "caterpillar": trees.caterpillar(40, 6),
    "random": nx.random_labeled_tree(300, seed=1),
    "binary": nx.balanced_tree(2, 7),
    "forest": nx.disjoint_union(
        nx.random_labeled_tree(200, seed=2), nx.disjoint_union(nx.path_graph(90), nx.empty_graph(3))
    ),
}


@pytest.mark.usefixtures("_passes")
@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_products_are_those_of_distances_by_networkx(name: str, function: Any) -> None:
    """Trees of many levels, where centroids and Fourier transforms are used."""
    graph = GRAPHS[name]
    mask = cases.scrambled(TreeDistanceMask(function, heads=2))
    dense = trees.distance_function_reference(mask.function, distances(graph))
    x = torch.randn(len(graph), 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    operator = mask.double()(gm.Topology(edges_of(graph), len(graph)))
    assert_close(operator @ x, dense @ x)
    single = mask.float()(gm.Topology(edges_of(graph), len(graph)))
    assert_close(
        (single @ x.float()).double(), dense @ x, rtol=1e-4, atol=1e-4 * dense.max().item()
    )


@pytest.mark.parametrize(("block", "width"), [(1, 1), (1, 4), (3, 64), (64, 1), (2, 512)])
@pytest.mark.parametrize("name", ["random", "caterpillar", "forest", "ragged", "star"])
def test_tables_are_the_same_by_any_decomposition(
    name: str, block: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_centroids, "_BLOCK", block)
    monkeypatch.setattr(_tree_products, "_WIDEST", width)
    monkeypatch.setattr(_tree_products, "_MEMORY", 1)
    monkeypatch.setattr(_tree_products, "_COLUMNS", 1)
    topology = replace(trees.trees()[name])
    mask = trees.tree_mask(partial(TableDistance, 11, unit=0.5, values=Free)).double()
    x = torch.randn(
        2, topology.num_nodes, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    assert_close(mask(topology) @ x, cases.mask_reference(mask, topology) @ x)
    assert_gradients(lambda x: mask(topology) @ x, x, module=mask)


@pytest.mark.usefixtures("_passes")
@pytest.mark.parametrize("function", FUNCTIONS[:2])
@pytest.mark.parametrize("name", ["random", "star", "forest"])
def test_derivatives_by_the_lengths(function: Any, name: str) -> None:
    topology, mask = trees.trees()[name], trees.tree_mask(function).double()
    i, j = topology.edge_index
    x = torch.randn(
        topology.num_nodes, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    edge = torch.unique(torch.minimum(i, j) * 100 + torch.maximum(i, j), return_inverse=True)[1]

    def product(length: Tensor) -> Tensor:
        return mask(replace(topology, edge_weight=length.square()[edge])) @ x

    assert_gradients(
        product, torch.linspace(0.5, 1.5, int(edge.max()) + 1, dtype=torch.float64), module=mask
    )


def test_values_known_by_hand() -> None:
    topology = gm.Topology(PATH, edge_weight=torch.tensor([2.0, 2.0, 3.0, 3.0]), num_nodes=4)
    g = TableDistance(size=6, values=Free)
    g.values.value.data.copy_(torch.tensor([[1.0, 10.0, 100.0, 1000.0, 7.0, -5.0]]))
    x = torch.tensor([1.0, 2.0, 3.0, 4.0])
    expected = torch.tensor([[1 + 200 - 15, 100 + 2 + 3000, -5 + 2000 + 3, 4.0]])
    assert_close(TreeDistanceMask(g)(topology) @ x, expected)
    h = PolynomialExponentialDistance(degree=1, slope=np.log(2.0), coefficients=Free)
    h.coefficients.value.data.copy_(torch.tensor([[8.0, 32.0]]))
    # (8 + 32 d) / 2^d is 8, 18, 13 and 5.25 at 0, 2, 3 and 5
    assert_close(
        TreeDistanceMask(h)(topology) @ x,
        torch.tensor([[8 + 36 + 15.75, 18 + 16 + 39, 5.25 + 26 + 24, 32.0]]),
    )


@pytest.mark.usefixtures("_passes")
def test_long_paths_in_single_precision() -> None:
    """As deep as large: rows are those of the closed form, and gradients are finite."""
    n = 20_000
    edges = edges_of(nx.path_graph(n))
    topology = gm.Topology(edges, n, torch.ones(edges.shape[1], dtype=torch.float32))
    mask = TreeDistanceMask().float()
    one = torch.zeros(n, 1, dtype=torch.float32).index_fill(0, torch.tensor([7]), 1)
    expected = torch.exp(-(torch.arange(n, dtype=torch.float32) - 7).abs())
    assert_close((mask(topology) @ one).flatten(), expected, rtol=1e-5, atol=1e-38)
    q = torch.rand(
        n, 1, 4, dtype=torch.float32, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    gm.attention(q, q, q, mask(topology)).square().sum().backward()
    assert q.grad.isfinite().all()
    assert mask.function.raw_slope.grad.isfinite().all()


def test_small_entries_are_as_exact_as_large_ones() -> None:
    """A node whose neighbour is heavy and near, and which holds nothing.

    What is left must not be rounding.
    """
    topology = gm.Topology(PATH, edge_weight=torch.tensor([1e-4, 1e-4, 40.0, 40.0]), num_nodes=3)
    x = torch.tensor([1e6, 1e6, 0.0])
    for function in (ExponentialDistance, partial(PolynomialExponentialDistance, 2)):
        mask = TreeDistanceMask(function)
        expected = (
            trees.distance_function_reference(mask.function, trees.distances(topology)) @ x.double()
        )
        assert_close((mask(topology) @ x).double(), expected, rtol=1e-5, atol=0)


def test_work_grows_as_stated() -> None:
    """Nodes visited: linear in two passes of steps, N log N in groups of the decomposition."""
    sizes = [1024, 4096, 16384]
    for make in (nx.path_graph, partial(nx.random_labeled_tree, seed=0)):
        graphs = [gm.Topology(edges_of(make(n)), n) for n in sizes]
        steps = [
            gm.operators._trees.trees_of(each).forest.plan.shape[1] / each.num_nodes
            for each in graphs
        ]
        assert max(steps) <= 2
        places = [_centroids.decompose(each, 1.0, each.num_nodes).members.nnz for each in graphs]
        assert all(place <= 2 * n * np.log2(n) for place, n in zip(places, sizes, strict=True))
