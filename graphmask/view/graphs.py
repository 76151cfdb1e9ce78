"""Graphs from files: edge lists, GraphML and GML, saved PyG graphs, arrays of edges, SMILES.

And meshes and clouds.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch_geometric.data import Data

from graphmask._checks import check_integer, value_error
from graphmask.extras import require
from graphmask.transforms import KNNGraph, MeshToGraph

from .edge_lists import both_ways, read_edge_list

# Neighbours of a point where a cloud has no edges of its own.
NEIGHBOURS = 8

_EDGE_LISTS = (".edgelist", ".edges", ".csv", ".tsv", ".txt")


def read_graph(
    path: str | Path, directed: bool = False, item: int = 0, neighbours: int = NEIGHBOURS
) -> Data:
    r"""A graph from a file of any kind.

    ======================================
    ========================================================================== ``.obj .ply .off
    .stl``                meshes, whose edges join the vertices of a triangle ``.xyz .pts .npy .ply
    .bin``           point clouds, joined with their nearest neighbours; ``.bin`` is a scan as KITTI
                                           stores it, four float32 per point
    ``.npz``                               ``edge_index [2, E]`` as it stands, ``edges [E, 2]`` in both directions, with
                                           ``edge_weight``, ``pos``, ``x``, ``num_nodes``; or a
                                           mesh, or a cloud
    ``.edgelist .edges .csv .tsv .txt``    two columns of node names, or three with weights; both directions are added
    ``.graphml .gml``                      through networkx, which tells whether they are directed
    ``.pt``                                a saved PyG ``Data``; nothing but tensors and ``Data`` is unpickled
    ``.smi .smiles``                       a molecule per line, drawn in the plane by RDKit
    ======================================
    ==========================================================================

    Args:
        path: of the file.
        directed: whether edge lists are read as they stand, source before target. (default:
            :obj:`False`)
        item: which line of a file of molecules. (default: :obj:`0`)
        neighbours: of each point of a cloud without edges. (default: :obj:`8`)

    Returns:
        A graph with ``edge_index`` and ``num_nodes``; ``pos`` and ``face`` where the file has them,
        and ``node_name``, a list, where nodes have names; ``made_edges`` where those of nearest
        neighbours were made.

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
        return read_edge_list(path, directed)
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
    """The edges of a mesh or, for points without edges, those of nearest neighbours.

    A graph stays as it is.

    Raises:
        ValueError: where there are neither edges nor triangles nor points.
    """
    if data.edge_index is not None:
        return data
    if data.get("face") is not None:
        return MeshToGraph(remove_faces=False)(data)
    if data.pos is None:
        raise value_error("data", "a graph with `edge_index`, `face` or `pos`", list(data.keys()))
    joined = KNNGraph(k=min(neighbours, max(1, data.pos.shape[0] - 1)), force_undirected=True)(data)
    joined.made_edges = True
    return joined


def _read_shape(path: Path) -> Data:
    from graphmask.datasets import read_shape

    return _read_scan(path) if path.suffix.lower() == ".bin" else read_shape(path)


def _read_scan(path: Path) -> Data:
    numbers = np.fromfile(path, dtype="<f4")
    if not numbers.size or numbers.size % 4 or not np.isfinite(numbers).all():
        raise value_error(
            path.name,
            "a scan of finite x, y, z and intensity, four float32 per point",
            f"{path.stat().st_size} bytes",
        )
    return Data(
        pos=torch.from_numpy(numbers.reshape(-1, 4)[:, :3].copy()),
        x=torch.from_numpy(numbers.reshape(-1, 4)[:, 3:].copy()),
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
    found = {
        name: torch.from_numpy(arrays[name]).float()
        for name in ("pos", "x", "edge_weight")
        if name in arrays
    }
    features = arrays.get("node_features")
    counts = [
        int(edge_index.max()) + 1 if edge_index.numel() else 0,
        *(len(found[name]) for name in ("pos", "x") if name in found),
    ]
    if features is not None:
        found["x"] = torch.from_numpy(np.asarray(features)).float()
        counts.append(len(features))
    return Data(edge_index=edge_index, num_nodes=int(arrays.get("num_nodes", max(counts))), **found)


def _read_networkx(path: Path, read: Callable[[Any], nx.Graph]) -> Data:
    try:
        graph = read(path)
    except (nx.NetworkXError, ValueError, SyntaxError) as error:
        raise value_error(path.name, "a graph that networkx reads", f"{error}") from error
    place = {node: number for number, node in enumerate(graph)}
    links = [
        (place[a], place[b], facts.get("weight", 1.0)) for a, b, facts in graph.edges(data=True)
    ]
    ends = (
        torch.tensor([link[:2] for link in links], dtype=torch.long).reshape(-1, 2).T.contiguous()
    )
    weighted = any("weight" in facts for _, _, facts in graph.edges(data=True))
    weight = torch.tensor([float(link[2]) for link in links]) if weighted else None
    data = Data(edge_index=ends, edge_weight=weight, num_nodes=len(place))
    if not graph.is_directed():
        data = both_ways(data)
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

    # On leaving, torch forgets all that is named here, what PyG has declared safe itself included.
    declared = torch.serialization.get_safe_globals()
    absent = [
        kind for kind in (Data, DataEdgeAttr, DataTensorAttr, GlobalStorage) if kind not in declared
    ]
    try:
        with torch.serialization.safe_globals(absent):
            data = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise value_error(
            path.name, "a PyG `Data` of tensors, saved by torch.save", str(error).splitlines()[0]
        ) from error
    if not isinstance(data, Data):
        raise value_error(path.name, "a PyG `Data`, saved by torch.save", type(data).__name__)
    return connect(data)


def _read_molecule(path: Path, item: int) -> Data:
    chem, placing = (
        require("rdkit.Chem", extra="molecules"),
        require("rdkit.Chem.rdDepictor", extra="molecules"),
    )
    lines = [
        line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
    ]
    if item >= len(lines):
        raise value_error("item", f"below {len(lines)}, the molecules of {path.name}", item)
    molecule = chem.MolFromSmiles(lines[item])
    if molecule is None:
        raise value_error(
            path.name, "SMILES that RDKit reads", f"{lines[item]!r} in line {item + 1}"
        )
    placing.Compute2DCoords(molecule)
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
    ends = torch.tensor(bonds, dtype=torch.long).reshape(-1, 2).T
    pos = torch.tensor(molecule.GetConformer().GetPositions()[:, :2], dtype=torch.float)
    data = both_ways(Data(edge_index=ends, num_nodes=molecule.GetNumAtoms()))
    data.pos, data.node_name = pos, [atom.GetSymbol() for atom in molecule.GetAtoms()]
    return data


_READERS: dict[str, Callable[[Path], Data]] = {
    ".graphml": lambda path: _read_networkx(path, _read_graphml),
    ".gml": lambda path: _read_networkx(path, _read_gml),
    ".pt": _read_saved,
}
