"""A function of the distance by separators: its distances, their bound, and what it refuses."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch
from cases.paths import grid
from scipy.sparse.csgraph import dijkstra
from torch import Tensor
from torch.testing import assert_close

import graphmask as gm
from graphmask.masks import ExponentialDistance, SeparatorMask, TableDistance
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
    sides = torch.cat(
        [torch.stack([node.flatten(), node.roll(1, axis).flatten()]) for axis in (0, 1)], 1
    )
    length = (
        torch.rand(sides.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        + 0.1
    )
    return gm.Topology(torch.cat([sides, sides.flip(0)], 1), n * n, torch.cat([length, length]))


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
def test_used_distances_keep_their_bounds(name: str, tolerance: float, resolution: float) -> None:
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


def test_distances_within_leaves_are_exact() -> None:
    topology = GRAPHS["grid"]
    assert_close(
        SeparatorMask(leaf_size=topology.num_nodes)(topology).distances(), exact_lengths(topology)
    )


def test_distances_are_those_of_networkx() -> None:
    topology = grid(6, 7)
    graph = nx.Graph()
    graph.add_weighted_edges_from(
        (*pair, length)
        for pair, length in zip(
            topology.edge_index.mT.tolist(), topology.edge_weight.tolist(), strict=True
        )
    )
    operator = SeparatorMask(tolerance=0.0, leaf_size=3)(topology)
    value = operator @ torch.eye(42, dtype=torch.float64)
    for source, lengths in nx.all_pairs_dijkstra_path_length(graph):
        expected = torch.tensor([lengths[node] for node in range(42)], dtype=torch.float64)
        assert_close(value[0, source], (-expected).exp(), rtol=1e-6, atol=0, check_dtype=False)


def test_no_edge_joins_the_sides_of_a_split() -> None:
    graph = length_matrix(GRAPHS["torus"])
    splits = [part for part in decompose(graph, 0.5, 0.0, 16, 10**6) if isinstance(part, Split)]
    assert len(splits) > 10
    for split in splits:
        first, second = (side.own for side in split.sides)
        assert graph[first][:, second].nnz == 0
        assert min(len(first), len(second)) > 0
        together = np.concatenate([first, second, split.separator])
        assert len(np.unique(together)) == len(together)


def test_products_are_those_of_the_dense_mask_in_single_precision() -> None:
    topology = astype(grid(40, 40), torch.float32)
    mask = SeparatorMask(heads=2, tolerance=0.3).float()
    x = torch.randn(1600, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    with torch.no_grad():
        operator = mask(topology)
        found, expected = operator @ x, operator.to_dense() @ x
    assert float((found - expected).norm() / expected.norm()) < 1e-6


def test_stored_distances_grow_far_slower_than_pairs() -> None:
    share = {n: SeparatorMask(tolerance=0.5)(grid(n, n)).cost / n**4 for n in (20, 40, 80)}
    assert share[40] < 0.6 * share[20]
    assert share[80] < 0.45 * share[40]


def test_parallel_edges_are_as_long_as_the_shortest_and_loops_do_not_count() -> None:
    edges = torch.tensor([[0, 1, 0, 1, 0], [1, 0, 1, 0, 0]])
    used = SeparatorMask()(
        gm.Topology(edges, 2, torch.tensor([3.0, 3.0, 2.0, 2.0, 7.0]))
    ).distances()
    assert used.tolist() == [[0.0, 2.0], [2.0, 0.0]]


def test_edges_of_no_length_join_nodes() -> None:
    topology = replace(grid(5, 5), edge_weight=torch.zeros(80, dtype=torch.float64))
    assert SeparatorMask(leaf_size=2)(topology).distances().abs().max() == 0


def test_graphs_without_small_separators_are_refused_rather_than_stored() -> None:
    pairs = torch.combinations(torch.arange(40)).mT
    clique = gm.Topology(torch.cat([pairs, pairs.flip(0)], 1), 40)
    assert SeparatorMask(leaf_size=8)(clique).cost == 1600
    with pytest.raises(
        ValueError, match=r"`max_entries` must be at least .* got 1000, of 1600 or more"
    ):
        SeparatorMask(leaf_size=8, max_entries=1000)(clique)


def test_hubs_separate_what_they_join() -> None:
    n = 400
    spokes = torch.stack([torch.zeros(n - 1, dtype=torch.long), torch.arange(1, n)])
    star = gm.Topology(torch.cat([spokes, spokes.flip(0)], 1), n)
    operator = SeparatorMask(leaf_size=8)(star)
    assert_close(operator.distances(), exact_lengths(star), check_dtype=False)
    assert operator.cost < 40 * n


def test_tables_read_hops() -> None:
    topology = replace(grid(4, 4), edge_weight=None)
    mask = SeparatorMask(TableDistance(3), leaf_size=2)
    assert isinstance(mask(topology), SeparatorOperator)
    assert int((mask(topology).to_dense() > 0).sum()) < 256
    assert isinstance(mask.function, TableDistance)
    assert not isinstance(mask.function, ExponentialDistance)
