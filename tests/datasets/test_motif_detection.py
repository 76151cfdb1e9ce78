from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from networkx.algorithms.isomorphism import GraphMatcher
from torch_geometric.data import Data
from torch_geometric.utils import to_networkx

from graphmask.datasets import MotifDetection
from graphmask.datasets.motif_detection import MOTIFS

TRIANGLES = nx.Graph(
    [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (6, 7), (7, 8), (8, 6), (2, 5), (5, 8), (8, 2)]
)
NAMED = {
    "caveman": TRIANGLES,
    "cycle": nx.cycle_graph(10),
    "grid": nx.grid_2d_graph(3, 3),
    "ladder": nx.ladder_graph(5),
    "circular_ladder": nx.circular_ladder_graph(5),
}


def graph_of(data: Data) -> nx.Graph:
    return to_networkx(data, to_undirected=True)


@pytest.mark.parametrize("motif", MOTIFS)
def test_the_motif_is_there(motif: str) -> None:
    dataset = MotifDetection(motif=motif, num_pairs=4)
    assert dataset.y.tolist() == [0, 1] * 4
    for data in dataset[1::2]:
        assert GraphMatcher(graph_of(data), NAMED[motif]).subgraph_is_isomorphic()


@pytest.mark.parametrize("motif", MOTIFS)
def test_classes_do_not_differ_in_size(motif: str) -> None:
    dataset = MotifDetection(motif=motif, num_pairs=60)
    edges = np.array([data.num_edges / 2 for data in dataset]).reshape(-1, 2)
    added = NAMED[motif].number_of_edges()
    # What is left are the links, 3 to 4 in the mean: their difference has a variance of about twice
    # that.
    assert abs((edges[:, 1] - edges[:, 0]).mean()) < 4 * np.sqrt(8 / 60)
    density = 2 * (edges[:, 0].mean() - added - 3.6) / 100
    assert abs(density - MOTIFS[motif].density * 99) < 4 * np.sqrt(2 * density / 100 / 60)


def test_few_random_additions_hold_the_motif() -> None:
    negatives = MotifDetection(motif="circular_ladder", num_pairs=20)[::2]
    assert (
        sum(
            GraphMatcher(graph_of(data), NAMED["circular_ladder"]).subgraph_is_isomorphic()
            for data in negatives
        )
        == 0
    )


def test_graphs_are_undirected_without_isolated_nodes() -> None:
    for data in MotifDetection(motif="grid", num_pairs=5, num_nodes=30):
        assert data.is_undirected()
        assert not data.has_isolated_nodes()
        assert not data.has_self_loops()
        assert data.is_coalesced()


def test_features_are_the_largest_degrees_around() -> None:
    data = MotifDetection(motif="ladder", num_pairs=1)[1]
    graph = graph_of(data)
    for node, row in enumerate(data.x.tolist()):
        degrees = sorted((graph.degree[other] for other in graph[node]), reverse=True)
        assert row == (degrees + 5 * [0])[:5]


def test_the_motif_lies_anywhere() -> None:
    """Were nodes not shuffled, the first would always belong to the motif."""
    starts = [
        graph_of(data).subgraph(range(10))
        for data in MotifDetection(motif="cycle", num_pairs=8)[1::2]
    ]
    assert max(nx.number_of_edges(part) for part in starts) < 10


def test_small_bases() -> None:
    assert {
        data.x.shape[1] for data in MotifDetection(motif="cycle", num_pairs=30, num_nodes=10)
    } == {5}
