"""Graphs, meshes and point clouds from files."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphmask._checks import check_integer, value_error
from graphmask._edge_lists import read_adjacency_list, read_edge_list
from graphmask._graph_files import (
    read_array,
    read_arrays,
    read_gml,
    read_graphml,
    read_matrix_market,
)
from graphmask._saved_data import read_data
from graphmask._tables import check_not_placeholder, naming, read_text
from graphmask.datasets import read_shape
from graphmask.datasets._base import check_optional
from graphmask.datasets._files import is_shape
from graphmask.datasets._molecules import parse_smiles
from graphmask.datasets.semantic_kitti import read_points
from graphmask.extras import require
from graphmask.topology import Topology
from graphmask.transforms import KNNGraph, MeshToGraph

# Neighbours of a point in a cloud that has no edges.
NEIGHBOURS = 8

# Larger graphs have more than one edge for so many nodes.
_MOST_NODES, _NODES_PER_EDGE = 10**8, 100


def read_graph(
    path: str | Path,
    directed: bool = False,
    item: int = 0,
    neighbours: int = NEIGHBOURS,
    columns: int | None = None,
    *,
    attributes: Sequence[str] | None = None,
    color_range: float | None = None,
    transposed: bool | None = None,
) -> Data:
    r"""Read a graph from a file, by the ending of its name.

    * ``.obj .ply .off .stl``: a mesh, whose edges join the vertices of each triangle.
    * ``.xyz .pts .ply .bin``: points, joined with their nearest neighbours; ``.bin`` is a scan
      as KITTI stores it, four float32 per point, or as many as ``columns``.
    * ``.edgelist .edges .csv .tsv .txt``: lines of source and target, or of source, target and
      weight, between tabs, semicolons, commas or blanks; cells with separators stand in double
      quotes. Read in both directions unless ``directed``. A heading is recognised above numbers,
      and by words such as ``source,target`` or ``from,to``. Also tables of R's ``write.table``, of
      Gephi, whose ``Type`` says whether edges are directed, and what networkx' ``write_edgelist``
      writes; and ``.adjlist``, as of ``write_adjlist``.
    * ``.npz``: ``edge_index [2, E]``, or ``edges``, ``[E, 2]`` or ``[2, E]``, read in both
      directions unless ``directed``, with ``edge_weight [E]`` (also ``weight``, ``weights``),
      ``edge_attr [E, D]`` (``edge_features``), ``pos``, ``x`` and ``num_nodes`` where present,
      and a warning of other arrays; or a sparse adjacency matrix of scipy's ``save_npz``; or a
      mesh, or points.
    * ``.npy``: integers ``[E, 2]`` or ``[2, E]``, read as ``edges``; a symmetric adjacency matrix
      ``[N, N]`` of four nodes or more; or points.
    * ``.mtx``: an adjacency matrix, an edge from the row to the column for each entry.
    * ``.graphml .gml``: read by networkx; the file says whether the graph is directed. Weights are
      the attribute ``weight`` of edges, in capitals or not.
    * ``.pt``: a saved PyG ``Data`` or ``Batch``, with ``edge_index``, ``adj_t``, ``face`` or
      ``pos``; only tensors and these classes are unpickled. Weights are also read from ``weight``,
      as of PyG's ``from_networkx``.
    * ``.smi .smiles``: a molecule per line, below a heading or not, drawn in the plane by RDKit.

    Text is in UTF-8, or in UTF-16 with a byte-order mark, and may be compressed (``.csv.gz``).

    The nodes of an edge list are those that a line names, ids in the order of their values, other
    names in that of their letters. Parallel edges are kept: a :class:`~graphmask.Topology` sums
    their weights. An undirected edge that is listed in both directions is one edge; it must have
    one weight.

    Args:
        path: of the file.
        directed: whether edge lists, and ``edges`` of arrays, are read as they stand, source before
            target. (default: :obj:`False`)
        item: line of a file of molecules, from 0. (default: :obj:`0`)
        neighbours: of each point of a cloud without edges. (default: :obj:`8`)
        columns: numbers of each point of a ``.bin`` file. (default: :obj:`None`: 4, where the size
            of the file or its strengths leave no doubt)
        attributes: of a mesh or of points, see :func:`~graphmask.datasets.read_shape`: ``()``
            neither reads nor checks normals, colours and features. (default: :obj:`None`, all)
        color_range: see there. (default: :obj:`None`)
        transposed: see there. (default: :obj:`None`)

    Returns:
        A graph with ``pos`` and ``face`` where the file has them, ``node_name``, a list, where
        nodes have names, and ``made_edges`` where the edges are those of nearest neighbours.

    Raises:
        OSError: for a file that cannot be read.
        ValueError: for a file of another format, or with other contents: rows of different
            lengths, numbers with decimal commas, weights that are not finite in float32, node ids
            out of range. The message names the file and, in text, the line.
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
    path, item = Path(path).expanduser(), check_integer("item", item, 0)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    ending = (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()
    graph = None
    with naming(path.name):
        with open(path, "rb") as file:
            check_not_placeholder(file.read(256))
        if ending in (".smi", ".smiles"):
            graph = _read_molecule(path, item)
        elif ending == ".npz":
            graph = read_arrays(path, directed)
        elif ending == ".npy" and transposed is None:
            graph = read_array(path, directed)
        elif ending == ".bin":
            graph = connect(_read_scan(path, columns), neighbours)
        elif ending in _READERS:
            graph = _READERS[ending](path, directed)
        elif not is_shape(path):
            endings = ", ".join(sorted({*_READERS, ".bin", ".npz", ".smi", ".smiles"}))
            raise ValueError(f"the ending must be one of {endings}, or of a mesh or points")
        if graph is not None:
            _check_size(graph)
            Topology.from_data(graph)
            return graph
    shape = read_shape(path, transposed=transposed, color_range=color_range, attributes=attributes)
    return connect(shape, neighbours)


def _check_size(graph: Data) -> None:
    """Refuse more nodes than the file can mean, whose masks would not fit into memory."""
    size, count = graph.num_nodes or 0, graph.num_edges
    if size > max(_MOST_NODES, _NODES_PER_EDGE * count):
        raise ValueError(
            f"it announces {size:,} nodes for {count:,} edges: number nodes from 0, without gaps"
        )


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


def _read_molecule(path: Path, item: int) -> Data:
    depictor = require("rdkit.Chem.rdDepictor", extra="molecules")
    lines = [
        (number, line.split())
        for number, line in enumerate(io.StringIO(read_text(path)), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if lines and lines[0][1][0].lower().endswith("smiles"):  # a heading
        del lines[0]
    if not lines:
        raise ValueError("it must hold a molecule in each line, got none")
    if item >= len(lines):
        raise value_error("item", f"below {len(lines)}, the number of its molecules", item)
    number, (smiles, *_) = lines[item]
    molecule = parse_smiles(smiles)
    if molecule is None:
        raise ValueError(f"it must hold SMILES that RDKit reads, got {smiles!r} in line {number}")
    depictor.Compute2DCoords(molecule)
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
    return Data(
        edge_index=to_undirected(torch.tensor(bonds, dtype=torch.long).reshape(-1, 2).T),
        num_nodes=molecule.GetNumAtoms(),
        pos=torch.tensor(molecule.GetConformer().GetPositions()[:, :2], dtype=torch.float),
        node_name=[atom.GetSymbol() for atom in molecule.GetAtoms()],
    )


def _read_scan(path: Path, columns: int | None) -> Data:
    points = torch.from_numpy(read_points(path, check_optional("columns", columns, 3)))
    data = Data(pos=points[:, :3].clone())
    return data.update({"x": points[:, 3:].clone()} if points.shape[1] > 3 else {})


_READERS: dict[str, Callable[[Path, bool], Data]] = {
    **dict.fromkeys(
        (".edgelist", ".edges", ".csv", ".tsv", ".txt"),
        lambda path, directed: read_edge_list(read_text(path), directed),
    ),
    ".adjlist": lambda path, directed: read_adjacency_list(read_text(path), directed),
    ".gml": lambda path, _: read_gml(path),
    ".graphml": lambda path, _: read_graphml(path),
    ".mtx": lambda path, _: read_matrix_market(path),
    ".pt": lambda path, _: connect(read_data(path)),
}
