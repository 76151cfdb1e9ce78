"""Graphs of the formats of networkx, scipy and numpy, with all that their files announce."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import scipy.io
import torch
from scipy.sparse import coo_array, load_npz
from torch_geometric.data import Data

from ._checks import value_error
from ._edge_lists import add_reverse, edges_of_networkx, make_graph
from ._saved_data import WEIGHTS
from ._tables import is_number, read_bytes, read_text, to_float32, to_int64
from .datasets._files import local, round_features, round_weights, warn_of_arrays

# Names of arrays in an .npz file.
_EDGES = ("edge_index", "edges")
_FEATURES = ("x", "node_features")
_EDGE_FEATURES = ("edge_attr", "edge_features")

# Texts, comments and numbers of GML: whole part, exponent, and what follows without a blank.
_GML_NUMBER = re.compile(
    r'"[^"]*"|^[ \t]*#.*|(?<![\w.])([+-]?(?:\d+\.?\d*|\.\d+))([eE][+-]?\d+)?([^\s\[\]]*)',
    re.MULTILINE,
)
# Numbers of MatrixMarket, and how many stand in a line of each kind beside row and column.
_REAL = rb"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|inf|infinity)"
_FIELDS = {b"pattern": 0, b"real": 1, b"double": 1, b"integer": 1, b"complex": 2}


def read_gml(path: Path) -> Data:
    """Read a GML file; nodes without a label or name are named by their ids."""
    # Parallel edges are legal in all files, not in those alone that announce them; and labels are
    # optional.
    text = _with_points(read_text(path))
    text = re.sub(r"^([ \t]*graph\s*\[)", r"\1 multigraph 1 ", text, count=1, flags=re.M)

    def parse() -> nx.Graph:
        graph = nx.parse_gml(text, label=None)
        values = nx.get_edge_attributes(graph, "value")
        is_number = [isinstance(value, (int, float)) for value in values.values()]
        if all(is_number) and len(values) == graph.number_of_edges():
            # M. Newman's files and Gephi's weigh edges by it.
            values |= nx.get_edge_attributes(graph, "weight")
            nx.set_edge_attributes(graph, values, "weight")
        return graph

    return _convert(parse)


def _with_points(text: str) -> str:
    """Write ``1e-3`` as ``1.0e-3``: networkx takes the letter for the name of an attribute.

    Raises:
        ValueError: for a number that other characters follow.
    """

    def replace(match: re.Match[str]) -> str:
        number, exponent, rest = match.groups()
        if rest:
            line = text.count("\n", 0, match.start()) + 1
            raise ValueError(f"line {line}: {match[0][:60]!r} is no number: write decimal points")
        return match[0] if exponent is None or "." in number else f"{number}.0{exponent}"

    return _GML_NUMBER.sub(replace, text)


def read_graphml(path: Path) -> Data:
    """Read a GraphML file of one graph, in the encoding that it declares."""
    raw = read_bytes(path)

    def parse() -> nx.Graph:
        graph = nx.read_graphml(io.BytesIO(raw), edge_key_type=str, force_multigraph=True)
        elements = list(ElementTree.fromstring(raw).iter())
        tags = Counter(_tag(element) for element in elements)
        counts = {"graph": 1, "node": len(graph), "edge": graph.number_of_edges()}
        for tag, count in counts.items():
            if tags[tag] != count:
                raise ValueError(f"{tags[tag]} elements {tag!r}, {count} with ids of their own")
        defaults = _common_defaults(elements)
        graph.graph["edge_default"] = defaults | graph.graph.get("edge_default", {})
        return graph

    return _convert(parse)


def _tag(element: ElementTree.Element) -> str:
    """The name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def _common_defaults(elements: Sequence[ElementTree.Element]) -> dict[str, float]:
    """Default numbers of keys for nodes and edges alike, which networkx leaves out."""
    defaults = {}
    for key in elements:
        if _tag(key) == "key" and key.get("for", "all") == "all":
            for child in key:
                if _tag(child) == "default" and is_number(text := (child.text or "").strip()):
                    defaults[key.get("attr.name", "")] = float(text)
    return defaults


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
        str(value.get("label", value.get("name", node)))
        for node, value in zip(graph, values, strict=True)
    ]
    pos = [(value.get("x"), value.get("y")) for value in values]
    if pos and all(isinstance(value, (int, float)) for pair in pos for value in pair):
        data.update(local(np.array(pos), 2))
    return data


def read_matrix_market(path: Path) -> Data:
    """Read the adjacency matrix of a MatrixMarket file."""
    raw = read_bytes(path)
    _check_lines(raw)
    try:
        matrix = scipy.io.mmread(io.BytesIO(raw))
        if raw.partition(b"\n")[0].split()[-1].lower() != b"general":
            _check_pairs(coo_array(matrix))
        return _of_matrix(matrix)
    except (MemoryError, OverflowError) as error:
        raise ValueError(f"it announces a matrix that is too large: {error}") from error


def _check_pairs(matrix: coo_array) -> None:
    """Check that a symmetric file has one triangle: of pairs in both the values would be doubled.

    Raises:
        ValueError: naming the first pair that is listed twice.
    """
    row, column = (ends.astype(np.int64) for ends in matrix.coords)
    key, counts = np.unique(row * matrix.shape[1] + column, return_counts=True)
    if (counts > 1).any():
        a, b = divmod(int(key[counts > 1][0]), matrix.shape[1])
        raise ValueError(
            f"a symmetric matrix lists each pair once, below its diagonal: {a + 1} and {b + 1} are "
            "listed twice; write `general` into the first line where both directions are listed"
        )


def _check_lines(raw: bytes) -> None:
    """Check that lines of entries are whole numbers: scipy passes over what follows their digits.

    Raises:
        ValueError: naming the first other line.
    """
    banner = raw.partition(b"\n")[0].lower().split()
    if len(banner) < 4 or banner[3] not in _FIELDS:  # scipy tells what is wrong with it
        return
    numbers = [_REAL] * _FIELDS[banner[3]]
    if banner[2] == b"coordinate":
        numbers = [rb"\d+", rb"\d+", *numbers]
    size = re.compile(rb"(?:[ \t]*%.*\n|\s*\n)*[^%\n]*\n?").match(raw)
    other = rb"^(?![ \t]*(?:%s)?[ \t]*\r?$).*" % rb"[ \t]+".join(numbers)
    found = re.compile(other, re.MULTILINE | re.IGNORECASE).search(raw, size.end() if size else 0)
    if found:
        number = raw.count(b"\n", 0, found.start()) + 1
        text = found[0].strip()[:60].decode("latin-1")
        expected = f"expected {len(numbers)} numbers, with decimal points"
        raise ValueError(f"line {number}: {text!r}, {expected}")


def _of_matrix(matrix: Any) -> Data:
    """The graph of an adjacency matrix: an edge from row to column for each entry."""
    if hasattr(matrix, "check_format"):
        matrix.check_format()
    matrix = coo_array(matrix)
    rows, columns = matrix.shape
    if rows != columns:
        raise ValueError(f"an adjacency matrix must be square, got {rows} x {columns}")
    weight = round_weights("adjacency matrix", matrix.data)
    ends = torch.from_numpy(np.stack(matrix.coords).astype(np.int64))
    data = Data(edge_index=ends, num_nodes=rows)
    if (weight != 1).any():
        data.edge_weight = torch.from_numpy(weight)
    return data


def read_arrays(path: Path, directed: bool) -> Data | None:
    """The graph of an ``.npz`` file, or :obj:`None` where the file has no edges."""
    names = (*_EDGES, *WEIGHTS, *_FEATURES, *_EDGE_FEATURES, "pos", "num_nodes")
    try:
        with np.load(path, allow_pickle=False) as file:
            if {"format", "shape", "data"} <= set(file):
                return _of_matrix(load_npz(path))
            arrays = {name: file[name] for name in names if name in file}
            others = [name for name in file if name not in names]
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"it must be a file of numpy.savez: {error}") from error
    if (name := _find_name(arrays, _EDGES)) is None:
        return None
    ends, weight = _check_edges(name, arrays[name]), None
    if (weights := _find_name(arrays, WEIGHTS)) is not None:
        weight = arrays[weights]
        if weight.shape not in ((ends.shape[1],), (ends.shape[1], 1)):
            expected = f"of shape [{ends.shape[1]}], as many as edges"
            raise value_error(weights, expected, f"{list(weight.shape)}")
        weight = round_weights(weights, weight.reshape(-1))
    warn_of_arrays(others)
    features = _find_name(arrays, _EDGE_FEATURES)
    if name == "edges" and not directed:
        if features is not None:
            expected = "beside `edge_index`, since it has a row for each direction of an edge"
            raise value_error(features, expected, "it beside `edges`, or pass `directed=True`")
        ends, weight = add_reverse(ends, weight)
    data = _make_data(ends, weight)
    if features is not None:
        data.edge_attr = _read_features("edge_attr", features, arrays[features])
        if len(data.edge_attr) != ends.shape[1]:
            got = f"{len(data.edge_attr)} for {ends.shape[1]} edges"
            raise value_error(features, "of a row for each edge", got)
    if "pos" in arrays:
        pos = _by_row("pos", arrays["pos"])
        data.update(local(pos, None) if len(pos) else {"pos": torch.zeros(pos.shape)})
    if (name := _find_name(arrays, _FEATURES)) is not None:
        data.x = _read_features("x", name, arrays[name])
    lengths = {name: len(data[name]) for name in ("pos", "x") if name in data}
    if "num_nodes" in arrays:
        lengths["num_nodes"] = int(to_int64("num_nodes", arrays["num_nodes"]).reshape(()))
    if len(set(lengths.values())) > 1:
        raise ValueError(f"its arrays must have a row for each node, got {lengths}")
    last = int(ends.max(initial=-1))
    data.num_nodes = next(iter(lengths.values()), last + 1)
    if last >= data.num_nodes:
        raise ValueError(f"its edges name the node {last}, its arrays have rows for {lengths}")
    return data


def read_array(path: Path, directed: bool) -> Data | None:
    """The graph of an ``.npy`` file, of edges or an adjacency matrix; :obj:`None` for points."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        rows, columns = array.shape
    # Of a damaged file the reader of points tells more.
    except Exception:
        return None
    if array.dtype.kind in "iu" and 2 in array.shape:
        ends = _check_edges("edges", np.asarray(array))
        data = _make_data(*((ends, None) if directed else add_reverse(ends, None)))
        data.num_nodes = int(ends.max(initial=-1)) + 1
        return data
    if rows != columns or rows < 4:
        return None
    if not np.array_equal(array, array.T):
        raise ValueError(
            f"an array of shape [{rows}, {rows}] that is not symmetric can hold points or the "
            "edges of a directed graph: pass `transposed`, as of points, or save the edges as "
            "`edge_index` of an .npz file"
        )
    return _of_matrix(array)


def _find_name(arrays: Mapping[str, np.ndarray], names: tuple[str, ...]) -> str | None:
    """Find which of these names the arrays have, if any."""
    found = [name for name in names if name in arrays]
    if len(found) > 1:
        raise ValueError(f"arrays {' and '.join(found)}, where one is expected")
    return found[0] if found else None


def _make_data(ends: np.ndarray, weight: np.ndarray | None) -> Data:
    data = Data(edge_index=torch.from_numpy(ends.copy()))
    if weight is not None:
        data.edge_weight = torch.from_numpy(weight)
    return data


def _read_features(attribute: str, name: str, value: np.ndarray) -> torch.Tensor:
    value = _by_row(name, value)
    to_float32(name, value)
    return torch.from_numpy(round_features(attribute, value))


def _by_row(name: str, value: np.ndarray) -> np.ndarray:
    if value.ndim == 0:
        raise value_error(name, "a row for each node or edge", f"{value}")
    return value[:, None] if value.ndim == 1 else value


def _check_edges(name: str, edges: np.ndarray) -> np.ndarray:
    """Integers ``[2, E]``: of ``edge_index`` as they are, of ``edges`` in either layout."""
    edges = to_int64(name, edges)
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
        return edges.T
    return edges
