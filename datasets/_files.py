"""A reader of files of meshes and point clouds."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask.extras import MissingExtraError, require

from ._meshes import check_counts, check_faces, read_off
from ._raw_files import check_file, damaged

Arrays = Mapping[str, np.ndarray | None]

# Names of arrays in an .npz file.
NAMES = {
    "pos": ("pos", "points", "vertices", "v", "xyz"),
    "face": ("face", "faces", "triangles", "f"),
    "normal": ("normal", "normals", "n"),
    "color": ("color", "colors", "colour", "colours", "rgb"),
    "x": ("x", "features"),
}


def read_shape(path: str | os.PathLike[str]) -> Data:
    r"""Read the mesh or the point cloud of a file, in the order of the file.

    * ``.ply``, ``.obj``, ``.stl``, ``.glb`` and other formats that the installed ``trimesh`` reads.
      A file of several bodies becomes one shape. Equal corners in an ``.stl`` file, which stores
      each triangle by itself, become one vertex.
    * ``.off``: read without ``trimesh``.
    * ``.npy``: one array [N, 3 + C]; ``.xyz``, ``.pts``: a line of 3 + C numbers for each point,
      after an optional line with their count. The first three columns are the position, the others
      features.
    * ``.npz``: arrays ``pos`` (also ``points``, ``vertices``, ``v``, ``xyz``) and, optionally,
      ``face`` [F, 3] or [3, F] (``faces``, ``triangles``, ``f``), ``normal`` (``normals``, ``n``),
      ``color`` (``colors``, ``colour``, ``colours``, ``rgb``), ``x`` (``features``).

    Args:
        path: the file.

    Returns:
        ``Data(pos)`` with ``pos`` float32 of shape [N, 3], and, where the file has them, ``face``
        long of shape [3, F] (polygons become triangles), ``normal`` float32 [N, 3], ``color``
        float32 [N, 3] from 0 to 1, ``x`` float32 [N, C].

    Cost: O(size of the file).

    Raises:
        FileNotFoundError: if there is no such file.
        MissingExtraError: if the file needs ``trimesh``, which is not installed (extra ``mesh``).
        ValueError: if the file is damaged or of an unknown format.

    Example:
        >>> import os, tempfile
        >>> from graphmask.datasets import read_shape
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "triangle.off")
        ...     with open(path, "w") as file:
        ...         _ = file.write("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
        ...     read_shape(path)
        Data(pos=[3, 3], face=[3, 1])
    """
    path = check_file(path)
    if not is_shape(path):
        readable = ", ".join(sorted(READERS))
        raise ValueError(
            f"The format of {path} is unknown: expected {readable}, or a format of trimesh"
        )
    try:
        return _data(READERS.get(path.suffix.lower(), _read_with_trimesh)(path))
    except MissingExtraError:
        raise
    # The readers raise index, key, attribute and value errors.
    except Exception as error:
        raise damaged(path, error, "restore the file, or remove it to do without") from error


def read_mesh(path: str | os.PathLike[str]) -> Data:
    """Read a shape that must have triangles.

    Raises:
        ValueError: if the file holds points alone; otherwise as :func:`read_shape`.
    """
    data = read_shape(path)
    if data.face is None:
        raise damaged(path, "no face", "restore the file, or remove it to do without")
    return data


def is_shape(path: Path) -> bool:
    """Tell if :func:`read_shape` reads files of this ending."""
    ending = path.suffix.lower()
    if ending in READERS or ending in USUAL:
        return True
    try:
        formats = require("trimesh", extra="mesh").available_formats()
    except MissingExtraError:
        return False
    return ending[1:] in formats and ending not in ARCHIVES


def _data(arrays: Arrays) -> Data:
    pos = np.array(arrays["pos"], dtype=np.float32)
    face = arrays.get("face")
    if pos.ndim != 2 or pos.shape[1] != 3:
        raise ValueError(f"points of shape {list(pos.shape)}, expected [N, 3]")
    if len(pos) == 0:
        raise ValueError("no point")
    if not np.isfinite(pos).all():
        raise ValueError("a point is NaN or infinite")
    data = Data(pos=torch.from_numpy(pos))
    if face is not None:
        if face.ndim != 2 or face.shape[1] != 3:
            raise ValueError(f"faces of shape {list(face.shape)}, expected [F, 3]")
        data.face = torch.from_numpy(check_faces(pos, np.array(face, dtype=np.int64)).T.copy())
    for name in ("normal", "color", "x"):
        if (value := arrays.get(name)) is not None:
            data[name] = _check_attribute(name, np.array(value, dtype=np.float32), len(pos))
    return data


def _check_attribute(name: str, value: np.ndarray, size: int) -> Tensor:
    if value.ndim != 2 or len(value) != size or (name != "x" and value.shape[1] != 3):
        raise ValueError(f"`{name}` of shape {list(value.shape)} beside {size} points")
    if not np.isfinite(value).all():
        raise ValueError(f"`{name}` is NaN or infinite somewhere")
    return torch.from_numpy(value)


def _read_off(path: Path) -> Arrays:
    pos, face = read_off(path)
    return {"pos": pos, "face": face}


def _read_columns(path: Path) -> Arrays:
    text = path.read_text(encoding="utf-8").replace(",", " ")
    lines = [line.split() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line[0].startswith(("#", "//"))]
    if lines and len(lines[0]) == 1:
        count = int(lines.pop(0)[0])
        if count != len(lines):
            raise ValueError(f"{count} points announced, {len(lines)} lines found")
    return _split_columns(np.array(lines, dtype=np.float32))


def _read_npy(path: Path) -> Arrays:
    return _split_columns(np.load(path, allow_pickle=False))


def _split_columns(table: np.ndarray) -> Arrays:
    if table.ndim != 2 or table.shape[1] < 3:
        raise ValueError(f"a table of shape {list(table.shape)}, expected [N, 3 + C]")
    return {"pos": table[:, :3], "x": table[:, 3:] if table.shape[1] > 3 else None}


def _read_npz(path: Path) -> Arrays:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
        arrays = {
            name: next((stored[key] for key in keys if key in stored), None)
            for name, keys in NAMES.items()
        }
        names = list(stored)
    if arrays["pos"] is None:
        raise ValueError(f"no array named {' or '.join(NAMES['pos'])} among {names}")
    face, color = arrays["face"], arrays["color"]
    if face is not None and not np.issubdtype(face.dtype, np.integer):
        raise ValueError(f"faces of dtype {face.dtype}")
    if face is not None and face.ndim == 2 and face.shape[0] == 3 != face.shape[1]:
        arrays["face"] = face.T  # as PyG stores it
    if color is not None and color.dtype == np.uint8:
        arrays["color"] = color / np.float32(255)
    return arrays


def _read_with_trimesh(path: Path) -> Arrays:
    trimesh = require("trimesh", extra="mesh")
    shape = trimesh.load(path, process=False, maintain_order=True)
    if isinstance(shape, trimesh.Scene):
        shape = shape.to_mesh()
    if path.suffix.lower() == ".stl":
        shape.merge_vertices()
    face = getattr(shape, "faces", None)
    check_counts(path, len(shape.vertices), 0 if face is None else len(face))
    visual, color = shape.visual, None
    if visual.kind == "vertex" and len(visual.vertex_colors) == len(shape.vertices):
        color = visual.vertex_colors[:, :3] / np.float32(255)
    return {"pos": shape.vertices, "face": face, "normal": _stored_normals(shape), "color": color}


def _stored_normals(shape: Any) -> np.ndarray | None:
    # trimesh passes on the normals of a .ply file here; its own property may compute them.
    vertex = shape.metadata.get("_ply_raw", {}).get("vertex", {}).get("data", {})
    names = vertex.keys() if isinstance(vertex, dict) else vertex.dtype.names
    if not {"nx", "ny", "nz"} <= set(names):
        return None
    return np.stack([np.ravel(vertex[axis]) for axis in ("nx", "ny", "nz")], 1)


READERS: dict[str, Callable[[Path], Arrays]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".off": _read_off,
    ".pts": _read_columns,
    ".xyz": _read_columns,
}
# Known without trimesh, so that reading them names the missing extra.
USUAL = (".glb", ".obj", ".ply", ".stl")
ARCHIVES = (".zip", ".gz", ".bz2", ".dxf")
