from __future__ import annotations

from functools import partial
from typing import Any

import cases
import networkx as nx
import numpy as np
import pytest
import torch
from cases import trees
from cases.graphs import generator, normal, path, undirected
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
from graphmask.testing.graphs import astype, replace

FUNCTIONS = [
    ExponentialDistance,
    partial(PolynomialExponentialDistance, 2),
    partial(TableDistance, 4000),
]


@pytest.fixture(params=["compiled", "by steps"])
def _passes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forest, "HAS_NUMBA", request.param == "compiled")


def topology_of(graph: nx.Graph) -> gm.Topology:
    return undirected(torch.tensor(list(graph.edges)).mT, len(graph))


def distances(graph: nx.Graph) -> Tensor:
    """By networkx, infinite between trees."""
    lengths = nx.floyd_warshall_numpy(graph, range(len(graph)))
    return torch.from_numpy(lengths)


GRAPHS = {
    "star": nx.star_graph(300),
    "path": nx.path_graph(300),
    "caterpillar": trees.caterpillar(20, 5),
    "random": nx.random_labeled_tree(120, seed=1),
    "binary": nx.balanced_tree(2, 6),
    "forest": nx.disjoint_union_all(
        [nx.random_labeled_tree(90, seed=2), nx.path_graph(40), nx.empty_graph(3)]
    ),
}


@pytest.mark.usefixtures("_passes")
@pytest.mark.parametrize("name", GRAPHS)
def test_products_are_those_of_distances_by_networkx(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trees of many levels, where centroids and Fourier transforms are used."""
    monkeypatch.setattr(_centroids, "_BLOCK", 16)
    graph, topology = GRAPHS[name], topology_of(GRAPHS[name])
    exact, x = distances(graph), normal(len(graph), 3)
    for function in FUNCTIONS:
        mask = cases.scrambled(TreeDistanceMask(function, heads=2))
        dense = trees.distance_function_reference(mask.function, exact)
        assert_close(mask.double()(topology) @ x, dense @ x)
        single = (mask.float()(topology) @ x.float()).double()
        assert_close(single, dense @ x, rtol=1e-4, atol=1e-4 * dense.max().item())


@pytest.mark.parametrize(("block", "width"), [(1, 1), (1, 4), (3, 64), (64, 1), (2, 512)])
@pytest.mark.parametrize("name", ["random", "caterpillar", "forest", "ragged", "star"])
def test_tables_are_the_same_by_any_decomposition(
    name: str, block: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_centroids, "_BLOCK", block)
    for limit, value in (("WIDEST", width), ("_MEMORY", 1), ("_COLUMNS", 1)):
        monkeypatch.setattr(_tree_products, limit, value)
    topology = replace(trees.trees()[name])  # without cached structure
    mask = trees.tree_mask(partial(TableDistance, 11, unit=0.5, values=Free)).double()
    x = normal(2, topology.num_nodes, 3)
    assert_close(mask(topology) @ x, cases.mask_reference(mask, topology) @ x)
    assert_gradients(lambda x: mask(topology) @ x, x, module=mask)


@pytest.mark.usefixtures("_passes")
@pytest.mark.parametrize("function", FUNCTIONS[:2])
@pytest.mark.parametrize("name", ["random", "star", "forest"])
def test_lengths_have_derivatives(function: Any, name: str) -> None:
    topology, mask = trees.trees()[name], trees.tree_mask(function).double()
    x = normal(topology.num_nodes, 2)
    ends = topology.edge_index.sort(0).values
    edge = torch.unique(ends, dim=1, return_inverse=True)[1]

    def product(length: Tensor) -> Tensor:
        return mask(replace(topology, edge_weight=length.square()[edge])) @ x

    assert_gradients(product, torch.linspace(0.5, 1.5, int(edge.max()) + 1), module=mask)


def test_values_on_a_path() -> None:
    topology = gm.Topology(path(3).edge_index, 4, torch.tensor([2.0, 3.0, 2.0, 3.0]))
    x = torch.tensor([1.0, 2.0, 3.0, 4.0])
    g = TableDistance(size=6, values=Free)
    g.values.value.data.copy_(torch.tensor([[1.0, 10.0, 100.0, 1000.0, 7.0, -5.0]]))
    expected = torch.tensor([[1 + 200 - 15, 100 + 2 + 3000, -5 + 2000 + 3, 4.0]])
    assert_close(TreeDistanceMask(g)(topology) @ x, expected)
    h = PolynomialExponentialDistance(degree=1, slope=np.log(2.0), coefficients=Free)
    h.coefficients.value.data.copy_(torch.tensor([[8.0, 32.0]]))
    # (8 + 32 d) / 2^d is 8, 18, 13 and 5.25 at 0, 2, 3 and 5
    expected = torch.tensor([[8 + 36 + 15.75, 18 + 16 + 39, 5.25 + 26 + 24, 32.0]])
    assert_close(TreeDistanceMask(h)(topology) @ x, expected)


@pytest.mark.usefixtures("_passes")
def test_long_paths_in_single_precision() -> None:
    """As deep as large: rows are those of the closed form, and gradients are finite."""
    n = 20_000
    topology, mask = astype(path(n, *[1.0] * (n - 1)), torch.float32), TreeDistanceMask().float()
    one = torch.zeros(n, 1, dtype=torch.float32).index_fill(0, torch.tensor([7]), 1)
    expected = torch.exp(-(torch.arange(n, dtype=torch.float32) - 7).abs())
    assert_close((mask(topology) @ one).flatten(), expected, rtol=1e-5, atol=1e-38)
    q = torch.rand(n, 1, 4, dtype=torch.float32, generator=generator()).requires_grad_()
    gm.attention(q, q, q, mask(topology)).square().sum().backward()
    assert q.grad.isfinite().all()
    assert mask.function.raw_slope.grad.isfinite().all()


def test_small_entries_are_as_exact_as_large_ones() -> None:
    """A zero behind a long edge, next to large numbers: its value must not be rounding."""
    topology, x = path(3, 1e-4, 40.0), torch.tensor([1e6, 1e6, 0.0])
    for function in FUNCTIONS[:2]:
        mask, D = TreeDistanceMask(function), trees.distances(topology)
        expected = trees.distance_function_reference(mask.function, D) @ x.double()
        assert_close((mask(topology) @ x).double(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("function", [*FUNCTIONS[:2], partial(TableDistance, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_lengths_whose_sums_are_beyond_the_type(function: Any, dtype: torch.dtype) -> None:
    """Nodes 0 and 1 are 0 apart, and all others as far as can be."""
    far = float(int(0.9 * torch.finfo(dtype).max))
    topology = astype(path(4, 0.0, far, far), dtype)
    mask = TreeDistanceMask(function).to(dtype)
    g = mask.function(torch.zeros(1, dtype=torch.float32)).double().detach().item()
    expected = g * torch.block_diag(torch.ones(2, 2), torch.eye(2))
    operator = mask(topology)
    for dense in (operator.to_dense(), operator @ torch.eye(4, dtype=torch.float32)):
        assert_close(dense[0].double(), expected.double(), rtol=1e-2, atol=1e-6)


def test_work_grows_as_stated() -> None:
    """Nodes visited: linear in two passes of steps, N log N in groups of the decomposition."""
    for make in (nx.path_graph, partial(nx.random_labeled_tree, seed=0)):
        for n in (1024, 4096, 16384):
            topology = topology_of(make(n))
            assert gm.operators._trees.trees_of(topology).forest.plan.shape[1] <= 2 * n
            members = _centroids.decompose(topology, 1.0, n).members
            assert members.nnz <= 2 * n * np.log2(n)
