"""Files of every kind become the graphs that they hold; others raise an error with the reason."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphmask.view import connect, read_graph


def edges_of(graph: Data) -> set[tuple[int, int]]:
    return {(a, b) for a, b in graph.edge_index.T.tolist()}


def test_edge_lists(tmp_path: Path) -> None:
    path = tmp_path / "path.edgelist"
    path.write_text("# a path\n0 1\n1 2\n4 2\n")
    graph = read_graph(path)
    assert (graph.num_nodes, graph.edge_weight) == (4, None)
    assert edges_of(graph) == {(0, 1), (1, 0), (1, 2), (2, 1), (3, 2), (2, 3)}
    assert graph.node_name == ["0", "1", "2", "4"]
    assert edges_of(read_graph(path, directed=True)) == {(0, 1), (1, 2), (3, 2)}
    roads = tmp_path / "roads.csv"
    roads.write_text("from,to,weight\n900,20,2.5\n20,900,2.5\n20,7,-1\n")
    graph = read_graph(roads)
    assert graph.node_name == ["7", "20", "900"]
    assert graph.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert graph.edge_weight.tolist() == [-1.0, -1.0, 2.5, 2.5]


def test_graphml_and_gml_have_a_direction(tmp_path: Path) -> None:
    one_way = nx.DiGraph([("a", "b"), ("b", "c")])
    one_way["a"]["b"]["weight"], one_way["b"]["c"]["weight"] = 2.0, 3.0
    nx.write_graphml(one_way, tmp_path / "one.graphml")
    graph = read_graph(tmp_path / "one.graphml")
    assert edges_of(graph) == {(0, 1), (1, 2)}
    assert graph.edge_weight.tolist() == [2.0, 3.0]
    nx.write_gml(nx.Graph([("a", "b"), ("b", "c")]), tmp_path / "two.gml")
    graph = read_graph(tmp_path / "two.gml")
    assert edges_of(graph) == {(0, 1), (1, 0), (1, 2), (2, 1)}
    assert graph.node_name == ["a", "b", "c"]
    (tmp_path / "bad.gml").write_text("graph [ node [")
    with pytest.raises(ValueError, match="a graph that networkx reads"):
        read_graph(tmp_path / "bad.gml")


def test_saved_data_is_read_and_nothing_else_is_unpickled(tmp_path: Path) -> None:
    edge_index = torch.tensor([[0, 1], [1, 2]])
    torch.save(Data(edge_index=edge_index, x=torch.ones(3, 2)), tmp_path / "graph.pt")
    declared = set(torch.serialization.get_safe_globals())
    assert edges_of(read_graph(tmp_path / "graph.pt")) == {(0, 1), (1, 2)}
    # PyG reads its caches by what it declared safe: reading a file must leave that alone.
    assert set(torch.serialization.get_safe_globals()) == declared
    torch.save(torch.nn.Linear(1, 1), tmp_path / "code.pt")
    with pytest.raises(ValueError, match="a PyG `Data` of tensors"):
        read_graph(tmp_path / "code.pt")
    torch.save(edge_index, tmp_path / "tensor.pt")
    with pytest.raises(ValueError, match=r"saved by torch\.save, got Tensor"):
        read_graph(tmp_path / "tensor.pt")


def test_arrays_of_edges(tmp_path: Path) -> None:
    path = tmp_path / "graph.npz"
    weight, names = np.array([1.0, 2.0]), np.array(["a", "b"])
    np.savez(path, edge_index=[[0, 1], [1, 2]], num_nodes=5, edge_weight=weight, names=names)
    graph = read_graph(path)
    assert (graph.num_nodes, graph.edge_weight.tolist()) == (5, [1.0, 2.0])
    assert edges_of(graph) == {(0, 1), (1, 2)}
    np.savez(path, edges=[[0, 1], [1, 2]], node_features=np.ones((4, 2)))
    graph = read_graph(path)
    assert (graph.num_nodes, len(edges_of(graph)), graph.x.shape) == (4, 4, (4, 2))


def test_meshes_and_clouds_are_joined(tmp_path: Path) -> None:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype=np.float32)
    np.savez(tmp_path / "square.npz", v=corners, f=np.array([[0, 1, 2], [1, 3, 2]]))
    graph = read_graph(tmp_path / "square.npz")
    assert len(edges_of(graph)) == 10
    assert graph.face.shape == (3, 2)
    np.save(tmp_path / "points.npy", corners)
    assert edges_of(read_graph(tmp_path / "points.npy", neighbours=2)) == {
        (a, b) for a in range(4) for b in range(4) if a != b and a + b != 3
    }
    np.hstack([corners, np.ones((4, 1), np.float32)]).tofile(tmp_path / "scan.bin")
    scan = read_graph(tmp_path / "scan.bin")
    assert torch.equal(scan.pos, torch.from_numpy(corners))
    (tmp_path / "scan.bin").write_bytes(b"12345")
    with pytest.raises(ValueError, match="four float32 per point"):
        read_graph(tmp_path / "scan.bin")


def test_molecules_by_line(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    path = tmp_path / "few.smi"
    path.write_text("CO methanol\nc1ccccc1 benzene\n")
    graph = read_graph(path, item=1)
    assert (graph.num_nodes, graph.num_edges, graph.node_name) == (6, 12, ["C"] * 6)
    length = (graph.pos[graph.edge_index[0]] - graph.pos[graph.edge_index[1]]).norm(dim=1)
    assert torch.allclose(length, torch.full_like(length, 1.5), atol=1e-3)
    with pytest.raises(ValueError, match="`item` must be below 2"):
        read_graph(path, item=2)
    path.write_text("no molecule\n")
    with pytest.raises(ValueError, match="SMILES that RDKit reads"):
        read_graph(path)


def test_absent_files_and_data_without_edges(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such file: .*none\.gml"):
        read_graph(tmp_path / "none.gml")
    with pytest.raises(ValueError, match="`edge_index`, `face` or `pos`"):
        connect(Data(x=torch.ones(2, 2)))
