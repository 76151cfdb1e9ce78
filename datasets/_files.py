"""A reader of files of meshes and point clouds."""

from __future__ import annotations

import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmask._checks import value_error
from graphmask._tables import check_not_placeholder, to_float32
from graphmask.extras import MissingExtraError, require

from ._meshes import (
    Arrays,
    check_count,
    interpolate,
    is_number,
    read_obj,
    read_off,
    read_ply,
    read_rows,
    read_with_trimesh,
    sample_surface,
    without_comments,
)
from ._raw_files import TruncatedError, check_file, damaged, read_text

# Names of arrays in an .npz file.
NAMES = {
    "pos": ("pos", "points", "vertices", "v", "xyz"),
    "face": ("face", "faces", "triangles", "f"),
    "normal": ("normal", "normals", "n"),
    "color": ("color", "colors", "colour", "colours", "rgb"),
    "x": ("x", "features"),
}
# Headings of coordinates, without blanks, units and words such as "point".
_COORDINATES = {
    **dict.fromkeys(("easting", "east", "e"), "x"),
    **dict.fromkeys(("northing", "north", "n"), "y"),
    **dict.fromkeys(("height", "elevation", "altitude", "h", "up"), "z"),
}
_AROUND_COORDINATES = re.compile(r"[(\[].*|[^a-z]|point|coordinate|coord|position|pos")
ATTRIBUTES = ("normal", "color", "x")
REMEDY = "restore the file, or remove it to do without"
# Raised where a file ends early, or a checksum differs.
_TRUNCATED = (TruncatedError, EOFError, zipfile.BadZipFile, zlib.error)


def read_shape(
    path: str | os.PathLike[str],
    *,
    transposed: bool | None = None,
    color_range: float | None = None,
    attributes: Sequence[str] | None = None,
) -> Data:
    r"""Read the mesh or the point cloud of a file, in the order of the file.

    * ``.off``, ``.obj`` and ``.ply`` (with ``plyfile``), text or binary, with polygons of any size.
      A file of several bodies, groups or materials becomes one shape; no vertex is joined, split or
      dropped.
    * ``.stl``, ``.glb`` and other formats that the installed ``trimesh`` reads. Equal corners in an
      ``.stl`` file, which stores each triangle by itself, become one vertex.
    * ``.las`` and ``.laz``, with ``laspy``.
    * ``.npy``: one array [N, 3 + C]; ``.xyz``, ``.pts``: a line of 3 + C numbers for each point,
      after an optional line with their count. The first three columns are the position, or, below
      a heading, those that it names x, y and z, such as ``POINT_X``, ``x(m)`` or ``easting``; the
      others are features.
    * ``.npz``: arrays ``pos`` (also ``points``, ``vertices``, ``v``, ``xyz``) and, optionally,
      ``face`` [F, 3] or [3, F] (``faces``, ``triangles``, ``f``), ``normal`` (``normals``, ``n``),
      ``color`` (``colors``, ``colour``, ``colours``, ``rgb``), ``x`` (``features``).

    Coordinates are read in double precision. Where a shape lies far from zero, as in metres of a
    national grid, and single precision would round it, its ``origin`` is kept beside and
    subtracted: ``pos.double() + origin`` are the coordinates of the file.

    Args:
        path: the file.
        transposed: whether arrays that can be read both ways hold a point, or a triangle, in each
            column. (default: :obj:`None`: such an array, with 3 rows, as many rows as columns, or
            more than three times as many columns as rows, is an error)
        color_range: the value of full colour. (default: :obj:`None`: 255 and 65535 for integers of
            8 and 16 bits; 255 for whole numbers above 1 in a text; otherwise 1)
        attributes: some of ``normal``, ``color`` and ``x``, which the file must have; others are
            neither read nor checked. (default: :obj:`None`, all that it has)

    Returns:
        ``Data(pos)`` with ``pos`` float32 of shape [N, 3], and, where the file has them, ``face``
        long of shape [3, F] (polygons become triangles), ``normal`` float32 [N, 3], ``color``
        float32 [N, 3] from 0 to 1, without alpha, ``x`` float32 [N, C] (of ``.ply`` and ``.las``
        files all other numbers of a point, in the order of the file); ``origin`` float64 [1, 3]
        where it is not zero. A feature that single precision rounds coarsely is warned of, and so
        are edges of a ``.ply`` file and lines of an ``.obj`` file, which are left out.

    Cost: O(size of the file).

    Raises:
        FileNotFoundError: if there is no such file.
        MissingExtraError: if the file needs ``trimesh``, ``plyfile`` (extra ``mesh``) or ``laspy``
            (extra ``scans``), which is not installed.
        ValueError: if the file is of an unknown format, or damaged: it ends early; or holds what
            cannot be used, such as an unknown vertex, NaN, a colour out of range, or an array of
            shape [3, N] without ``transposed``; if an attribute is unknown, or not in the file.

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
    path, wanted = check_file(path), None if attributes is None else check_attributes(attributes)
    if not is_shape(path):
        readable = ", ".join(sorted(READERS))
        raise ValueError(
            f"The format of {path} is unknown: expected {readable}, or a format of trimesh"
        )
    with _naming(path):
        if not path.stat().st_size:
            raise TruncatedError("it is empty")
        with open(path, "rb") as file:
            check_not_placeholder(file.read(256))
        ending = path.suffix.lower()
        options = {".npy": (transposed,), ".npz": (transposed, wanted)}.get(ending, ())
        arrays = READERS.get(ending, read_with_trimesh)(path, *options)
    if missing := [name for name in wanted or () if arrays.get(name) is None]:
        raise value_error("attributes", f"some that the file {path} has", missing)
    with _naming(path):
        return _data(arrays, color_range, ATTRIBUTES if wanted is None else wanted)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Raise an error that names the file where the code inside fails."""
    try:
        yield
    except MissingExtraError:
        raise
    except _TRUNCATED as error:
        raise damaged(path, error, REMEDY) from error
    # The readers raise index, key, attribute and value errors.
    except Exception as error:
        raise unusable(path, error) from error


def check_attributes(attributes: Sequence[str]) -> tuple[str, ...]:
    """Check names of attributes of points; one may stand alone."""
    names = (attributes,) if isinstance(attributes, str) else tuple(attributes)
    if unknown := [name for name in names if name not in ATTRIBUTES]:
        raise value_error("attributes", f"some of {', '.join(ATTRIBUTES)}", unknown)
    return names


def unusable(path: Path, problem: object) -> ValueError:
    """Return the error for a file that is whole, as far as one can tell, but cannot be used."""
    return ValueError(f"The file {path} cannot be read ({problem})")


def read_mesh(path: str | os.PathLike[str]) -> Data:
    """Read a shape that must have triangles.

    Raises:
        ValueError: if the file holds points alone; otherwise as :func:`read_shape`.
    """
    data = read_shape(path, transposed=False, attributes=())
    if data.face is None:
        raise unusable(Path(path), "no face")
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


def local(pos: np.ndarray, columns: int | None = 3) -> dict[str, Tensor]:
    """Return ``pos`` in single precision and, where that needs one, its float64 ``origin`` [1, D].

    An origin is subtracted where single precision would round coordinates that lie at least four
    times as far from zero as the shape is wide: it makes them that much more precise.
    """
    pos = np.asarray(pos)
    if pos.ndim != 2 or pos.shape[1] != (columns or pos.shape[1]):
        raise ValueError(f"points of shape {list(pos.shape)}, expected [N, {columns or 'D'}]")
    if len(pos) == 0:
        raise ValueError("no point")
    if pos.dtype.kind not in "iuf":
        raise ValueError(f"points of dtype {pos.dtype}")
    values, limit = pos.astype(np.float64), np.finfo(np.float32).max
    is_bad = ~(np.abs(values) <= limit).all(1)
    if is_bad.any():
        row = int(is_bad.argmax())
        point = f"{values[row].tolist()} in row {row}"
        raise ValueError(f"a point is NaN or infinite, or beyond single precision: {point}")
    single, low, high = values.astype(np.float32), values.min(0), values.max(0)
    is_far = np.abs(values).max() >= 4 * (high - low).max()
    if (single == values).all() or not is_far:
        return {"pos": torch.from_numpy(single)}
    origin = (low + high) / 2
    single = (values - origin).astype(np.float32)
    return {"pos": torch.from_numpy(single), "origin": torch.from_numpy(origin[None])}


def with_origins(examples: Iterable[Data]) -> Iterator[Data]:
    """Give all examples an origin if one has it, so that they can be batched."""
    examples = list(examples)
    if any("origin" in data for data in examples):
        for data in examples:
            data.origin = data.get("origin", torch.zeros(1, 3, dtype=torch.float64))
    yield from examples


def mesh_data(arrays: Arrays) -> Data:
    """Return the position and the faces of a mesh."""
    if arrays["face"] is None:
        raise ValueError("no face")
    return _data({"pos": arrays["pos"], "face": arrays["face"]}, None, ())


def sample(
    mesh: Data, num_points: int, rng: np.random.Generator, attributes: Sequence[str] = ()
) -> Data:
    """Draw points by area from the surface of a mesh, with attributes of its vertices."""
    corners, weights = sample_surface(mesh.pos.numpy(), mesh.face.numpy().T, num_points, rng)
    drawn = {
        key: torch.from_numpy(interpolate(mesh[key].numpy(), corners, weights))
        for key in ("pos", *attributes)
    }
    if "normal" in drawn:
        drawn["normal"] = torch.nn.functional.normalize(drawn["normal"], dim=1)
    return Data(**drawn, **({"origin": mesh.origin} if "origin" in mesh else {}))


def _data(arrays: Arrays, color_range: float | None, attributes: Sequence[str]) -> Data:
    data = Data(**local(arrays["pos"]))
    face, size = arrays.get("face"), data.num_nodes
    if face is not None:
        data.face = torch.from_numpy(_check_faces(face, size).T.astype(np.int64))
    for name in attributes:
        if (value := arrays.get(name)) is not None:
            value = _check_attribute(name, value, size)
            value = _unit_colours(value, color_range) if name == "color" else value
            data[name] = torch.from_numpy(round_features(name, value))
    return data


def _check_faces(face: np.ndarray, num_vertices: int) -> np.ndarray:
    if face.ndim != 2 or face.shape[1] != 3 or not len(face):
        raise ValueError(f"no face: faces of shape {list(face.shape)}, expected [F, 3]")
    if face.dtype.kind not in "iu":
        raise ValueError(f"faces of dtype {face.dtype}")
    if face.min() < 0 or face.max() >= num_vertices:
        row = int(((face < 0) | (face >= num_vertices)).any(1).argmax())
        raise ValueError(
            f"faces name vertices {face.min()} to {face.max()} of {num_vertices}, first face {row}"
        )
    return face


def _check_attribute(name: str, value: np.ndarray, size: int) -> np.ndarray:
    if value.ndim != 2 or len(value) != size or (name != "x" and value.shape[1] != 3):
        raise ValueError(f"`{name}` of shape {list(value.shape)} beside {size} points")
    if value.dtype.kind not in "iufb":
        raise ValueError(f"`{name}` of dtype {value.dtype}")
    if not (is_finite := np.isfinite(value).all(1)).all():
        raise ValueError(f"`{name}` is NaN or infinite in row {int(is_finite.argmin())}")
    return value


def _unit_colours(value: np.ndarray, full: float | None) -> np.ndarray:
    remedy = "pass `color_range`, the value of full colour, such as 255"
    if full is None:
        full = {"|u1": 255, "<u2": 65535}.get(value.dtype.newbyteorder("<").str)
        full = 1 if value.dtype.kind == "f" else full
    if full is None:
        raise ValueError(f"colours up to {value.max()} of unknown range: {remedy}")
    if value.min() < 0 or value.max() > full:
        raise ValueError(f"colours {value.min()} to {value.max()}, expected 0 to {full}: {remedy}")
    return value.astype(np.float64) / full


def round_features(name: str, value: np.ndarray) -> np.ndarray:
    """Round features to single precision, and warn where that loses what tells points apart."""
    with np.errstate(over="ignore"):
        single = value.astype(np.float32)
    if not np.isfinite(single).all():
        raise ValueError(f"`{name}` is beyond single precision somewhere")
    if name == "x":
        warn_of_rounding("features `x`", value, single)
    return single


def round_weights(name: str, value: np.ndarray) -> np.ndarray:
    """Round finite weights of edges to single precision; warn where whole numbers change."""
    single = to_float32(name, value)
    if (single != value).any() and (value == np.round(value)).all():
        worst = int(np.argmax(np.abs(single.astype(np.float64) - value)))
        warnings.warn(
            f"`{name}` is rounded to single precision, such as {value[worst]} to "
            f"{single[worst]:.0f}; are these times or ids?",
            stacklevel=5,
        )
    return single


def warn_of_rounding(name: str, value: np.ndarray, single: np.ndarray) -> None:
    """Warn of a column whose values, without NaN, are told apart less in single precision."""
    if not value.size:
        return
    error = np.nan_to_num(np.abs(single.astype(np.float64) - value)).max(0)
    span = np.fmax.reduce(value, 0) - np.fmin.reduce(value, 0).astype(np.float64)
    # Rounding does not make equal numbers more alike.
    loses = (error > 1e-4 * span) & (span > 0)
    is_coarse = (error > 0) & ((value.dtype.kind in "iu") | loses)
    if is_coarse.any():
        column = int(is_coarse.argmax())
        warnings.warn(
            f"column {column} of the {name} is rounded by up to {error[column]:.3g} in single "
            "precision",
            stacklevel=5,
        )


def warn_of_arrays(names: Sequence[str]) -> None:
    """Warn of arrays of a file that are not read."""
    if names:
        warnings.warn(f"the arrays {', '.join(names)} are not read", stacklevel=5)


def _read_columns(path: Path) -> Arrays:
    text = read_text(path)
    lines = without_comments(text, "#", "//").splitlines()
    start, count = next((place for place, line in enumerate(lines) if line.strip()), 0), None
    if lines and lines[start].strip().isdecimal():
        count, start = lines[start].strip(), start + 1
    first = lines[start] if start < len(lines) else ""
    delimiter = next((mark for mark in ";," if mark in first), None)
    words = _words(first, delimiter)
    has_heading = _is_heading(words) and (count is None or _coordinates(words) is not None)
    if count and start < len(lines) and not has_heading and not any(map(is_number, words)):
        raise ValueError(f"line {start + 1}: {first!r} after the count, as in files of molecules")
    start += has_heading
    texts = lines[start:]
    if delimiter and all(line.rstrip().endswith(delimiter) for line in texts if line.strip()):
        texts = [line.rstrip().removesuffix(delimiter) for line in texts]
        words = words[:-1] if has_heading and not words[-1] else words
    numbers = range(start + 1, len(lines) + 1)
    table = read_rows(texts, numbers, delimiter=delimiter, is_end=True)
    if count is not None:
        check_count(f"{count} points", int(count), len(table))
    comments = [_words(line.lstrip("#/ "), delimiter) for line in text.splitlines()[:start]]
    return _split_columns(_in_order(table, words if has_heading else None, comments))


def _words(line: str, delimiter: str | None) -> list[str]:
    return [cell.strip(' "').lower() for cell in line.split(delimiter)]


def _is_heading(words: Sequence[str]) -> bool:
    """Tell if these are different names, of columns."""
    words = words[:-1] if words and not words[-1] else words
    is_name = [word[:1].isalpha() and not is_number(word) for word in words]
    return bool(words) and all(is_name) and len(set(words)) == len(words)


def _coordinates(words: Sequence[str]) -> list[int] | None:
    """Columns of x, y and z, such as ``POINT_X``, ``x(m)`` or ``easting``; None if one lacks."""
    plain = [_AROUND_COORDINATES.sub("", word) for word in words]
    for names in (words, plain, [_COORDINATES.get(word, word) for word in plain]):
        if all(names.count(name) == 1 for name in "xyz"):
            return [names.index(name) for name in "xyz"]
    return None


def _in_order(
    table: np.ndarray, heading: Sequence[str] | None, comments: Sequence[Sequence[str]]
) -> np.ndarray:
    """Put the columns first that the heading, or a comment of as many words, names x, y and z."""
    width = table.shape[1]
    if heading is not None and len(table):
        if len(heading) != width:
            expected = f"its heading has {len(heading)} names, {', '.join(heading)[:60]!r}"
            raise ValueError(f"{expected}, and its rows have {width} numbers")
        if width >= 3 and _coordinates(heading) is None:
            problem = f"its heading names no x, y and z: {', '.join(heading)[:60]!r}"
            raise ValueError(f"{problem}: rename the columns of coordinates")
    for words in [heading or [], *comments]:
        first = _coordinates(words) if len(words) == width else None
        if first is not None:
            return table[:, [*first, *(i for i in range(width) if i not in first)]]
    return table


def _read_npy(path: Path, transposed: bool | None) -> Arrays:
    with _loaded(path, b"\x93NUMPY") as table:
        rows, columns = table.shape if table.ndim == 2 else (0, 0)
        is_clear = columns < 3 or (rows != 3 and rows != columns and columns <= max(3 * rows, 9))
        if transposed is None and not is_clear:
            raise _ambiguous("the array", table)
        return _split_columns(table.T if transposed else table)


@contextmanager
def _loaded(path: Path, magic: bytes) -> Iterator[Any]:
    """Load the array, or the open archive, of a file that must begin with these bytes."""
    with open(path, "rb") as file:
        if file.read(len(magic)) != magic:
            raise ValueError(f"it does not begin as a {path.suffix} file does")
        file.seek(0)
        try:
            arrays = np.load(file, allow_pickle=False)
        except ValueError as error:  # of objects, or cut off
            kind = ValueError if "allow_pickle" in str(error) else TruncatedError
            raise kind(error) from error
        yield arrays


def _ambiguous(name: str, value: np.ndarray) -> ValueError:
    return ValueError(
        f"{name} of shape {list(value.shape)} can hold a point or a triangle in each row or in "
        "each column: pass `transposed=False` or `transposed=True`"
    )


def _split_columns(table: np.ndarray) -> Arrays:
    if table.ndim != 2 or table.shape[1] < 3:
        raise ValueError(f"a table of shape {list(table.shape)}, expected [N, 3 + C]")
    return {"pos": table[:, :3], "x": table[:, 3:] if table.shape[1] > 3 else None}


def _read_npz(path: Path, transposed: bool | None, wanted: Sequence[str] | None) -> Arrays:
    arrays: dict[str, Any] = {}
    with _loaded(path, b"PK") as stored:
        for name, keys in NAMES.items():
            is_wanted = wanted is None or name in ("pos", "face", *wanted)
            names = [key for key in keys if key in stored and is_wanted]
            if len(names) > 1:
                raise ValueError(f"arrays {' and '.join(names)}, where one is expected")
            arrays[name] = stored[names[0]] if names else None
        if arrays["pos"] is None:
            expected = ", ".join(NAMES["pos"])
            raise ValueError(f"no array named {expected} among {list(stored)}")
        known = {key for keys in NAMES.values() for key in keys}
        warn_of_arrays([name for name in stored if wanted is None and name not in known])
    for name, value in arrays.items():
        if value is not None and value.ndim == 2:
            arrays[name] = _by_row(name, value, len(arrays["pos"]), transposed)
    return arrays


def _by_row(name: str, value: np.ndarray, size: int, transposed: bool | None) -> np.ndarray:
    """Turn an array so that each point, or each triangle, is a row."""
    rows, columns = value.shape
    if name == "x":
        return value.T if transposed and columns == size else value
    if rows != 3 or (columns == 3 and name != "face" and not transposed):
        return value
    # PyG stores faces [3, F].
    is_clear = (columns != 3 and name == "face") or np.array_equal(value, value.T)
    if transposed is None and not is_clear:
        raise _ambiguous(f"`{name}`", value)
    return value.T if transposed or (is_clear and columns != 3) else value


def _read_las(path: Path) -> Arrays:
    laspy = require("laspy", extra="scans")
    with laspy.open(path) as file:
        count = file.header.point_count
        try:
            points = file.read()
        except Exception as error:  # of the packages that unpack .laz files
            raise TruncatedError(error) from error
    if len(points.points) != count:
        raise TruncatedError(f"{count} points announced, {len(points.points)} found")
    if not count:
        raise ValueError("no point")
    names = list(points.point_format.dimension_names)
    colours = [name for name in ("red", "green", "blue") if name in names]
    color = np.stack([np.asarray(points[name]) for name in colours], 1) if colours else None
    if color is not None and 0 < color.max() <= 255:
        color = color.astype(np.int64)  # 8 bits in the place of 16
    scalars = [name for name in names if name not in ("X", "Y", "Z", *colours)]
    features = [np.asarray(points[name], np.float64).reshape(count, -1) for name in scalars]
    return {"pos": np.asarray(points.xyz), "color": color, "x": np.concatenate(features, 1)}


READERS: dict[str, Callable[..., Arrays]] = {
    ".las": _read_las,
    ".laz": _read_las,
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".obj": read_obj,
    ".off": read_off,
    ".ply": read_ply,
    ".pts": _read_columns,
    ".xyz": _read_columns,
}
# Known without trimesh, so that reading them names the missing extra.
USUAL = (".glb", ".stl")
ARCHIVES = (".zip", ".gz", ".bz2", ".dxf")
