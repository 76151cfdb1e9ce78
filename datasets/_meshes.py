"""Readers of meshes that keep the vertices of a file as they stand, and points on a surface."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphmask.extras import require

from ._raw_files import TruncatedError, read_text

Arrays = Mapping[str, Any]  # arrays by name, or None
Line = tuple[int, str]  # its number in the file, and its text

# Properties of vertices in .ply files, in the spellings in use.
_NORMALS = (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z"))
_COLOURS = (
    ("red", "green", "blue"),
    ("diffuse_red", "diffuse_green", "diffuse_blue"),
    ("r", "g", "b"),
)
_ALPHA = ("alpha", "diffuse_alpha", "a")
_CORNERS = ("vertex_indices", "vertex_index")
# Statements of .obj files: of free-form curves and surfaces, and of other files.
_FREE_FORMS = ("curv", "curv2", "surf", "call")


def read_off(path: Path) -> Arrays:
    """Read a text file of the Object File Format: OFF, NOFF (normals), COFF (colours) and CNOFF.

    Numbers after a position and its normal are a colour, whatever the header says.
    """
    lines = text_lines(read_text(path))
    if lines and re.match(r"\s*4?nOFF", lines[0][1]):
        raise ValueError("nOFF, of any number of dimensions, is not read")
    # Some files of ModelNet40 have no line break between "OFF" and the counts.
    header = re.match(r"\s*(\w*?)OFF(.*)", lines[0][1].upper() if lines else "")
    if header is None:
        raise ValueError("no OFF header")
    if header[1] not in ("", "C", "N", "CN", "NC") or "BINARY" in header[2]:
        raise ValueError(f"{header[0].strip()}: only OFF, NOFF, COFF and CNOFF in text are read")
    lines[:1] = [(lines[0][0], header[2])] if header[2].strip() else []
    if not lines:
        raise TruncatedError("no line after the header")
    counts = lines[0][1].split()[:2]
    if len(counts) < 2 or not all(count.isdecimal() for count in counts):
        raise ValueError(f"line {lines[0][0]}: {' '.join(counts)[:60]!r}, expected two counts")
    num_vertices, num_faces = map(int, counts)
    announced = f"{num_vertices} vertices and {num_faces} faces"
    if not header[1] and num_vertices + num_faces > len(lines) - 1:
        lines[1:] = _off_lines(lines[1:], num_vertices, num_faces) or lines[1:]
    check_count(announced, num_vertices + num_faces, len(lines) - 1)
    table, faces = read_lines(lines[1 : 1 + num_vertices]), lines[1 + num_vertices :]
    start = 6 if "N" in header[1] else 3
    if table.shape[1] not in (start, start + 3, start + 4):
        raise ValueError(f"vertices of {table.shape[1]} numbers in a file {header[1]}OFF")
    return {
        "pos": table[:, :3],
        "normal": table[:, 3:6] if start == 6 else None,
        "color": _text_colours(table[:, start:]),
        "face": _off_triangles(faces, num_vertices) if faces else None,
    }


def _off_lines(lines: Sequence[Line], num_vertices: int, num_faces: int) -> list[Line]:
    """Break lines of several vertices or faces; none where the numbers are not as many."""
    values = [(number, value) for number, line in lines for value in line.split()]
    sizes, place = [3] * num_vertices, 3 * num_vertices
    while len(sizes) < num_vertices + num_faces and place < len(values):
        if not values[place][1].isdecimal():
            return []
        sizes.append(int(values[place][1]) + 1)
        place += sizes[-1]
    if place != len(values) or len(sizes) != num_vertices + num_faces:
        return []
    ends = np.cumsum(sizes)
    return [
        (values[end - size][0], " ".join(value for _, value in values[end - size : end]))
        for size, end in zip(sizes, ends.tolist(), strict=True)
    ]


def _off_triangles(lines: Sequence[Line], num_vertices: int) -> np.ndarray:
    places = [number for number, _ in lines]
    try:
        table = np.loadtxt([line for _, line in lines], np.int64, comments=None, ndmin=2)
        if (table[:, 0] == table.shape[1] - 1).all():
            return triangles(table[:, 1:].ravel(), table[:, 0], num_vertices, places, True)
    except ValueError:  # polygons of several sizes, or colours of faces
        pass
    corners: list[str] = []
    sizes: list[int] = []
    for number, line in lines:
        size, *values = line.split()
        if not size.isdecimal() or len(values) < int(size):
            kind = TruncatedError if number == places[-1] else ValueError
            raise kind(f"line {number}: a face announces {size} corners, got {line.strip()!r}")
        corners += values[: int(size)]
        sizes.append(int(size))
    return triangles(np.array(corners, np.int64), np.array(sizes), num_vertices, places, True)


def read_obj(path: Path) -> Arrays:
    """Read a Wavefront file: all its bodies, groups and materials as one mesh.

    Corners that count back from the last vertex before them are those of their own body. Normals
    are kept where each vertex has one.
    """
    text = read_text(path)
    vertices: list[Line] = []
    normals: list[Line] = []
    corners: list[str] = []
    faces: list[tuple[int, int, int, int]] = []  # line, size, vertices and normals before it
    num_lines = 0
    for number, line in text_lines(re.sub(r"\\\r?\n", " ", text)):
        kind, *rest = line.split(None, 1)
        kind = kind.lower()
        if kind == "v":
            vertices.append((number, (rest or "-")[0]))
        elif kind == "vn":
            normals.append((number, (rest or "-")[0]))
        elif kind == "l":
            num_lines += 1
        elif kind in _FREE_FORMS:
            raise ValueError(
                f"line {number}: {kind!r}, curves, surfaces and calls of other files are not read: "
                "save the shape as triangles"
            )
        elif kind in ("f", "fo"):  # as faces were called in files of old
            values = rest[0].split() if rest else []
            corners += values
            faces.append((number, len(values), len(vertices), len(normals)))
    _warn_of_edges(path, num_lines, "lines")
    # MeshLab writes counts into comments.
    for name, count in re.findall(r"^# (Vertices|Faces): (\d+)", text[:10_000], re.MULTILINE):
        if int(count) > len(vertices if name == "Vertices" else faces):
            raise TruncatedError(f"{count} {name.lower()} announced, fewer found")
    table = read_lines(vertices)
    if table.shape[1] not in (3, 4, 6):
        raise ValueError(f"vertices of {table.shape[1]} numbers, expected 3, 4 or 6")
    lines, sizes, *before = np.array(faces, np.int64).reshape(-1, 4).T
    bounds = [np.repeat(count, sizes) for count in before]
    names = [value.partition("/")[0] for value in corners]
    vertex = _obj_indices(names, bounds[0], lines, sizes)
    return {
        "pos": table[:, :3],
        "normal": _obj_normals(read_lines(normals), corners, vertex, bounds[1], len(table)),
        "color": _text_colours(table[:, 3:6]) if table.shape[1] == 6 else None,
        "face": triangles(vertex, sizes, len(table), lines) if faces else None,
    }


def _obj_indices(
    names: Sequence[str], before: np.ndarray, lines: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """Return indices from 0: names count from 1, or back from the last one before their line."""
    try:
        index = np.array(names, np.str_).astype(np.int64)
    except ValueError as error:
        first = next(k for k, name in enumerate(names) if not is_number(name, int))
        line = lines[np.searchsorted(np.cumsum(sizes), first, side="right")]
        raise ValueError(f"line {line}: a face with a corner {names[first]!r}") from error
    return np.where(index > 0, index - 1, np.where(index < 0, before + index, -1))


def _obj_normals(
    normals: np.ndarray, corners: Sequence[str], vertex: np.ndarray, before: np.ndarray, size: int
) -> np.ndarray | None:
    """Return the normals of vertices, if each has one."""
    if not corners:  # a cloud
        return normals if len(normals) == size > 0 else None
    names = [value.split("/")[2:] for value in corners] if len(normals) else [[]]
    if not all(len(name) == 1 and is_number(name[0], int) for name in names):
        return None
    index = _obj_indices([name[0] for name in names], before, vertex, vertex)
    if index.min() < 0 or index.max() >= len(normals) or len(np.unique(vertex)) < size:
        return None
    normal = np.empty((size, 3))
    normal[vertex] = normals[index]
    return normal if np.array_equal(normal[vertex], normals[index]) else None


def read_ply(path: Path) -> Arrays:
    """Read a polygon file, text or binary, with all the properties of its vertices."""
    plyfile = require("plyfile", extra="mesh")
    header = path.read_bytes()[: 2**16].partition(b"end_header")[0]
    lists = re.findall(rb"property list \S+ \S+ (\S+)", header)
    try:
        try:
            # Faces that are all triangles are read as an array.
            ply = _read_ply(plyfile, path, header, {name.decode("latin-1"): 3 for name in lists})
        except plyfile.PlyElementParseError as error:
            if not lists or "early end-of-line" in str(error):
                raise
            ply = _read_ply(plyfile, path, header, {})
    except plyfile.PlyParseError as error:
        element = getattr(error, "element", None)
        is_last = element is not None and error.row == element.count - 1
        is_cut = "end-of-file" in str(error) or (is_last and "early end-of-line" in str(error))
        raise (TruncatedError if is_cut else ValueError)(error) from error
    if "vertex" not in ply or "tristrips" in ply:
        raise ValueError("no element vertex, or triangle strips, which are not read")
    _warn_of_edges(path, len(ply["edge"].data) if "edge" in ply else 0, "edges")
    vertex = ply["vertex"]
    scalars = [item.name for item in vertex.properties if not hasattr(item, "len_dtype")]
    colours, normals = _find_names(scalars, _COLOURS), _find_names(scalars, _NORMALS)
    used = {"x", "y", "z", *colours, *normals}
    used |= {name for name in scalars if colours and name.lower() in _ALPHA}
    pos = _columns(vertex, ["x", "y", "z"])
    return {
        "pos": pos,
        "normal": _columns(vertex, normals),
        "color": _columns(vertex, colours),
        "x": _columns(vertex, [name for name in scalars if name not in used]),
        "face": _ply_triangles(ply["face"], len(vertex.data)) if "face" in ply else None,
    }


def _warn_of_edges(path: Path, count: int, kind: str) -> None:
    """Warn of edges that are no sides of faces."""
    if count:
        remedy = "save them as `edge_index` of an .npz file, with `pos`, to read them as a graph"
        warnings.warn(
            f"{path.name} has {count} {kind} beside its vertices and faces, which are not read: "
            f"{remedy}",
            stacklevel=5,
        )


def _read_ply(plyfile: Any, path: Path, header: bytes, sizes: Mapping[str, int]) -> Any:
    stream: Any
    if b"format ascii" in header.replace(b"\0", b""):  # in UTF-16, too
        lines = (line for line in read_text(path).splitlines() if line.strip())
        # plyfile refuses comments with other characters.
        text = "".join(f"{line}\n" for line in lines)
        stream = io.StringIO(text.encode("ascii", "replace").decode())
    elif header.isascii():
        stream = open(path, "rb")  # noqa: SIM115
    else:
        rest = path.read_bytes()[len(header) :]
        stream = io.BytesIO(header.decode("latin-1").encode("ascii", "replace") + rest)
    with stream:
        ply = plyfile.PlyData.read(stream, known_list_len={"face": sizes})
        if stream.read(1024).strip():
            raise ValueError("more follows than the header announces")
    return ply


def _find_names(names: Sequence[str], spellings: Sequence[Sequence[str]]) -> list[str]:
    """Names of the first spelling that is there, in capitals or not; none without one."""
    by_name = {name.lower(): name for name in names}
    found = (spelling for spelling in spellings if set(spelling) <= by_name.keys())
    return [by_name[name] for name in next(found, ())]


def _columns(element: Any, names: Sequence[str]) -> np.ndarray | None:
    return np.stack([element[name] for name in names], 1) if names else None


def _ply_triangles(face: Any, num_vertices: int) -> np.ndarray | None:
    name = next((name for name in _CORNERS if name in face), None)
    if not len(face.data):
        return None
    if name is None:
        raise ValueError(f"faces without {' or '.join(_CORNERS)}")
    polygons = face[name]
    if polygons.dtype == object:
        sizes = np.array([len(polygon) for polygon in polygons])
        corners = np.concatenate(polygons.tolist())
    else:
        sizes, corners = np.full(len(polygons), polygons.shape[1]), np.ravel(polygons)
    return triangles(corners.astype(np.int64), sizes, num_vertices)


def read_with_trimesh(path: Path) -> Arrays:
    """Read a file of another format, all its bodies at their places in the scene."""
    trimesh = require("trimesh", extra="mesh")
    _check_length(path)
    try:
        shape = trimesh.load(path, process=False, maintain_order=True)
    except FileNotFoundError as error:
        raise ValueError(f"it needs {error} beside it") from error
    has_colors = True
    if isinstance(shape, trimesh.Scene):
        # trimesh invents colours of bodies that have none.
        has_colors = all(body.visual.kind == "vertex" for body in shape.geometry.values())
        shape = _join_bodies(trimesh, shape)
    pos, face, color = shape.vertices, getattr(shape, "faces", None), None
    if path.suffix.lower() == ".stl" and face is not None:
        pos, face = _join_corners(pos, face)
    elif (
        has_colors and shape.visual.kind == "vertex" and len(shape.visual.vertex_colors) == len(pos)
    ):
        color = shape.visual.vertex_colors[:, :3]
    return {"pos": pos, "face": face, "color": color}


def _join_bodies(trimesh: Any, scene: Any) -> Any:
    """Make one mesh, or one cloud, of all bodies of a scene at their places."""
    bodies = scene.dump()
    kinds = sorted({type(body).__name__ for body in bodies})
    if kinds == ["PointCloud"]:
        points = np.concatenate([body.vertices for body in bodies])
        has_colors = all(len(body.colors) == len(body.vertices) for body in bodies)
        colors = np.concatenate([body.colors for body in bodies]) if has_colors else None
        return trimesh.PointCloud(points, colors)
    if len(kinds) > 1:
        raise ValueError(f"bodies of several kinds, {' and '.join(kinds)}: save each by itself")
    return scene.to_mesh()


def _check_length(path: Path) -> None:
    """Check the size of a file against its header, and the facets of a text."""
    content, ending = path.read_bytes(), path.suffix.lower()
    announced = 0
    if ending == ".glb":
        announced = int.from_bytes(content[8:12], "little")
    elif ending == ".stl":
        announced = 84 + 50 * int.from_bytes(content[80:84], "little")
        if content.lstrip()[:5].lower() == b"solid" and len(content) != announced:  # a text
            announced, text = 0, content.lower()
            begun, ended = len(re.findall(rb"\bfacet\s+normal", text)), text.count(b"endfacet")
            if begun != ended or b"endsolid" not in text[-1000:]:
                raise TruncatedError(f"{begun} facets, {ended} that end, and then no endsolid")
        elif len(content) > announced:
            raise ValueError(f"{announced} bytes announced, {len(content)} found")
    if len(content) < announced:
        raise TruncatedError(f"{announced} bytes announced, {len(content)} found")


def _join_corners(pos: np.ndarray, face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Make equal corners one vertex, in the order of the file."""
    _, first, owner = np.unique(pos, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return pos[first[order]], np.argsort(order)[owner.ravel()][face]


def without_comments(text: str, *marks: str) -> str:
    """Blank everything from one of these marks to the end of its line."""
    return re.sub(f"(?:{'|'.join(marks)}).*", "", text) if any(m in text for m in marks) else text


def text_lines(text: str) -> list[Line]:
    """Number the lines of a text that hold more than a comment behind ``#``."""
    lines = enumerate(without_comments(text, "#").splitlines(), 1)
    return [(number, line) for number, line in lines if line.strip()]


def read_lines(lines: Sequence[Line], dtype: type = float) -> Any:
    """Read the numbers of lines, see :func:`read_rows`."""
    return read_rows([text for _, text in lines], [number for number, _ in lines], dtype)


def read_rows(
    texts: Sequence[str],
    numbers: Sequence[int],
    dtype: type = float,
    delimiter: str | None = None,
    is_end: bool = False,
) -> Any:
    """Read a table of numbers, float64 or int64 of shape [rows, columns], from numbered lines.

    Raises:
        TruncatedError: if the last line is shorter, and ends the file.
        ValueError: naming the first line that is not as many numbers as the first has.
    """
    if not any(text.strip() for text in texts):
        return np.empty((0, 3), dtype)
    try:
        return np.loadtxt(texts, dtype, comments=None, delimiter=delimiter, ndmin=2)
    except ValueError as error:
        rows = [(*row, row[1].split(delimiter)) for row in zip(numbers, texts, strict=True)]
        rows = [row for row in rows if row[1].strip()]
        width = len(rows[0][2])
        for number, text, values in rows:
            if len(values) != width or not all(is_number(value, dtype) for value in values):
                is_cut = is_end and number == rows[-1][0] and len(values) < width
                kind = TruncatedError if is_cut else ValueError
                expected = f"expected {width} numbers, as in the first line of them"
                raise kind(f"line {number}: {text.strip()[:60]!r}, {expected}") from error
        raise


def is_number(value: str, dtype: type = float) -> bool:
    """Tell if a text is a number of this type."""
    try:
        dtype(value)
    except ValueError:
        return False
    return True


def check_count(announced: str, expected: int, found: int) -> None:
    """Check the number of rows of a file against what it announces."""
    if expected != found:
        error = TruncatedError if found < expected else ValueError
        raise error(f"{announced} announced, {found} lines found")


def triangles(
    corners: np.ndarray,
    sizes: np.ndarray,
    num_vertices: int,
    lines: Sequence[int] | np.ndarray | None = None,
    is_counted: bool = False,
) -> np.ndarray:
    """Cut polygons, by their corners one after another and their sizes, into fans [F, 3].

    Args:
        corners: vertices ``[sum(sizes)]``.
        sizes: ``[P]``.
        num_vertices: of the file.
        lines: of the polygons in a text.
        is_counted: whether the file tells the sizes, so that none can be cut off.

    Raises:
        ValueError: naming the first polygon with less than 3 corners or with an unknown vertex.
    """
    ends = np.cumsum(sizes)
    unknown = (corners < 0) | (corners >= num_vertices)
    bad = np.flatnonzero(sizes < 3).tolist()
    bad += np.searchsorted(ends, np.flatnonzero(unknown)[:1], side="right").tolist()
    if bad:
        row = min(bad)
        place = f"face {row}" if lines is None else f"line {lines[row]}"
        polygon = corners[ends[row] - sizes[row] : ends[row]].tolist()
        is_last = lines is not None and row == len(sizes) - 1
        is_cut = is_last and len(polygon) < 3 and not is_counted
        raise (TruncatedError if is_cut else ValueError)(
            f"{place}: a face of the vertices {polygon}, where a file of {num_vertices} has "
            f"0 to {num_vertices - 1}, and a face at least 3"
        )
    owner = np.repeat(np.arange(len(sizes)), sizes - 2)
    start = ends - sizes
    step = np.arange(len(owner)) - (np.cumsum(sizes - 2) - (sizes - 2))[owner]
    first = start[owner]
    return corners[np.stack([first, first + step + 1, first + step + 2], 1)]


def _text_colours(values: np.ndarray) -> np.ndarray | None:
    """Scale colours, with or without alpha, that are whole numbers up to 255."""
    if not values.size:
        return None
    whole = (values == values.round()).all() and 1 < values.max() <= 255
    return values[:, :3] / (255 if whole else 1)


def sample_surface(
    pos: np.ndarray, face: np.ndarray, num_points: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw points uniformly by area.

    Returns:
        The corners [num_points, 3] of their triangles, and the weights float64 [num_points, 3] of
        which the points, and whatever vertices carry, are means.

    Raises:
        ValueError: if the surface has no area.
    """
    corner, first, second = pos[face].astype(np.float64).transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(first - corner, second - corner), axis=1)
    if not 0 < area.sum() < np.inf:
        raise ValueError("its surface has no area")
    chosen = rng.choice(len(face), num_points, p=area / area.sum())
    a, b = rng.random((2, num_points))
    # The far half of the parallelogram is folded back onto the triangle.
    a, b = np.where(a + b > 1, (1 - a, 1 - b), (a, b))
    return face[chosen], np.stack([1 - a - b, a, b], 1)


def interpolate(values: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute means of the values [V, C] of vertices, float32 of shape [num_points, C]."""
    return np.einsum("nk,nkc->nc", weights, values[corners].astype(np.float64)).astype(np.float32)
