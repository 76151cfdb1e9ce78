"""Files of every kind become the graphs that they hold; others raise an error with the reason."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.transforms import ToSparseTensor

from graphmask import Topology
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


def test_saved_data_is_read_and_nothing_else_is_unpickled(tmp_path: Path) -> None:
    edge_index = torch.tensor([[0, 1], [1, 2]])
    torch.save(Data(edge_index=edge_index, x=torch.ones(3, 2)), tmp_path / "graph.pt")
    declared = set(torch.serialization.get_safe_globals())
    assert edges_of(read_graph(tmp_path / "graph.pt")) == {(0, 1), (1, 2)}
    # PyG reads its caches by what it declared safe: reading a file must leave that alone.
    assert set(torch.serialization.get_safe_globals()) == declared
    torch.save(torch.nn.Linear(1, 1), tmp_path / "code.pt")
    with pytest.raises(ValueError, match="a PyG `Data` or `Batch` of tensors"):
        read_graph(tmp_path / "code.pt")
    torch.save(edge_index, tmp_path / "tensor.pt")
    with pytest.raises(ValueError, match=r"saved by torch\.save, got Tensor"):
        read_graph(tmp_path / "tensor.pt")


@pytest.mark.parametrize("weight", [torch.tensor([2, 3]), torch.tensor([2.0, 3.0])])
def test_weights_of_networkx_are_those_of_saved_data(weight, tmp_path: Path) -> None:
    edge_index = torch.tensor([[0, 1], [1, 2]])
    torch.save(Data(edge_index=edge_index, num_nodes=3, weight=weight), tmp_path / "a.pt")
    assert read_graph(tmp_path / "a.pt").edge_weight.tolist() == [2.0, 3.0]
    data = Data(edge_index=edge_index, x=torch.ones(3, 1), weight=torch.ones(3))  # of nodes
    torch.save(data, tmp_path / "a.pt")
    assert "edge_weight" not in read_graph(tmp_path / "a.pt")


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_a_batch_and_a_sparse_adjacency_are_saved_data(tmp_path: Path) -> None:
    edge_index = torch.tensor([[0, 1], [1, 2]])
    data = Data(edge_index=edge_index, edge_weight=torch.tensor([2.0, 3.0]), num_nodes=3)
    torch.save(Batch.from_data_list([data, data]), tmp_path / "batch.pt")
    batch = read_graph(tmp_path / "batch.pt")
    assert batch.num_graphs == 2
    assert edges_of(batch) == {(0, 1), (1, 2), (3, 4), (4, 5)}
    torch.save(ToSparseTensor(layout=torch.sparse_csr)(data), tmp_path / "adj.pt")
    graph = read_graph(tmp_path / "adj.pt")
    assert edges_of(graph) == {(0, 1), (1, 2)}
    assert graph.edge_weight.tolist() == [2.0, 3.0]
    torch.save(Batch.from_data_list([HeteroData()]), tmp_path / "hetero.pt")
    with pytest.raises(ValueError, match=r"hetero\.pt.*saved by torch\.save"):
        read_graph(tmp_path / "hetero.pt")
    ends, ids = torch.tensor([0, 10**7, 2, 10**8]), torch.tensor([1, 2, 1])
    adjacency = torch.sparse_csr_tensor(ends, ids, torch.ones(3), (3, 3), check_invariants=False)
    torch.save(Data(adj_t=adjacency, num_nodes=3), tmp_path / "out.pt")
    with pytest.raises(ValueError, match=r"out\.pt.*saved by torch\.save"):
        read_graph(tmp_path / "out.pt")
    data.edge_weight[0] = float("nan")
    torch.save(data, tmp_path / "nan.pt")
    with pytest.raises(ValueError, match=r"nan\.pt: `edge_weight` must be finite"):
        read_graph(tmp_path / "nan.pt")


MULTIGRAPH = nx.MultiGraph()
MULTIGRAPH.add_weighted_edges_from([("a", "b", 1.0), ("a", "b", 2.0), ("b", "c", 4.0)])


def save_scipy(path: Path) -> None:
    scipy.sparse.save_npz(path, nx.to_scipy_sparse_array(MULTIGRAPH).tocoo())


def save_matrix_market(path: Path) -> None:
    scipy.io.mmwrite(path, nx.to_scipy_sparse_array(MULTIGRAPH))


def save_arrays(path: Path) -> None:
    np.savez(path, edges=[[0, 1], [0, 1], [1, 2]], edge_weight=[[1.0], [2.0], [4.0]])


WRITERS = {
    "m.graphml": partial(nx.write_graphml, MULTIGRAPH),
    "m.graphml.gz": partial(nx.write_graphml, MULTIGRAPH),
    "m.gml": partial(nx.write_gml, MULTIGRAPH),
    "m.edgelist": lambda path: nx.write_edgelist(MULTIGRAPH, path),
    "m.csv": lambda path: path.write_text("a,b,1\nb,c,4\na,b,2\n"),
    "both.csv": lambda path: path.write_text("a,b,1\nb,a,3\nb,c,4\nc,b,4\na,b,2\n"),
    "m.npz": save_scipy,
    "arrays.npz": save_arrays,
    "m.mtx": save_matrix_market,
}


@pytest.mark.parametrize(("name", "save"), WRITERS.items(), ids=WRITERS)
def test_parallel_edges_add_and_those_listed_both_ways_do_not(name, save, tmp_path: Path) -> None:
    save(tmp_path / name)
    pattern, weight = Topology.from_data(read_graph(tmp_path / name)).adjacency(None)
    assert pattern.to_dense(weight).tolist() == [[0, 3, 0], [3, 0, 4], [0, 4, 0]]


def test_graph_files_of_other_tools(tmp_path: Path) -> None:
    nodes = "".join(f"node [ id {node} ] " for node in (7, 3, 9))
    edges = "edge [ source 7 target 3 ] edge [ source 7 target 3 ]"
    (tmp_path / "a.gml").write_text(f"graph [ {nodes}{edges} ]", encoding="utf-8-sig")
    graph = read_graph(tmp_path / "a.gml")
    assert graph.node_name == ["7", "3", "9"]
    assert sorted(graph.edge_index.T.tolist()) == [[0, 1], [0, 1], [1, 0], [1, 0]]
    nodes, edges = 'node [ id 1 name "a" ] node [ id 2 ]', "edge [ source 1 target 2 value 7 ]"
    (tmp_path / "b.gml").write_text(f"graph [ {nodes}{edges} ]")
    graph = read_graph(tmp_path / "b.gml")
    assert (graph.node_name, graph.edge_weight.tolist()) == (["a", "2"], [7, 7])
    nx.write_adjlist(nx.DiGraph([("a", "b"), ("b", "c"), ("b", "a")]), tmp_path / "a.adjlist")
    assert edges_of(read_graph(tmp_path / "a.adjlist", directed=True)) == {(0, 1), (1, 2), (1, 0)}
    assert Topology.from_data(read_graph(tmp_path / "a.adjlist")).num_edges == 4


XML = (
    '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><key id="w" for="edge" '
    'attr.name="weight" attr.type="{}"/><graph edgedefault="directed"><node id="a"/><node id="b"/>'
    "{}</graph></graphml>"
)
EDGE = '<edge id="{}" source="a" target="b"><data key="w">{}</data></edge>'


GML = "graph [ node [ id 0 ] node [ id 1 ]\nedge [ source 0 target 1 {} ] ]\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.graphml",
            XML.format("string", EDGE.format(0, "heavy")),
            "must be a number, got 'heavy'",
        ),
        ("a.graphml", XML.format("double", EDGE.format(0, "NaN")), "finite in float32"),
        ("a.graphml", XML.format("double", EDGE.format(0, "1e39")), "finite in float32"),
        (
            "a.graphml",
            XML.format("double", EDGE.format(0, 1) + '<edge source="b" target="a"/>'),
            "from 'b' to 'a' must be a number, got None",
        ),
        ("a.graphml", XML.format("double", 2 * EDGE.format(0, 1)), "2 elements 'edge', 1 with ids"),
        ("a.graphml", XML.format("double", "")[:-9], "a graph that networkx reads"),
        ("a.gml", "graph [ node [", "a graph that networkx reads"),
        ("a.mtx", "%%MatrixMarket matrix coordinate real general\n2 3 1\n1 1 1\n", "square"),
        ("a.mtx", "%%MatrixMarket matrix coordinate real general\n2 2 2\n1 2 1\n", "Truncated"),
        ("a.mtx", "%%MatrixMarket matrix coordinate real general\n2 2 1\n1 2 inf\n", "finite"),
        ("a.mtx", "%%MatrixMarket matrix array real general\n9999999 9999999\n1\n", "too large"),
        (
            "a.mtx",
            "%%MatrixMarket matrix coordinate real general\n999999999 999999999 1\n1 2 1\n",
            "999,999,999 nodes for 1 edges: number nodes from 0",
        ),
        (
            "a.mtx",
            "%%MatrixMarket matrix coordinate real general\n2 2 1\n1 2 0,5\n",
            "line 3: '1 2 0,5', expected 3 numbers, with decimal points",
        ),
        ("a.mtx", "%%MatrixMarket matrix array real general\n1 1\n1D3\n", "line 3: '1D3'"),
        (
            "a.mtx",
            "%%MatrixMarket matrix coordinate real symmetric\n2 2 2\n1 2 3\n2 1 3\n",
            "lists each pair once.*1 and 2 are listed twice",
        ),
        ("a.mtx", "%%MatrixMarket matrix coordinate pattern general\n2 2 1\n1 2 5\n", "2 numbers"),
        ("a.gml", GML.format("weight 0,5"), "line 2: '0,5' is no number: write decimal points"),
        ("a.gml", GML.format("weight 1 Weight 2"), "attributes Weight and weight"),
        ("a.adjlist", "0, 1, 2\n1, 2\n", "'0,' is no node: write blanks"),
        ("a.adjlist", "a;b\n", "'a;b' is no node: write blanks"),
        ("a.adjlist", "0 1 # near\n", "'#' is no node.* comments into lines of their own"),
        ("a.adjlist", "0: 1 2\n1: 2\n", "'0:' is no node beside '0'"),
        ("a.csv", "(0, 1)\n(1, 2)\n", "line 1: '.0' is no node beside '0': .* no brackets"),
        ("a.gexf", "", "the ending must be one of .adjlist, .*, or of a mesh or points"),
        ("a.csv", "x,y,z\n0,0,0\n1,2,3\n", "line 1 names coordinates"),
        ("a.csv", "Gene 1,Gene 2\nTP53,MDM2\n", "line 1: Gene 1, Gene 2 can be a heading, or an"),
        ("a.csv", "userId,movieId,rating\n1,7,5\n2,1,3\n", "line 3: '1' .* kinds, user and movie"),
    ],
)
def test_graph_files_that_are_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"(?s){name}: .*{message}"):
        read_graph(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "weight"),
    [("1e-3", 1e-3), ("5E2", 500.0), ("-.5e+1", -5.0), ("2.5e-1", 0.25), ('7 label "1e-3,5"', 7.0)],
)
def test_exponents_of_gml_have_no_decimal_point(text: str, weight: float, tmp_path: Path) -> None:
    (tmp_path / "a.gml").write_text(GML.format(f"weight {text}"))
    assert read_graph(tmp_path / "a.gml").edge_weight.tolist() == pytest.approx([weight] * 2)


@pytest.mark.parametrize("name", ["Weight", "weights", "Edge Weight"])
def test_weights_of_graphml_are_read_in_any_case(name: str, tmp_path: Path) -> None:
    nx.write_graphml(nx.Graph([("a", "b", {name: 2.5})]), tmp_path / "a.graphml")
    assert read_graph(tmp_path / "a.graphml").edge_weight.tolist() == [2.5, 2.5]


@pytest.mark.parametrize("kind", ["edge", "all"])
def test_default_weights_of_graphml_are_those_of_edges_without_one(kind, tmp_path: Path) -> None:
    text = XML.format("double", '<edge source="a" target="b"/>' + EDGE.format(0, 4))
    text = text.replace('"double"/>', '"double"><default>2.5</default></key>')
    (tmp_path / "a.graphml").write_text(text.replace('for="edge"', f'for="{kind}"'))
    assert read_graph(tmp_path / "a.graphml").edge_weight.tolist() == [2.5, 4]


def test_weights_that_may_be_times_are_warned_of(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1 2 1082040961\n3 4 1082155839\n")
    with pytest.warns(UserWarning, match="such as 1082155839.0 to 1082155776; are these times"):
        read_graph(tmp_path / "a.txt")


@pytest.mark.parametrize("heading", ["citing,cited", "Follower,Followee", "node1,node2"])
def test_pairs_of_words_are_headings_of_names(heading: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{heading}\nann,bob\nbob,cyd\n")
    assert read_graph(tmp_path / "a.csv").node_name == ["ann", "bob", "cyd"]


@pytest.mark.parametrize("heading", ["weight,a,b", "capacity,station a,station b", "Count,p,q"])
def test_a_heading_may_put_the_weight_first(heading: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{heading}\n7,0,2\n8,2,1\n")
    graph = read_graph(tmp_path / "a.csv", directed=True)
    assert graph.node_name == ["0", "1", "2"]
    assert graph.edge_index.tolist() == [[0, 2], [2, 1]]
    assert graph.edge_weight.tolist() == [7.0, 8.0]


@pytest.mark.parametrize("dims", [2, 3])
def test_graphs_keep_coordinates_of_a_national_grid(dims: int, tmp_path: Path) -> None:
    path, pos = tmp_path / "a.npz", np.array([[4649776.123, 500000.5, 7], [4649776.125, 500001, 8]])
    np.savez(path, edge_index=[[0, 1], [1, 0]], pos=pos[:, :dims])
    graph = read_graph(path)
    np.testing.assert_allclose(graph.pos.double() + graph.origin, pos[:, :dims], atol=1e-6, rtol=0)


def test_arrays_of_edges(tmp_path: Path) -> None:
    path = tmp_path / "graph.npz"
    weight, names = np.array([1.0, 2.0]), np.array(["a", None])
    np.savez(path, edge_index=[[0, 1], [1, 2]], num_nodes=5, edge_weight=weight, names=names)
    with pytest.warns(UserWarning, match="the arrays names are not read"):
        graph = read_graph(path)
    assert (graph.num_nodes, graph.edge_weight.tolist()) == (5, [1.0, 2.0])
    assert edges_of(graph) == {(0, 1), (1, 2)}
    for edges in ([[0.0, 1.0], [1.0, 2.0]], [[0, 1], [1, 2], [2, 1]], [[0, 1, 1], [1, 2, 2]]):
        np.savez(path, edges=edges, node_features=np.ones((4, 2)))
        graph = read_graph(path)
        assert (graph.num_nodes, graph.x.shape) == (4, (4, 2))
        assert edges_of(graph) == {(0, 1), (1, 0), (1, 2), (2, 1)}
    assert read_graph(path, directed=True).num_edges == 3


@pytest.mark.parametrize("name", ["edge_weight", "edge_weights", "weight", "weights"])
def test_weights_of_edges_are_read_by_their_names(name: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", edges=[[0, 1], [1, 2], [2, 3]], **{name: [1, 2, 3]})
    graph = read_graph(tmp_path / "a.npz")
    assert graph.edge_weight.tolist() == [1, 1, 2, 2, 3, 3]


def test_features_that_single_precision_rounds_are_warned_of(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", edges=[[0, 1]], x=4649776 + np.array([[0.1], [0.2]]))
    with pytest.warns(UserWarning, match="column 0 of the features `x` is rounded by up to 0"):
        read_graph(tmp_path / "a.npz")


def test_arrays_without_names_are_edges_matrices_or_points(tmp_path: Path) -> None:
    path, edges = tmp_path / "a.npy", np.array([[0, 1], [1, 2], [2, 3]])
    both = {(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)}
    for array in (edges, edges.T):
        np.save(path, array)
        assert edges_of(read_graph(path)) == both
        assert edges_of(read_graph(path, directed=True)) == set(map(tuple, edges.tolist()))
    matrix = np.zeros((4, 4))
    matrix[tuple(edges.T)] = matrix[tuple(edges[:, ::-1].T)] = 2
    np.save(path, matrix)
    graph = read_graph(path)
    assert (edges_of(graph), graph.edge_weight.tolist()) == (both, [2] * 6)
    np.save(path, np.triu(matrix))
    with pytest.raises(ValueError, match=r"a\.npy: .*not symmetric can hold points or the edges"):
        read_graph(path)
    assert read_graph(path, transposed=False).pos.shape == (4, 3)


THREE = np.array([[0, 1], [1, 2], [2, 0]])


@pytest.mark.parametrize("name", ["edge_attr", "edge_features"])
def test_features_of_edges_are_read_and_other_arrays_warned_of(name: str, tmp_path: Path) -> None:
    features = np.array([[1.0, 2], [3, 4], [5, 6]])
    np.savez(tmp_path / "a.npz", edge_index=THREE.T, y=[0, 1, 0], **{name: features})
    with pytest.warns(UserWarning, match="the arrays y are not read"):
        graph = read_graph(tmp_path / "a.npz")
    assert graph.edge_attr.tolist() == features.tolist()
    assert Topology.from_data(graph).edge_attr is not None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"edge_index": THREE}, r"`edge_index` must be of shape \[2, E\]"),
        ({"edges": [[0, 1], [2, 3]]}, r"which \[2, 2\] does not tell"),
        ({"edges": np.ones((3, 3), int)}, r"\[E, 2\] or \[2, E\]"),
        ({"edges": THREE + 0.5}, "`edges` must be integers"),
        ({"edges": THREE * np.nan}, "`edges` must be integers"),
        ({"edges": THREE - 1}, "node ids from 0"),
        ({"edges": THREE, "num_nodes": 2}, "name the node 2"),
        ({"edges": THREE, "num_nodes": 3.5}, "`num_nodes` must be integers"),
        ({"edges": THREE * 2**40}, "nodes for 3 edges: number nodes from 0"),
        ({"edges": THREE, "edge_weight": [1.0]}, r"`edge_weight` must be of shape \[3\]"),
        ({"edges": THREE, "edge_weight": [1.0, np.nan, 1]}, r"finite in float32, got nan at \[1\]"),
        ({"edges": THREE, "edge_weight": [1.0, 1, 1e39]}, r"finite in float32, got 1e\+39"),
        ({"edges": THREE, "weights": [1.0]}, r"`weights` must be of shape \[3\]"),
        ({"edges": THREE, "weight": [1, 1, 1], "edge_weight": [1, 1, 1]}, "where one is expected"),
        ({"edges": THREE, "edge_index": THREE.T}, "edge_index and edges, where one is expected"),
        ({"edges": THREE, "x": 1.0}, "`x` must be a row for each node"),
        ({"edges": THREE + 1, "pos": np.ones((3, 4))}, "name the node 3, .*{'pos': 3}"),
        ({"edges": THREE, "edge_attr": [[1], [1], [1]]}, "`edge_attr` must be beside `edge_index`"),
        ({"edge_index": THREE.T, "edge_attr": [[1], [1]]}, "a row for each edge, got 2 for 3"),
        ({"edges": THREE, "edge_weight": [1j, 1, 1]}, "real numbers, got dtype complex"),
        ({"edges": THREE, "x": np.ones((4, 1)), "pos": np.ones((3, 2))}, "a row for each node"),
    ],
)
def test_arrays_that_are_refused(arrays: dict, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=rf"a\.npz: .*{message}"):
        read_graph(tmp_path / "a.npz")


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
    with pytest.raises(ValueError, match="5 bytes, expected 4 float32 per point"):
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
    path.write_text("# from a table\nCanonical_SMILES\tName\nCO\tmethanol\nCC\tethane\n")
    assert read_graph(path, item=1).node_name == ["C", "C"]
    path.write_text("smiles\n")
    with pytest.raises(ValueError, match="a molecule in each line, got none"):
        read_graph(path)
    path.write_text("no molecule\n")
    with pytest.raises(ValueError, match="SMILES that RDKit reads"):
        read_graph(path)


def test_absent_files_and_data_without_edges(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such file: .*none\.gml"):
        read_graph(tmp_path / "none.gml")
    with pytest.raises(ValueError, match="`edge_index`, `face` or `pos`"):
        connect(Data(x=torch.ones(2, 2)))
