from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch

from graphmask.benchmark.estimators import GRAPHS, read_graph, undirected

# The large ones take seconds to make: their makers are tried on small numbers below.
SMALL = [graph for graph in GRAPHS if graph.name not in ("sphere", "square", "power-law")]

SIZES = {
    "er-20": 20,
    "er-100": 100,
    "tree": 127,
    "regular": 100,
    "ladder": 100,
    "karate": 34,
    "small-world": 100,
    "barbell": 60,
}


def edges_of(edge_index: torch.Tensor) -> set[tuple[int, ...]]:
    return {tuple(edge) for edge in edge_index.T.tolist()}


@pytest.mark.parametrize("graph", SMALL, ids=lambda graph: graph.name)
def test_graphs_are_undirected_and_seeded(graph) -> None:
    topology, again = graph.make(3), graph.make(3)
    assert topology.num_nodes == SIZES[graph.name]
    assert torch.equal(topology.edge_index, again.edge_index)
    edges = edges_of(topology.edge_index)
    assert len(edges) == topology.num_edges
    assert edges == {(target, source) for source, target in edges}


def test_other_seeds_give_other_graphs() -> None:
    assert edges_of(SMALL[0].make(0).edge_index) != edges_of(SMALL[0].make(1).edge_index)


def test_large_graphs_have_their_degrees() -> None:
    degrees = {graph.name: graph.make(0) for graph in GRAPHS if graph not in SMALL}
    assert {name: each.num_nodes for name, each in degrees.items()} == {
        "sphere": 20_000,
        "square": 32_768,
        "power-law": 20_000,
    }
    mean = {name: each.num_edges / each.num_nodes for name, each in degrees.items()}
    assert 6 < mean["sphere"] < 8
    assert 37 < mean["square"] < 41  # 40, but for points near the border
    assert 7.9 < mean["power-law"] < 8
    assert degrees["power-law"].pattern.rowptr.diff().max() > 100


def test_edges_are_made_both_ways_once() -> None:
    topology = undirected(np.array([[0, 1], [1, 0], [0, 1], [2, 2]]), 4)
    assert edges_of(topology.edge_index) == {(0, 1), (1, 0), (2, 2)}
    assert topology.num_edges == 3
    assert topology.num_nodes == 4


def test_edges_to_nowhere_are_refused() -> None:
    with pytest.raises(ValueError, match="node ids from 0 to N - 1 = 2, got ids from 0 to 3"):
        undirected(np.array([[0, 3]]), 3)


TETRAHEDRON = np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]])
PATH = np.array([[0, 1], [1, 2], [2, 3]])


@pytest.mark.parametrize("name", ["faces", "f", "face", "tri", "triangles"])
@pytest.mark.parametrize("by_columns", [False, True])
def test_meshes_become_the_graph_of_their_edges(
    name: str, by_columns: bool, tmp_path: Path
) -> None:
    np.savez(
        tmp_path / "solid.npz",
        v=np.zeros((5, 3)),
        **{name: TETRAHEDRON.T if by_columns else TETRAHEDRON},
    )
    graph = read_graph(tmp_path / "solid.npz")
    topology = graph.make(0)
    assert graph.name == "solid"
    assert "5 nodes, 12 edges" in graph.about
    assert topology.num_nodes == 5  # a vertex of no face
    assert edges_of(topology.edge_index) == edges_of(
        torch.tensor(list(nx.complete_graph(4).to_directed().edges)).T
    )


@pytest.mark.parametrize("name", ["edges", "edge_index", "edge_list"])
@pytest.mark.parametrize("by_columns", [False, True])
def test_edge_lists_are_read_either_way(name: str, by_columns: bool, tmp_path: Path) -> None:
    np.savez(tmp_path / "path.npz", **{name: PATH.T if by_columns else PATH})
    topology = read_graph(tmp_path / "path.npz").make(0)
    assert topology.num_nodes == 4
    assert edges_of(topology.edge_index) == {(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)}


def test_square_arrays_are_read_by_rows_but_for_the_names_of_pyg(tmp_path: Path) -> None:
    square = np.array([[0, 1], [2, 3]])
    for name, expected in (("edges", {(0, 1), (2, 3)}), ("edge_index", {(0, 2), (1, 3)})):
        np.savez(tmp_path / "square.npz", **{name: square})
        edges = edges_of(read_graph(tmp_path / "square.npz").make(0).edge_index)
        assert {edge for edge in edges if edge[0] < edge[1]} == expected


def test_the_number_of_nodes_may_be_told(tmp_path: Path) -> None:
    for told in ({"num_nodes": 9}, {"x": np.zeros((9, 2))}, {"node_labels": np.zeros(9)}):
        np.savez(tmp_path / "path.npz", edges=PATH, **told)
        assert read_graph(tmp_path / "path.npz").make(0).num_nodes == 9


@pytest.mark.parametrize("heading", ["", "id_1,id_2\n"])
def test_lists_of_edges_are_read_with_and_without_a_heading(heading: str, tmp_path: Path) -> None:
    (tmp_path / "path.csv").write_text(heading + "0,1\n1,2\n2,3,0.5\n")
    topology = read_graph(tmp_path / "path.csv").make(0)
    assert (topology.num_nodes, topology.num_edges) == (4, 6)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"adjacency": np.eye(2)}, "one of faces, .*, edge_index, .* with adjacency"),
        (
            {"faces": np.zeros((4, 4), dtype=int)},
            r"integers `faces` \[F, 3\] or \[3, F\], got int64 of shape \[4, 4\]",
        ),
        ({"edges": PATH.astype(float)}, r"integers `edges` \[E, 2\] or \[2, E\], got float64"),
        ({"edges": np.array([[0, 7]]), "num_nodes": 3}, "ids from 0 to 7"),
        ({"edges": np.zeros((0, 2), dtype=int), "num_nodes": 3}, "a file with edges"),
    ],
)
def test_other_contents_are_refused(
    arrays: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "odd.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        read_graph(tmp_path / "odd.npz")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"an \.npz, \.csv or mesh file"):
        read_graph(tmp_path / "graph.xyzzy")
    (tmp_path / "words.csv").write_text("a,b\nc,d\n")
    with pytest.raises(ValueError, match="two node ids per line"):
        read_graph(tmp_path / "words.csv")
    with pytest.raises(FileNotFoundError):
        read_graph(tmp_path / "absent.npz")
