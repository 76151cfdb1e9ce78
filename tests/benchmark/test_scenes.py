from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch

from graphmask.benchmark import MissingExtraError
from graphmask.benchmark.estimators import read_graph, undirected
from graphmask.benchmark.scenes import (
    MOLECULES,
    TORUS,
    ball,
    mesh_scene,
    molecule_scene,
    random_molecules,
    torus_graph,
)
from graphmask.topology import Topology

CUBE_OFF = """OFF
8 6 0
0 0 0
1 0 0
1 1 0
0 1 0
0 0 1
1 0 1
1 1 1
0 1 1
4 0 3 2 1
4 4 5 6 7
4 0 1 5 4
4 1 2 6 5
4 2 3 7 6
4 3 0 4 7
"""


def graph_of(topology: Topology) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(range(topology.num_nodes))
    graph.add_edges_from(topology.edge_index.T.tolist())
    return graph


@pytest.mark.parametrize("size", [1, 5, 20, 60])
def test_ball_is_the_induced_subgraph_of_the_nearest_nodes(size: int) -> None:
    grid = nx.convert_node_labels_to_integers(nx.grid_2d_graph(8, 9))
    order = np.random.default_rng(0).permutation(72)
    topology = undirected(order[np.array(grid.edges)], 72)
    whole = graph_of(topology)
    distance = nx.single_source_shortest_path_length(whole, 0)
    found = graph_of(ball(topology, size))
    assert nx.is_connected(found)
    # The numbers of nodes at each distance from node 0, which stays the first, are those of the
    # whole but at the border.
    inside = sorted(nx.single_source_shortest_path_length(found, 0).values())
    assert inside == sorted(distance.values())[:size]
    kept = [node for node in range(72) if distance[node] < inside[-1]]
    assert found.number_of_edges() >= whole.subgraph(kept).number_of_edges()


def test_ball_of_everything_is_the_graph_itself() -> None:
    topology = undirected(np.array([[2, 0], [1, 0], [3, 1]]), 4)
    assert torch.equal(ball(topology, 4).edge_index, topology.edge_index)


def test_ball_of_more_than_is_connected_is_refused() -> None:
    with pytest.raises(ValueError, match="`nodes` must be at most 2, as many as are connected"):
        ball(undirected(np.array([[0, 1], [2, 3]]), 4), 3)


def test_torus_has_the_degree_of_a_mesh_at_every_size() -> None:
    for nodes in (2000, 8000):
        pos, edge_index = torus_graph(nodes, seed=1)
        assert 7 < edge_index.shape[1] / nodes < 10
        ring = (pos[:, :2].norm(dim=1) - 1).square() + pos[:, 2].square()
        assert 0.3 < ring.sqrt().mean() < 0.5
    assert torch.equal(torus_graph(100, 3)[1], torus_graph(100, 3)[1])
    assert TORUS.make(64, 0, "cpu").num_nodes == 64


def test_meshes_of_other_formats_are_read(tmp_path: Path) -> None:
    pytest.importorskip("trimesh")
    (tmp_path / "cube.off").write_text(CUBE_OFF)
    topology = read_graph(tmp_path / "cube.off").make(0)
    # 12 sides and 6 diagonals of the squares.
    assert (topology.num_nodes, topology.num_edges) == (8, 36)
    scene = mesh_scene(tmp_path / "cube.off")
    problem = scene.make(5, 0, "cpu")
    assert (scene.name, problem.num_nodes, len(problem.x)) == ("cube", 5, 5)
    assert problem.edge_index.max() < 5


def test_molecules_are_connected_sparse_and_of_all_sizes() -> None:
    molecules = random_molecules(128, seed=2)
    assert len(molecules) == 128
    sizes = [molecule.num_nodes for molecule in molecules]
    assert min(sizes) >= 10
    assert max(sizes) <= 40
    assert 23 < np.mean(sizes) < 27
    rings = []
    for molecule in molecules:
        graph = graph_of(molecule)
        assert nx.is_connected(graph)
        assert max(degree for _, degree in graph.degree) <= 4
        rings += [len(cycle) for cycle in nx.minimum_cycle_basis(graph)]
        assert graph.number_of_edges() - graph.number_of_nodes() + 1 <= 3
    assert {5, 6} <= set(rings)
    again = random_molecules(128, seed=2)
    assert all(
        torch.equal(one.edge_index, other.edge_index)
        for one, other in zip(molecules, again, strict=True)
    )


def test_a_batch_of_molecules_carries_its_walks() -> None:
    problem = MOLECULES.make(0, 0, "cpu")
    topology = Topology.from_data(problem.data)
    assert topology.num_graphs == 128
    assert topology.num_nodes == problem.num_nodes == len(problem.x)
    (walks,) = topology.walk_sets
    assert walks.num_hops == 8
    assert torch.equal(
        topology.batch[walks.pattern.row.long()], topology.batch[walks.pattern.col.long()]
    )


def test_molecules_of_a_file_are_read(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    (tmp_path / "some.csv").write_text("smiles,value\nCCO,1\nc1ccccc1CCCCC,2\n")
    assert molecule_scene(tmp_path / "some.csv").make(0, 0, "cpu").num_nodes == 11


def test_rdkit_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "rdkit", None)
    monkeypatch.delitem(sys.modules, "rdkit.Chem", raising=False)
    with pytest.raises(MissingExtraError, match=r"graphmask\[molecules\]"):
        molecule_scene(tmp_path / "some.csv")
