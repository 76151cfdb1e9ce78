"""Graphs from files: meshes and lists of edges."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from graphmask._checks import value_error
from graphmask.extras import require
from graphmask.topology import Topology

from .graphs import Graph, undirected

_FACES = ("faces", "face", "f", "triangles", "tri")
_EDGES = ("edge_index", "edges", "edge_list")

# Arrays with a row per node, which tell of isolated nodes.
_NODES = ("vertices", "v", "pos", "points", "x", "node_features", "node_labels")


def read_graph(path: str | Path) -> Graph:
    """An undirected graph from a file, under the file's name without its ending.

    ``.npz`` files hold triangles, ``faces``, ``face``, ``f``, ``triangles`` or ``tri`` of shape
    ``[F, 3]`` or ``[3, F]``, whose sides are the edges; or edges, ``edge_index``, ``edges`` or
    ``edge_list`` of shape ``[E, 2]`` or ``[2, E]``. The number of nodes is ``num_nodes``, or the
    length of ``vertices``, ``v``, ``pos``, ``points``, ``x``, ``node_features`` or ``node_labels``,
    or else the largest id plus one. ``.csv`` files hold an edge per line, with or without a
    heading. Directions, repetitions and weights are dropped. All other files are read as meshes, by
    trimesh.

    Raises:
        MissingExtraError: for other files, without trimesh.
        ValueError: for files of other kinds or contents.
        OSError: for files that cannot be read.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "triangle.npz"
        >>> np.savez(path, v=np.eye(3), f=np.array([[0, 1, 2]]))
        >>> graph = read_graph(path)
        >>> graph.name, graph.make(0).num_edges
        ('triangle', 6)
    """
    path = Path(path)
    readers = {".npz": _read_npz, ".csv": _read_csv}
    topology = readers.get(path.suffix, _read_mesh)(path)
    if not topology.num_edges:
        raise value_error("graph", "a file with edges", str(path))
    return Graph(
        path.stem,
        f"{topology.num_nodes:,} nodes, {topology.num_edges:,} edges, both directions counted",
        lambda _: topology,
    )


def _read_npz(path: Path) -> Topology:
    with np.load(path) as arrays:
        edges = _sides(arrays, path) if _first(_FACES, arrays) else _listed(arrays, path)
        return undirected(edges, _count_nodes(arrays, edges))


def _read_csv(path: Path) -> Topology:
    with open(path, newline="", encoding="utf-8") as file:
        lines = [line[:2] for line in csv.reader(file) if line]
    body = lines if lines and all(cell.strip().isdigit() for cell in lines[0]) else lines[1:]
    try:
        edges = np.array(body, dtype=np.int64).reshape(-1, 2)
    except ValueError as error:
        raise value_error(
            "graph", "a .csv file with two node ids per line", f"{path}: {error}"
        ) from None
    return undirected(edges, int(edges.max(initial=-1)) + 1)


def _read_mesh(path: Path) -> Topology:
    trimesh = require("trimesh", extra="mesh")
    if path.suffix[1:].lower() not in trimesh.available_formats():
        raise value_error(
            "graph", "an .npz, .csv or mesh file, such as .off, .obj, .ply or .stl", str(path)
        )
    mesh = trimesh.load_mesh(path)
    arrays = {"faces": np.asarray(mesh.faces, dtype=np.int64), "vertices": mesh.vertices}
    return undirected(_sides(arrays, path), len(mesh.vertices))


def _sides(arrays: Mapping[str, np.ndarray], path: Path) -> np.ndarray:
    corners = _columns(arrays, _first(_FACES, arrays), 3, path)
    return np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])


def _listed(arrays: Mapping[str, np.ndarray], path: Path) -> np.ndarray:
    name = _first(_EDGES, arrays)
    if not name:
        keys = ", ".join((*_FACES, *_EDGES))
        raise value_error(
            "graph",
            f"an .npz file with one of {keys}",
            f"{path} with {', '.join(arrays) or 'nothing'}",
        )
    return _columns(arrays, name, 2, path)


def _columns(arrays: Mapping[str, np.ndarray], name: str, width: int, path: Path) -> np.ndarray:
    """Rows of ``width`` ids.

    A square array is read by rows, but by columns under PyG's names ``edge_index`` and ``face``.
    """
    ids = arrays[name]
    if ids.ndim != 2 or width not in ids.shape or not np.issubdtype(ids.dtype, np.integer):
        letter = "F" if width == 3 else "E"
        raise value_error(
            "graph",
            f"with integers `{name}` [{letter}, {width}] or [{width}, {letter}]",
            f"{ids.dtype} of shape {list(ids.shape)} in {path}",
        )
    by_columns = (
        name in ("edge_index", "face") if ids.shape == (width, width) else ids.shape[0] == width
    )
    return ids.T if by_columns else ids


def _count_nodes(arrays: Mapping[str, np.ndarray], edges: np.ndarray) -> int:
    if "num_nodes" in arrays:
        return int(arrays["num_nodes"])
    name = _first(_NODES, arrays)
    return len(arrays[name]) if name else int(edges.max(initial=-1)) + 1


def _first(names: Iterable[str], arrays: Mapping[str, np.ndarray]) -> str:
    return next((name for name in names if name in arrays), "")
