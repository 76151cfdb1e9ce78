"""Graphs, meshes and point clouds from files."""

from __future__ import annotations

import pickle
from pathlib import Path

import networkx as nx
import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage
from torch_geometric.utils import to_undirected

from graphmask._checks import check_integer, value_error
from graphmask.datasets import read_shape
from graphmask.extras import require
from graphmask.transforms import KNNGraph, MeshToGraph

# Neighbours of a point in a cloud that has no edges.
NEIGHBOURS = 8

_EDGE_LISTS = (".edgelist", ".edges", ".csv", ".tsv", ".txt")


def read_graph(
    path: str | Path, directed: bool = False, item: int = 0, neighbours: int = NEIGHBOURS
) -> Data:
    r"""Read a graph from a file, by the ending of its name.

    * ``.obj .ply .off .stl``: a mesh, whose edges join the vertices of each triangle.
    * ``.xyz .pts .npy .ply .bin``: points, joined with their nearest neighbours; ``.bin`` is a scan
      as KITTI stores it, four float32 per point.
    * ``.npz``: ``edge_index [2, E]``, or ``edges [E, 2]`` that are read in both directions, with
      ``edge_weight``, ``pos``, ``x`` and ``num_nodes`` where present; or a mesh, or points.
    * ``.edgelist .edges .csv .tsv .txt``: two columns of node names, or three with weights, read in
      both directions unless ``directed``.
    * ``.graphml .gml``: read by networkx; the file says whether the graph is directed.
    * ``.pt``: a saved PyG ``Data``; only tensors and ``Data`` are unpickled.
    * ``.smi .smiles``: a molecule per line, drawn in the plane by RDKit.

    Args:
        path: of the file.
        directed: whether edge lists are read as they stand, source before target. (default:
            :obj:`False`)
        item: line of a file of molecules, from 0. (default: :obj:`0`)
        neighbours: of each point of a cloud without edges. (default: :obj:`8`)

    Returns:
        A graph with ``pos`` and ``face`` where the file has them, ``node_name``, a list, where
        nodes have names, and ``made_edges`` where the edges are those of nearest neighbours.

    Raises:
        OSError: for a file that cannot be read.
        ValueError: for a file of another format, or with other contents.
        MissingExtraError: where the file needs an optional package.

    Example:
        >>> import tempfile, pathlib
        >>> from graphmask.view import read_graph
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "friends.edgelist"
        >>> _ = path.write_text("ann bob\nbob cyd\n")
        >>> graph = read_graph(path)
        >>> graph.num_nodes, graph.num_edges, graph.node_name
        (3, 4, ['ann', 'bob', 'cyd'])
    """
    path, item = Path(path), check_integer("item", item, 0)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    ending = path.suffix.lower()
    if ending in _EDGE_LISTS:
        return _read_edge_list(path, directed)
    if ending in (".gml", ".graphml"):
        return _read_networkx(path)
    if ending == ".pt":
        return _read_data(path)
    if ending in (".smi", ".smiles"):
        return _read_molecule(path, item)
    if ending == ".npz" and (graph := _read_arrays(path)) is not None:
        return graph
    return connect(_read_scan(path) if ending == ".bin" else read_shape(path), neighbours)


def connect(data: Data, neighbours: int = NEIGHBOURS) -> Data:
    """Add the edges of a mesh or, for points, those of nearest neighbours; keep a graph as it is.

    Raises:
        ValueError: for data without edges, triangles and points.
    """
    if data.edge_index is not None:
        return data
    if data.get("face") is not None:
        return MeshToGraph(remove_faces=False)(data)
    if data.pos is None:
        raise value_error("data", "a graph with `edge_index`, `face` or `pos`", list(data.keys()))
    k = min(neighbours, max(1, data.pos.shape[0] - 1))
    graph = KNNGraph(k=k, force_undirected=True)(data)
    graph.made_edges = True
    return graph


def _read_edge_list(path: Path, directed: bool) -> Data:
    cells = _read_cells(path)
    ends, weight = cells[:, :2], None
    try:
        if cells.shape[1] == 3:
            weight = torch.from_numpy(cells[:, 2].astype(np.float32))
    except ValueError as error:
        raise value_error(path.name, "an edge list with numbers for weights", f"{error}") from error
    if numeric := bool(np.char.isdigit(ends).all()):
        ends = ends.astype(np.int64)
    names, index = np.unique(ends, return_inverse=True)
    # Ids are kept unless they skip most numbers, as the ids of a database do.
    keeps_ids = numeric and names.max() < 2 * len(names)
    index = ends if keeps_ids else index.reshape(-1, 2)
    edge_index, num_nodes = torch.from_numpy(index.T.copy()).long(), int(index.max()) + 1
    if not directed:
        edge_index, weight = _add_reverse(edge_index, weight, num_nodes)
    data = Data(edge_index=edge_index, edge_weight=weight, num_nodes=num_nodes)
    if num_nodes == len(names):
        data.node_name = [str(name) for name in names]
    return data


def _read_cells(path: Path) -> np.ndarray:
    """``[E, 2]`` or ``[E, 3]`` texts, without comments and headings."""
    expected = "an edge list: source, target and, if need be, weight in each line"
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line and not line.startswith(("#", "%"))]
    if not lines:
        raise value_error(path.name, expected, "an empty file")
    delimiter = next((mark for mark in (",", ";", "\t") if mark in lines[0]), None)
    try:
        cells = np.loadtxt(lines, str, comments=None, delimiter=delimiter, quotechar='"', ndmin=2)
    except ValueError as error:
        raise value_error(path.name, expected, f"{error}") from error
    if cells.shape[1] not in (2, 3):
        raise value_error(path.name, expected, f"{cells.shape[1]} columns in {lines[0][:60]!r}")
    cells = np.char.strip(cells)
    has_headings = len(cells) > 1 and not cells[0, 0].isdigit() and cells[1, 0].isdigit()
    return cells[1:] if has_headings else cells


def _add_reverse(
    edge_index: Tensor, weight: Tensor | None, num_nodes: int
) -> tuple[Tensor, Tensor | None]:
    """Every edge in both directions, each direction once, with the weight that comes first."""
    both = torch.cat([edge_index, edge_index.flip(0)], 1)
    key = both[0] * num_nodes + both[1]
    first = torch.from_numpy(np.unique(key.numpy(), return_index=True)[1])
    return both[:, first], None if weight is None else torch.cat([weight, weight])[first]


def _read_networkx(path: Path) -> Data:
    read = nx.read_gml if path.suffix.lower() == ".gml" else nx.read_graphml
    try:
        graph = read(path)
        adjacency = nx.to_scipy_sparse_array(graph, dtype=float, format="coo")
    except (nx.NetworkXError, ValueError, SyntaxError) as error:
        raise value_error(path.name, "a graph that networkx reads", f"{error}") from error
    edge_index = torch.from_numpy(np.stack([adjacency.row, adjacency.col])).long()
    data = Data(edge_index=edge_index, num_nodes=len(graph))
    if nx.get_edge_attributes(graph, "weight"):
        data.edge_weight = torch.from_numpy(adjacency.data).float()
    data.node_name = [str(values.get("label", node)) for node, values in graph.nodes(data=True)]
    pos = [(values.get("x"), values.get("y")) for _, values in graph.nodes(data=True)]
    if all(isinstance(value, (int, float)) for pair in pos for value in pair):
        data.pos = torch.tensor(pos, dtype=torch.float)
    return data


def _read_data(path: Path) -> Data:
    # Leaving `safe_globals` forgets all its classes, also those that PyG itself declared safe.
    safe = {Data, DataEdgeAttr, DataTensorAttr, GlobalStorage}
    safe -= set(torch.serialization.get_safe_globals())
    try:
        with torch.serialization.safe_globals(list(safe)):
            data = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        expected, message = "a PyG `Data` of tensors, saved by torch.save", str(error)
        raise value_error(path.name, expected, message.splitlines()[0]) from error
    if not isinstance(data, Data):
        raise value_error(path.name, "a PyG `Data`, saved by torch.save", type(data).__name__)
    return connect(data)


def _read_molecule(path: Path, item: int) -> Data:
    chem = require("rdkit.Chem", extra="molecules")
    depictor = require("rdkit.Chem.rdDepictor", extra="molecules")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if item >= len(lines):
        raise value_error("item", f"below {len(lines)}, the molecules of {path.name}", item)
    smiles = lines[item].split()[0]
    molecule = chem.MolFromSmiles(smiles)
    if molecule is None:
        raise value_error(path.name, "SMILES that RDKit reads", f"{smiles!r} in line {item + 1}")
    depictor.Compute2DCoords(molecule)
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
    return Data(
        edge_index=to_undirected(torch.tensor(bonds, dtype=torch.long).reshape(-1, 2).T),
        num_nodes=molecule.GetNumAtoms(),
        pos=torch.tensor(molecule.GetConformer().GetPositions()[:, :2], dtype=torch.float),
        node_name=[atom.GetSymbol() for atom in molecule.GetAtoms()],
    )


def _read_arrays(path: Path) -> Data | None:
    """The graph of an ``.npz`` file, or :obj:`None` where the file has no edges."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    edges = arrays.get("edges")
    if "edge_index" not in arrays and edges is not None and edges.shape[1:] == (2,):
        arrays["edge_index"] = np.concatenate([edges, edges[:, ::-1]]).T
    if "edge_index" not in arrays:
        return None
    if "node_features" in arrays:
        arrays["x"] = arrays["node_features"]
    edge_index = torch.as_tensor(arrays["edge_index"]).long()
    names = [name for name in ("pos", "x", "edge_weight") if name in arrays]
    features = {name: torch.as_tensor(arrays[name]).float() for name in names}
    lengths = [len(features[name]) for name in ("pos", "x") if name in features]
    lengths.append(int(edge_index.max()) + 1 if edge_index.numel() else 0)
    num_nodes = int(arrays.get("num_nodes", max(lengths)))
    return Data(edge_index=edge_index, num_nodes=num_nodes, **features)


def _read_scan(path: Path) -> Data:
    values = np.fromfile(path, dtype="<f4")
    if not values.size or values.size % 4 or not np.isfinite(values).all():
        expected = "a scan of finite x, y, z and intensity, four float32 per point"
        raise value_error(path.name, expected, f"{path.stat().st_size} bytes")
    points = torch.from_numpy(values.reshape(-1, 4).copy())
    return Data(pos=points[:, :3].clone(), x=points[:, 3:].clone())
