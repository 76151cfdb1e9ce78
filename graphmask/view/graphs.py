"""Graphs from files: edge lists, GraphML and GML, saved PyG graphs, arrays of edges, SMILES; and meshes and clouds."""

from __future__ import annotations

import csv
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import check_integer, refuse
from graphmask.extras import require
from graphmask.transforms import KNNGraph, MeshToGraph

# Neighbours of a point where a cloud has no edges of its own.
NEIGHBOURS = 8

_EDGE_LISTS = (".edgelist", ".edges", ".csv", ".tsv", ".txt")
_COMMENTS = ("#", "%")


def read_graph(path: str | Path, directed: bool = False, item: int = 0, neighbours: int = NEIGHBOURS) -> Data:
    r"""A graph from a file of any kind.

    ====================================== ==========================================================================
    ``.obj .ply .off .stl``                meshes, whose edges join the vertices of a triangle
    ``.xyz .pts .npy .ply .bin``           point clouds, joined with their nearest neighbours; ``.bin`` is a scan as KITTI
                                           stores it, four float32 per point
    ``.npz``                               ``edge_index [2, E]`` as it stands, ``edges [E, 2]`` in both directions, with
                                           ``edge_weight``, ``pos``, ``x``, ``num_nodes``; or a mesh, or a cloud
    ``.edgelist .edges .csv .tsv .txt``    two columns of node names, or three with weights; both directions are added
    ``.graphml .gml``                      through networkx, which tells whether they are directed
    ``.pt``                                a saved PyG ``Data``; nothing but tensors and ``Data`` is unpickled
    ``.smi .smiles``                       a molecule per line, drawn in the plane by RDKit
    ====================================== ==========================================================================

    Args:
        path: of the file.
        directed: whether edge lists are read as they stand, source before target. (default: :obj:`False`)
        item: which line of a file of molecules. (default: :obj:`0`)
        neighbours: of each point of a cloud without edges. (default: :obj:`8`)

    Returns:
        A graph with ``edge_index`` and ``num_nodes``; ``pos`` and ``face`` where the file has them, and ``node_name``, a list,
        where nodes have names; ``made_edges`` where those of nearest neighbours were made.

    Raises:
        OSError: for a file that cannot be read.
        ValueError: for a file of another kind, or with other contents.
        MissingExtraError: where the file needs an optional package.

    Cost: linear in the file; O(N log N) for clouds.

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
    if ending in _READERS:
        return _READERS[ending](path)
    if ending in (".smi", ".smiles"):
        return _read_molecule(path, item)
    if ending == ".npz":
        graph = _read_arrays(path)
        if graph is not None:
            return graph
    return connect(_read_shape(path), neighbours)


def connect(data: Data, neighbours: int = NEIGHBOURS) -> Data:
    """The edges of a mesh or, for points without edges, those of nearest neighbours; a graph stays as it is.

    Raises:
        ValueError: where there are neither edges nor triangles nor points.
    """
    if data.edge_index is not None:
        return data
    if data.get("face") is not None:
        return MeshToGraph()(data)
    if data.pos is None:
        raise refuse("data", "a graph with `edge_index`, `face` or `pos`", list(data.keys()))
    joined = KNNGraph(k=min(neighbours, max(1, data.pos.shape[0] - 1)), force_undirected=True)(data)
    joined.made_edges = True
    return joined


def _read_shape(path: Path) -> Data:
    from graphmask.datasets import read_shape

    return _read_scan(path) if path.suffix.lower() == ".bin" else read_shape(path)


def _read_scan(path: Path) -> Data:
    numbers = np.fromfile(path, dtype="<f4")
    if not numbers.size or numbers.size % 4 or not np.isfinite(numbers).all():
        raise refuse(
            path.name, "a scan of finite x, y, z and intensity, four float32 per point", f"{path.stat().st_size} bytes"
        )
    return Data(
        pos=torch.from_numpy(numbers.reshape(-1, 4)[:, :3].copy()), x=torch.from_numpy(numbers.reshape(-1, 4)[:, 3:].copy())
    )


def _read_arrays(path: Path) -> Data | None:
    """The graph of an ``.npz`` of edges, or :obj:`None` where it has none."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    if "edge_index" in arrays:
        edge_index = torch.from_numpy(arrays["edge_index"]).long()
    elif "edges" in arrays and arrays["edges"].ndim == 2 and arrays["edges"].shape[1] == 2:
        pairs = torch.from_numpy(arrays["edges"]).long().T
        edge_index = torch.cat([pairs, pairs.flip(0)], 1)
    else:
        return None
    found = {name: torch.from_numpy(arrays[name]).float() for name in ("pos", "x", "edge_weight") if name in arrays}
    features = arrays.get("node_features")
    counts = [
        int(edge_index.max()) + 1 if edge_index.numel() else 0,
        *(len(found[name]) for name in ("pos", "x") if name in found),
    ]
    if features is not None:
        found["x"] = torch.from_numpy(np.asarray(features)).float()
        counts.append(len(features))
    return Data(edge_index=edge_index, num_nodes=int(arrays.get("num_nodes", max(counts))), **found)


def _read_edge_list(path: Path, directed: bool) -> Data:
    rows = _read_rows(path)
    weights = _weights_of(path, rows)
    names = sorted({name for row in rows for name in row[:2]}, key=_by_number)
    whole = all(name.isdigit() for name in names)
    # Numbers are kept as they are unless they leave most nodes out, as ids of a database do.
    number = {name: int(name) for name in names} if whole else {}
    if not whole or max(number.values()) >= 2 * len(names):
        number = {name: place for place, name in enumerate(names)}
    edge_index = torch.tensor([[number[row[0]], number[row[1]]] for row in rows]).T.contiguous()
    data = Data(edge_index=edge_index, edge_weight=weights, num_nodes=max(number.values()) + 1)
    if not directed:
        data = _both_ways(data)
    if data.num_nodes == len(names):
        data.node_name = names
    return data


def _read_rows(path: Path) -> list[list[str]]:
    """Two or three cells per line; a first line of headings is left out."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line and not line.startswith(_COMMENTS)]
    comma = next((mark for mark in (",", ";", "\t") if lines and mark in lines[0]), None)
    rows = (
        [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=comma)]
        if comma
        else [line.split() for line in lines]
    )
    if len(rows) > 1 and not _is_number(rows[0][0]) and _is_number(rows[1][0]):
        rows = rows[1:]
    wrong = next((row for row in rows if len(row) not in (2, 3)), None)
    if wrong is not None or not rows:
        got = f"{len(wrong)} columns in {' '.join(wrong)[:60]!r}" if wrong else "an empty file"
        raise refuse(path.name, "an edge list: source, target and, if need be, weight in each line", got)
    return rows


def _weights_of(path: Path, rows: Sequence[Sequence[str]]) -> Tensor | None:
    if any(len(row) != len(rows[0]) for row in rows):
        raise refuse(path.name, "an edge list with a weight in every line, or in none", "some of each")
    if len(rows[0]) == 2:
        return None
    wrong = next((row[2] for row in rows if not _is_number(row[2])), None)
    if wrong is not None:
        raise refuse(path.name, "an edge list with numbers for weights", wrong)
    return torch.tensor([float(row[2]) for row in rows])


def _both_ways(data: Data) -> Data:
    """Each edge in both directions, those that are there twice once."""
    edge_index, weight = data.edge_index, data.edge_weight
    both = torch.cat([edge_index, edge_index.flip(0)], 1)
    key = both[0] * data.num_nodes + both[1]
    kept, place = torch.unique(key, return_inverse=True)
    first = torch.full_like(kept, len(key)).scatter_reduce(0, place, torch.arange(len(key)), "amin")
    weight = None if weight is None else torch.cat([weight, weight])[first]
    return Data(edge_index=both[:, first], edge_weight=weight, num_nodes=data.num_nodes)


def _by_number(name: str) -> tuple[bool, int, str]:
    return (False, int(name), "") if name.isdigit() else (True, 0, name)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_networkx(path: Path, read: Callable[[Any], nx.Graph]) -> Data:
    try:
        graph = read(path)
    except (nx.NetworkXError, ValueError, SyntaxError) as error:
        raise refuse(path.name, "a graph that networkx reads", f"{error}") from error
    place = {node: number for number, node in enumerate(graph)}
    links = [(place[a], place[b], facts.get("weight", 1.0)) for a, b, facts in graph.edges(data=True)]
    ends = torch.tensor([link[:2] for link in links], dtype=torch.long).reshape(-1, 2).T.contiguous()
    weighted = any("weight" in facts for _, _, facts in graph.edges(data=True))
    weight = torch.tensor([float(link[2]) for link in links]) if weighted else None
    data = Data(edge_index=ends, edge_weight=weight, num_nodes=len(place))
    if not graph.is_directed():
        data = _both_ways(data)
    data.node_name = [str(facts.get("label", node)) for node, facts in graph.nodes(data=True)]
    found = [[facts.get("x"), facts.get("y")] for _, facts in graph.nodes(data=True)]
    if found and all(isinstance(value, (int, float)) for pair in found for value in pair):
        data.pos = torch.tensor(found, dtype=torch.float)
    return data


def _read_gml(path: Path) -> nx.Graph:
    return nx.read_gml(path)


def _read_graphml(path: Path) -> nx.Graph:
    return nx.read_graphml(path)


def _read_saved(path: Path) -> Data:
    """A saved ``Data``; only tensors and PyG's own containers are unpickled, so that no file can run code."""
    from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
    from torch_geometric.data.storage import GlobalStorage

    try:
        with torch.serialization.safe_globals([Data, DataEdgeAttr, DataTensorAttr, GlobalStorage]):
            data = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise refuse(path.name, "a PyG `Data` of tensors, saved by torch.save", str(error).splitlines()[0]) from error
    if not isinstance(data, Data):
        raise refuse(path.name, "a PyG `Data`, saved by torch.save", type(data).__name__)
    return connect(data)


def _read_molecule(path: Path, item: int) -> Data:
    chem, placing = require("rdkit.Chem", extra="molecules"), require("rdkit.Chem.rdDepictor", extra="molecules")
    lines = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if item >= len(lines):
        raise refuse("item", f"below {len(lines)}, the molecules of {path.name}", item)
    molecule = chem.MolFromSmiles(lines[item])
    if molecule is None:
        raise refuse(path.name, "SMILES that RDKit reads", f"{lines[item]!r} in line {item + 1}")
    placing.Compute2DCoords(molecule)
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
    ends = torch.tensor(bonds, dtype=torch.long).reshape(-1, 2).T
    pos = torch.tensor(molecule.GetConformer().GetPositions()[:, :2], dtype=torch.float)
    data = _both_ways(Data(edge_index=ends, num_nodes=molecule.GetNumAtoms()))
    data.pos, data.node_name = pos, [atom.GetSymbol() for atom in molecule.GetAtoms()]
    return data


_READERS: dict[str, Callable[[Path], Data]] = {
    ".graphml": lambda path: _read_networkx(path, _read_graphml),
    ".gml": lambda path: _read_networkx(path, _read_gml),
    ".pt": _read_saved,
}
