"""Triangle meshes: a reader of .off files, checks, and points drawn from a surface."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np


def read_off(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read vertices float32 [V, 3] and triangles int64 [F, 3] of an Object File Format file.

    Polygons become fans of triangles.

    Raises:
        ValueError: if there is no header, lines are missing or of a wrong shape, or vertices are
            unknown.
    """
    with open(path, encoding="ascii") as file:
        text = file.read().lstrip()
    if not text.startswith("OFF"):
        raise ValueError("no OFF header")
    # Some files of ModelNet40 have no line break between "OFF" and the counts.
    lines = [line.partition("#")[0].split() for line in text[3:].splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        raise ValueError("no line after the header")
    num_vertices, num_faces = (int(count) for count in lines[0][:2])
    if len(lines) != 1 + num_vertices + num_faces:
        raise ValueError(
            f"{num_vertices} vertices and {num_faces} faces announced, {len(lines) - 1} lines found"
        )
    pos = np.array(lines[1 : 1 + num_vertices], dtype=np.float32).reshape(num_vertices, 3)
    polygons = [_polygon(line) for line in lines[1 + num_vertices :]]
    fans = [(p[0], p[k], p[k + 1]) for p in polygons for k in range(1, len(p) - 1)]
    return pos, check_faces(pos, np.array(fans, dtype=np.int64).reshape(-1, 3))


def _polygon(line: list[str]) -> list[int]:
    corners = [int(index) for index in line[1 : 1 + int(line[0])]]
    if len(corners) != int(line[0]):
        raise ValueError(f"a face announces {line[0]} corners and has {len(corners)}")
    return corners


def check_faces(pos: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Check that there are triangles and that their corners are finite vertices in space."""
    if pos.ndim != 2 or pos.shape[1] != 3:
        raise ValueError(f"vertices of shape {list(pos.shape)}")
    if not np.isfinite(pos).all():
        raise ValueError("a vertex is NaN or infinite")
    if len(face) == 0:
        raise ValueError("no face")
    if face.min() < 0 or face.max() >= len(pos):
        raise ValueError(f"faces name vertices {face.min()} to {face.max()} of {len(pos)}")
    return face


def check_counts(path: Path, num_vertices: int, num_faces: int) -> None:
    """Check a text file against the counts in its header.

    A file that was cut off may be valid otherwise.

    Raises:
        ValueError: if there are fewer vertices or faces than the header announces.
    """
    # MeshLab writes counts into the comments of .obj files; .ply files announce theirs as such.
    pattern = {".obj": r"^# (Vertices|Faces): (\d+)", ".ply": r"^element (vertex|face) (\d+)"}.get(
        path.suffix.lower()
    )
    if pattern is None:
        return
    with open(path, "rb") as file:
        header = file.read(10_000).partition(b"end_header")[0].decode(errors="replace")
    announced = {
        name.lower()[:4]: int(count) for name, count in re.findall(pattern, header, re.MULTILINE)
    }
    for name, count in (("vertices", num_vertices), ("faces", num_faces)):
        if announced.get(name[:4], 0) > count:
            raise ValueError(f"{announced[name[:4]]} {name} announced, {count} found")


def sample_surface(
    pos: np.ndarray, face: np.ndarray, num_points: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw points uniformly by area, float32 of shape [num_points, 3].

    Raises:
        ValueError: if the surface has no area.
    """
    corner, first, second = pos[face].astype(np.float64).transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(first - corner, second - corner), axis=1)
    if not area.sum() > 0:
        raise ValueError("its surface has no area")
    chosen = rng.choice(len(face), num_points, p=area / area.sum())
    a, b = rng.random((2, num_points, 1))
    # The far half of the parallelogram is folded back onto the triangle.
    a, b = np.where(a + b > 1, (1 - a, 1 - b), (a, b))
    corner, first, second = corner[chosen], first[chosen], second[chosen]
    return (corner + a * (first - corner) + b * (second - corner)).astype(np.float32)
