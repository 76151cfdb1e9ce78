"""Graphs, meshes and point clouds from files."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import scipy.io
import torch
from scipy.sparse import coo_array, load_npz
from torch_geometric.data import Batch, Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import AttrType, GlobalStorage
from torch_geometric.utils import to_undirected

from graphmask._checks import check_integer, value_error
from graphmask._edge_lists import (
    add_reverse,
    edges_of_networkx,
    make_graph,
    read_adjacency_list,
    read_edge_list,
)
from graphmask._formats import read_edges
from graphmask._tables import naming, read_bytes, read_text, to_float32
from graphmask.datasets import read_shape
from graphmask.datasets._molecules import parse_smiles
from graphmask.datasets.semantic_kitti import read_points
from graphmask.extras import require
from graphmask.topology import Topology
from graphmask.transforms import KNNGraph, MeshToGraph

# Neighbours of a point in a cloud that has no edges.
NEIGHBOURS = 8


def read_graph(
    path: str | Path, directed: bool = False, item: int = 0, neighbours: int = NEIGHBOURS
) -> Data:
    r"""Read a graph from a file, by the ending of its name.

    * ``.obj .ply .off .stl``: a mesh, whose edges join the vertices of each triangle.
    * ``.xyz .pts .npy .ply .bin``: points, joined with their nearest neighbours; ``.bin`` is a scan
      as KITTI stores it, four float32 per point.
    * ``.edgelist .edges .csv .tsv .txt``: lines of source and target, or of source, target and
      weight, between tabs, semicolons, commas or blanks; cells with separators stand in double
      quotes. Read in both directions unless ``directed``. A heading is recognised above numbers,
      and by words such as ``source,target`` or ``from,to``. Also what networkx' ``write_edgelist``
      writes, and ``.adjlist``, as of ``write_adjlist``.
    * ``.npz``: ``edge_index [2, E]``, or ``edges``, ``[E, 2]`` or ``[2, E]``, read in both
      directions unless ``directed``, with ``edge_weight [E]``, ``pos``, ``x`` and ``num_nodes``
      where present; or a sparse adjacency matrix of scipy's ``save_npz``; or a mesh, or points.
    * ``.mtx``: an adjacency matrix, an edge from the row to the column for each entry.
    * ``.graphml .gml``: read by networkx; the file says whether the graph is directed.
    * ``.pt``: a saved PyG ``Data`` or ``Batch``, with ``edge_index``, ``adj_t``, ``face`` or
      ``pos``; only tensors and these classes are unpickled.
    * ``.smi .smiles``: a molecule per line, drawn in the plane by RDKit.

    Text is in UTF-8, or in UTF-16 with a byte-order mark, and may be compressed (``.csv.gz``).

    The nodes of an edge list are those that a line names, ids in the order of their values, other
    names in that of their letters. Parallel edges are kept: a :class:`~graphmask.Topology` sums
    their weights. An undirected edge that is listed in both directions is one edge; it must have
    one weight.

    Args:
        path: of the file.
        directed: whether edge lists, and ``edges`` of an ``.npz`` file, are read as they stand,
            source before target. (default: :obj:`False`)
        item: line of a file of molecules, from 0. (default: :obj:`0`)
        neighbours: of each point of a cloud without edges. (default: :obj:`8`)

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
        if ending in (".smi", ".smiles"):
            graph = _read_molecule(path, item)
        elif ending == ".npz":
            graph = _read_arrays(path, directed)
        elif ending == ".bin":
            graph = connect(_read_scan(path), neighbours)
        elif ending in _READERS:
            graph = _READERS[ending](path, directed)
        if graph is not None:
            Topology.from_data(graph)
            return graph
    return connect(read_shape(path), neighbours)


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


def _read_gml(path: Path, _: bool) -> Data:
    # Parallel edges are legal in all files, not in those alone that announce them; and labels are
    # optional.
    text = re.sub(r"^(\s*graph\s*\[)", r"\1 multigraph 1 ", read_text(path), count=1, flags=re.M)
    return _convert(lambda: nx.parse_gml(text, label=None))


def _read_graphml(path: Path, _: bool) -> Data:
    raw = read_bytes(path)

    def parse() -> nx.Graph:
        graph = nx.read_graphml(io.BytesIO(raw), force_multigraph=True)
        elements = ElementTree.fromstring(raw).iter()
        tags = Counter(element.tag.rpartition("}")[2] for element in elements)
        counts = {"graph": 1, "node": len(graph), "edge": graph.number_of_edges()}
        for tag, count in counts.items():
            if tags[tag] != count:
                raise ValueError(f"{tags[tag]} elements {tag!r}, {count} with ids of their own")
        return graph

    return _convert(parse)


def _convert(parse: Callable[[], nx.Graph]) -> Data:
    """The graph of networkx as ``Data``; each undirected edge in both directions."""
    try:
        graph = parse()
    # On damaged files networkx fails with errors of many kinds.
    except Exception as error:
        raise ValueError(f"it must be a graph that networkx reads: {error}") from error
    edges, weight = edges_of_networkx(graph)
    if not graph.is_directed():
        back = [place for place, (a, b) in enumerate(edges) if a != b]
        edges += [edges[place][::-1] for place in back]
        weight = weight and weight + [weight[place] for place in back]
    data = make_graph(list(graph), edges, weight, directed=True)
    values = [values for _, values in graph.nodes(data=True)]
    data.node_name = [
        str(value.get("label", node)) for node, value in zip(graph, values, strict=True)
    ]
    pos = [(value.get("x"), value.get("y")) for value in values]
    if pos and all(isinstance(value, (int, float)) for pair in pos for value in pair):
        data.pos = torch.from_numpy(to_float32("x, y", np.array(pos)))
    return data


def _read_matrix_market(path: Path, _: bool) -> Data:
    try:
        return _of_matrix(scipy.io.mmread(io.BytesIO(read_bytes(path))))
    except (MemoryError, OverflowError) as error:
        raise ValueError(f"it announces a matrix that is too large: {error}") from error


def _of_matrix(matrix: Any) -> Data:
    """The graph of an adjacency matrix: an edge from row to column for each entry."""
    if hasattr(matrix, "check_format"):
        matrix.check_format()
    matrix = coo_array(matrix)
    rows, columns = matrix.shape
    if rows != columns:
        raise ValueError(f"an adjacency matrix must be square, got {rows} x {columns}")
    weight = to_float32("adjacency matrix", matrix.data)
    ends = torch.from_numpy(np.stack(matrix.coords).astype(np.int64))
    data = Data(edge_index=ends, num_nodes=rows)
    if (weight != 1).any():
        data.edge_weight = torch.from_numpy(weight)
    return data


class _BatchMaker:
    """In place of PyG's ``DynamicInheritanceGetter``, whose instances torch refuses to call."""

    def __new__(cls) -> Callable[..., Batch]:  # type: ignore[misc]
        return _make_batch


def _make_batch(batch: type, base: type) -> Batch:
    if batch is not Batch or base is not Data:
        raise TypeError(f"a batch of {base.__name__}")
    return Batch(_base_cls=Data)


def _make_dict(*_: Any) -> dict[Any, Any]:
    """In place of ``defaultdict``, into which torch refuses to write."""
    return {}


@contextmanager
def _safe_globals() -> Iterator[None]:
    """Declare what a saved ``Data`` or ``Batch`` holds as safe, and nothing else afterwards."""
    before = torch.serialization.get_safe_globals()
    safe = {Batch, type(Batch()), Data, DataEdgeAttr, DataTensorAttr, GlobalStorage, AttrType}
    batch = "torch_geometric.data.batch.DynamicInheritanceGetter"
    makers = [_make_batch, (_BatchMaker, batch), (_make_dict, "collections.defaultdict")]
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals([*{*before, *safe} - {defaultdict}, *makers])
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _read_data(path: Path, _: bool) -> Data:
    expected = "it must be a PyG `Data` or `Batch` of tensors, saved by torch.save"
    try:
        # Products with sparse matrices whose indices are out of range end the process.
        with _safe_globals(), torch.sparse.check_sparse_tensor_invariants():
            data = torch.load(path, map_location="cpu", weights_only=True)
    # On damaged files torch fails with errors of many kinds.
    except Exception as error:
        unsafe = re.search(r"GLOBAL (\S+)", str(error))
        problem = (
            f"an object of {unsafe[1]}, which is not unpickled"
            if unsafe
            else next(iter(str(error).splitlines()), type(error).__name__)
        )
        raise ValueError(f"{expected}, got {problem}") from error
    if not isinstance(data, Data):
        raise ValueError(f"{expected}, got {type(data).__name__}")
    # What PyG found out about the attributes, in the defaultdict that it was; it finds out again.
    vars(data._store).pop("_cached_attr", None)
    if data.edge_index is None and "adj_t" in data:
        Topology.from_data(data)
        data.edge_index, weight, data.num_nodes = read_edges(data.adj_t)
        if weight is not None:
            data.edge_weight = weight
        del data.adj_t
    return connect(data)


def _read_molecule(path: Path, item: int) -> Data:
    depictor = require("rdkit.Chem.rdDepictor", extra="molecules")
    lines = [
        (number, line.split())
        for number, line in enumerate(io.StringIO(read_text(path)), 1)
        if line.strip()
    ]
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


def _read_arrays(path: Path, directed: bool) -> Data | None:
    """The graph of an ``.npz`` file, or :obj:`None` where the file has no edges."""
    names = ("edge_index", "edges", "edge_weight", "pos", "x", "node_features", "num_nodes")
    try:
        with np.load(path, allow_pickle=False) as file:
            if {"format", "shape", "data"} <= set(file):
                return _of_matrix(load_npz(path))
            arrays = {name: file[name] for name in names if name in file}
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"it must be a file of numpy.savez: {error}") from error
    name = next((name for name in names[:2] if name in arrays), None)
    if name is None:
        return None
    ends = _check_edges(name, arrays[name])
    weight = arrays.get("edge_weight")
    if weight is not None:
        if weight.shape not in ((ends.shape[1],), (ends.shape[1], 1)):
            expected = f"of shape [{ends.shape[1]}], as many as edges"
            raise value_error("edge_weight", expected, f"{list(weight.shape)}")
        weight = to_float32("edge_weight", weight.reshape(-1))
    if name == "edges" and not directed:
        ends, weight = add_reverse(ends, weight)
    data = Data(edge_index=torch.from_numpy(ends.copy()))
    if weight is not None:
        data.edge_weight = torch.from_numpy(weight)
    for name, key in (("pos", "pos"), ("x", "node_features"), ("x", "x")):
        if key in arrays:
            value = to_float32(key, arrays[key])
            data[name] = torch.from_numpy(value[:, None] if value.ndim == 1 else value)
    lengths = {name: len(data[name]) for name in ("pos", "x") if name in data}
    if "num_nodes" in arrays:
        lengths["num_nodes"] = int(arrays["num_nodes"].reshape(()))
    if len(set(lengths.values())) > 1:
        raise ValueError(f"its arrays must have a row for each node, got {lengths}")
    data.num_nodes = next(iter(lengths.values()), int(ends.max(initial=-1)) + 1)
    return data


def _check_edges(name: str, edges: np.ndarray) -> np.ndarray:
    """Integers ``[2, E]``: of ``edge_index`` as they are, of ``edges`` in either layout."""
    with np.errstate(invalid="ignore"):
        is_integral = edges.dtype.kind in "iuf" and (edges == edges.astype(np.int64)).all()
    if not is_integral:
        raise value_error(name, "integers", f"dtype {edges.dtype}")
    if name == "edge_index":
        if edges.ndim != 2 or edges.shape[0] != 2:
            expected = "of shape [2, E]; name edges of shape [E, 2] `edges`"
            raise value_error(name, expected, f"{list(edges.shape)}")
    elif edges.ndim != 2 or 2 not in edges.shape:
        raise value_error(name, "of shape [E, 2] or [2, E]", f"{list(edges.shape)}")
    elif edges.shape == (2, 2) and not np.array_equal(edges, edges.T):
        expected = "of shape [E, 2] or [2, E], which [2, 2] does not tell: name it `edge_index`, of"
        raise value_error(name, f"{expected} shape [2, E] with both directions", "[2, 2]")
    elif edges.shape[1] == 2:
        edges = edges.T
    return edges.astype(np.int64)


def _read_scan(path: Path) -> Data:
    points = torch.from_numpy(read_points(path))
    return Data(pos=points[:, :3].clone(), x=points[:, 3:].clone())


_READERS: dict[str, Callable[[Path, bool], Data]] = {
    **dict.fromkeys(
        (".edgelist", ".edges", ".csv", ".tsv", ".txt"),
        lambda path, directed: read_edge_list(read_text(path), directed),
    ),
    ".adjlist": lambda path, directed: read_adjacency_list(read_text(path), directed),
    ".gml": _read_gml,
    ".graphml": _read_graphml,
    ".mtx": _read_matrix_market,
    ".pt": _read_data,
}
