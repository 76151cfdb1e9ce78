"""Functions of the distance by separators: distances and their error bound."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases.graphs import clique, generator, grid, normal, path, star, undirected
from scipy.sparse.csgraph import dijkstra
from torch import Tensor
from torch.testing import assert_close

import graphmask as gm
from graphmask.masks import SeparatorMask, TableDistance
from graphmask.operators import SeparatorOperator
from graphmask.operators._separation import length_matrix
from graphmask.operators._separators import Split, decompose
from graphmask.testing import example_topologies
from graphmask.testing.graphs import astype, replace


def exact_lengths(topology: gm.Topology) -> Tensor:
    return torch.from_numpy(dijkstra(length_matrix(topology)))


def torus(n: int) -> gm.Topology:
    """A grid of n x n nodes on a torus: no separator of one level leaves two sides."""
    node = torch.arange(n * n).reshape(n, n)
    edges = [torch.stack([node.flatten(), node.roll(1, axis).flatten()]) for axis in (0, 1)]
    length = torch.rand(2 * n * n, generator=generator(), dtype=torch.float64) + 0.1
    return undirected(torch.cat(edges, 1), n * n, length)


GRAPHS = {
    "grid": grid(17, 23),
    "torus": torus(19),
    "long": grid(3, 120),
    "hub": example_topologies()["weighted"],
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize(
    ("tolerance", "resolution"),
    [(0.0, 0.0), (0.1, 0.0), (0.5, 0.0), (0.9, 0.0), (0.0, 0.4), (0.3, 0.2)],
)
def test_approximate_distances_keep_their_bound(
    name: str, tolerance: float, resolution: float
) -> None:
    topology = GRAPHS[name]
    operator = SeparatorMask(tolerance=tolerance, resolution=resolution, leaf_size=4)(topology)
    exact, used = exact_lengths(topology), operator.distances()
    joined = exact.isfinite()
    assert torch.equal(used.isfinite(), joined)
    error = (used - exact)[joined].abs()
    assert bool((error <= tolerance * exact[joined] + 2 * resolution + 1e-9).all())
    assert float(error.max()) <= operator.error_bound + 1e-9
    assert_close(used, used.mT, rtol=1e-14, atol=0)
    if tolerance == resolution == 0:
        assert operator.error_bound == 0


def test_values_at_exact_distances_are_the_function_of_those_of_scipy() -> None:
    topology = grid(6, 7)
    exact = exact_lengths(topology)
    leaf, split = (SeparatorMask(tolerance=0.0, leaf_size=size)(topology) for size in (42, 3))
    assert_close(leaf.distances(), exact)
    assert_close((split @ torch.eye(42))[0], (-exact).exp(), rtol=1e-6, atol=0, check_dtype=False)
    topology = astype(grid(40, 40), torch.float32)
    operator = SeparatorMask(heads=2, tolerance=0.3).float()(topology)
    x = normal(1600, 5).float()
    out, expected = (operator @ x).detach(), (operator.to_dense() @ x).detach()
    assert float((out - expected).norm() / expected.norm()) < 1e-6


def test_no_edge_joins_the_sides_of_a_split() -> None:
    graph = length_matrix(GRAPHS["torus"])
    splits = [node for node in decompose(graph, 0.5, 0.0, 16, 10**6) if isinstance(node, Split)]
    assert len(splits) > 10
    for split in splits:
        first, second = (side.own for side in split.sides)
        assert graph[first][:, second].nnz == 0
        assert min(len(first), len(second)) > 0
        together = np.concatenate([first, second, split.separator])
        assert len(np.unique(together)) == len(together)


def test_stored_distances_grow_far_slower_than_pairs() -> None:
    share = {n: SeparatorMask(tolerance=0.5)(grid(n, n)).cost / n**4 for n in (20, 40, 80)}
    assert share[40] < 0.6 * share[20]
    assert share[80] < 0.45 * share[40]


def test_parallel_edges_are_as_long_as_the_shortest_and_loops_do_not_count() -> None:
    edges = torch.tensor([[0, 1, 0, 1, 0], [1, 0, 1, 0, 0]])
    topology = gm.Topology(edges, 2, torch.tensor([3.0, 3.0, 2.0, 2.0, 7.0]))
    assert SeparatorMask()(topology).distances().tolist() == [[0.0, 2.0], [2.0, 0.0]]


def test_edges_of_no_length_join_nodes() -> None:
    topology = replace(grid(5, 5), edge_weight=torch.zeros(80, dtype=torch.float64))
    assert SeparatorMask(leaf_size=2)(topology).distances().abs().max() == 0


def test_hubs_are_separators_and_cliques_have_none() -> None:
    operator = SeparatorMask(leaf_size=8)(star(400))
    assert_close(operator.distances(), exact_lengths(star(400)), check_dtype=False)
    assert operator.cost < 40 * 400
    assert SeparatorMask(leaf_size=8)(clique(40)).cost == 1600


def test_tables_read_hops() -> None:
    operator = SeparatorMask(TableDistance(3), leaf_size=2)(path(16))
    assert isinstance(operator, SeparatorOperator)
    assert int((operator.to_dense() > 0).sum()) == 16 + 2 * (15 + 14)


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_small_components_are_computed_together(size: int) -> None:
    node = torch.arange(20 * size)
    edges = torch.stack([node[:-1], node[1:]])
    graph = length_matrix(undirected(edges[:, edges[1] % size != 0], len(node)))
    assert len(list(decompose(graph, 0.5, 0.0, 128, 10**8))) == 1


def test_components_of_different_sizes_are_exact() -> None:
    parts = [1, 5, 70, 1, 12, 5, 200]
    edges, start = [], 0
    for size in parts:
        edges.append(path(size).edge_index + start if size > 1 else path(2).edge_index[:, :0])
        start += size
    order = torch.randperm(start, generator=generator())
    topology = gm.Topology(order[torch.cat(edges, 1)], start)
    operator = SeparatorMask(tolerance=0.0, leaf_size=16)(topology)
    exact = exact_lengths(topology)
    assert_close(operator @ torch.eye(start), (-exact).exp().unsqueeze(0), check_dtype=False)
