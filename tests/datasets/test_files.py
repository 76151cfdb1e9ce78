from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from graphmask.datasets import read_shape
from graphmask.datasets._files import is_shape, read_mesh

POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype=np.float32)
FACES = np.array([[0, 1, 2], [1, 3, 2]])
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [51, 102, 153]], dtype=np.uint8)
PLY = "ply\nformat ascii 1.0\nelement vertex 4\n"
PLY += "".join(f"property float {axis}\n" for axis in "xyz")
NORMALS = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 1, 0]], dtype=np.float32)


@pytest.fixture
def trimesh():
    return pytest.importorskip("trimesh")


def same(found: torch.Tensor, expected: np.ndarray) -> bool:
    return np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize("ending", ["ply", "obj", "off", "glb", "PLY"])
def test_meshes_that_trimesh_writes(trimesh, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"square.{ending}"
    path.write_bytes(
        _bytes(trimesh.Trimesh(POINTS, FACES, process=False).export(file_type=ending.lower()))
    )
    data = read_shape(path)
    assert same(data.pos, POINTS)
    assert same(data.face.T, FACES)
    assert set(data.keys()) == {"pos", "face"}
    assert (data.pos.dtype, data.face.dtype) == (torch.float32, torch.long)


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def test_corners_of_stl_are_joined(trimesh, tmp_path: Path) -> None:
    trimesh.Trimesh(POINTS, FACES, process=False).export(tmp_path / "square.stl")
    data = read_shape(tmp_path / "square.stl")
    assert data.num_nodes == 4
    triangles = {tuple(sorted(map(tuple, data.pos[corners].tolist()))) for corners in data.face.T}
    assert triangles == {tuple(sorted(map(tuple, POINTS[corners].tolist()))) for corners in FACES}


@pytest.mark.parametrize("binary", [True, False])
def test_ply_clouds_keep_colours_and_normals(trimesh, tmp_path: Path, binary: bool) -> None:
    path = tmp_path / "cloud.ply"
    if binary:
        trimesh.PointCloud(POINTS, colors=COLOURS).export(path)
    else:
        properties = "".join(
            f"property float {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz")
        )
        rows = "".join(
            " ".join(map(str, row)) + "\n" for row in np.hstack([POINTS, NORMALS]).tolist()
        )
        path.write_text(f"ply\nformat ascii 1.0\nelement vertex 4\n{properties}end_header\n{rows}")
    data = read_shape(path)
    assert same(data.pos, POINTS)
    assert data.face is None
    assert ("color" in data, "normal" in data) == (binary, not binary)
    if binary:
        torch.testing.assert_close(data.color, torch.from_numpy(COLOURS / np.float32(255)))
    else:
        assert same(data.normal, NORMALS)


def test_ply_meshes_keep_colours_and_polygons_become_triangles(trimesh, tmp_path: Path) -> None:
    mesh = trimesh.Trimesh(POINTS, FACES, vertex_colors=COLOURS, process=False)
    mesh.export(tmp_path / "mesh.ply")
    torch.testing.assert_close(
        read_shape(tmp_path / "mesh.ply").color, torch.from_numpy(COLOURS / np.float32(255))
    )
    header = PLY + "element face 1\n"
    rows = "".join(" ".join(map(str, row)) + "\n" for row in POINTS.tolist())
    (tmp_path / "quad.ply").write_text(
        f"{header}property list uchar int vertex_indices\nend_header\n{rows}4 0 1 3 2\n"
    )
    assert read_shape(tmp_path / "quad.ply").face.shape == (3, 2)


def test_obj_without_faces_is_a_cloud(trimesh, tmp_path: Path) -> None:
    (tmp_path / "cloud.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\n")
    assert same(read_shape(tmp_path / "cloud.obj").pos, POINTS)
    with pytest.raises(ValueError, match=r"cloud\.obj is damaged \(no face\)"):
        read_mesh(tmp_path / "cloud.obj")


def test_off_may_have_comments(tmp_path: Path) -> None:
    (tmp_path / "a.off").write_text(
        "OFF # made by hand\n# counts\n3 1 0\n0 0 0\n1 0 0\n0 1 0 # last\n3 0 1 2\n"
    )
    assert read_shape(tmp_path / "a.off").face.T.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("name", "text", "features"),
    [
        ("a.xyz", "0 0 0\n1 0 0\n0 1 0\n1 1 0\n", None),
        (
            "a.xyz",
            "# x y z intensity\n0,0,0,5\n1,0,0,6\n\n0,1,0,7\n1,1,0,8\n",
            [[5], [6], [7], [8]],
        ),
        (
            "a.pts",
            "4\n0 0 0 1 2\n1 0 0 3 4\n0 1 0 5 6\n1 1 0 7 8\n",
            [[1, 2], [3, 4], [5, 6], [7, 8]],
        ),
    ],
)
def test_tables_of_text(tmp_path: Path, name: str, text: str, features: list | None) -> None:
    (tmp_path / name).write_text(text)
    data = read_shape(tmp_path / name)
    assert same(data.pos, POINTS)
    assert (data.x is None) if features is None else (data.x.tolist() == features)


def test_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.hstack([POINTS, NORMALS]).astype(np.float64))
    data = read_shape(tmp_path / "a.npy")
    assert same(data.pos, POINTS)
    assert same(data.x, NORMALS)
    assert data.pos.dtype == data.x.dtype == torch.float32
    for face in (FACES, FACES.T):
        np.savez(
            tmp_path / "b.npz",
            vertices=POINTS,
            faces=face,
            colors=COLOURS,
            normals=NORMALS,
            features=POINTS[:, :2],
        )
        data = read_shape(str(tmp_path / "b.npz"))
        assert same(data.face.T, FACES)
        assert same(data.normal, NORMALS)
        assert same(data.x, POINTS[:, :2])
        assert float(data.color.max()) == 1


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.xyz", b"", "a table of shape [0]"),
        ("a.xyz", b"1 2\n", "a table of shape [1, 2]"),
        ("a.xyz", b"1 2 3\n1 2\n", "inhomogeneous"),
        ("a.xyz", b"1 2 nan\n", "a point is NaN or infinite"),
        ("a.xyz", b"1 2 3 inf\n", "`x` is NaN or infinite"),
        ("a.pts", b"3\n0 0 0\n1 1 1\n", "3 points announced, 2 lines found"),
        ("a.npy", b"nothing", "pickled"),
        ("a.npz", b"nothing", "pickled"),
        ("a.off", b"OFF\n3 1 0\n0 0 0\n", "3 vertices and 1 faces announced"),
        ("a.ply", b"\0\1\2", "Not a ply file"),
        ("a.obj", b"", ""),
        ("a.stl", b"", ""),
    ],
)
def test_damaged_files_are_named(
    trimesh, tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    message = rf"{re.escape(name)} is damaged \(.*{re.escape(problem)}.*restore the file"
    with pytest.raises(ValueError, match=message):
        read_shape(tmp_path / name)


@pytest.mark.parametrize("ending", ["ply", "stl", "glb"])
def test_binary_files_that_were_cut_off(trimesh, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"square.{ending}"
    trimesh.Trimesh(POINTS, FACES, process=False).export(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size - 25])
    with pytest.raises(ValueError, match="is damaged"):
        read_shape(path)


def test_text_ply_that_was_cut_off(trimesh, tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_text(PLY + "end_header\n0 0 0\n1 0 0\n")
    with pytest.raises(ValueError, match="4 vertices announced, 2 found"):
        read_shape(tmp_path / "a.ply")


def test_arrays_that_do_not_fit(tmp_path: Path) -> None:
    for arrays, problem in (
        ({"points": POINTS, "normals": NORMALS[:2]}, r"`normal` of shape \[2, 3\] beside 4 points"),
        ({"points": POINTS, "colors": COLOURS[:, :2]}, r"`color` of shape \[4, 2\]"),
        ({"points": POINTS, "faces": FACES + 2}, "faces name vertices 2 to 5 of 4"),
        ({"points": POINTS, "faces": FACES.astype(float)}, "faces of dtype float64"),
        ({"position": POINTS}, r"no array named pos or points .* among \['position'\]"),
        ({"points": POINTS[:0]}, "no point"),
    ):
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(ValueError, match=problem):
            read_shape(tmp_path / "a.npz")


def test_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_text("0 0 0\n")
    message = r"format of .*notes\.txt is unknown: expected \.npy, \.npz, \.off"
    with pytest.raises(ValueError, match=message):
        read_shape(tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError, match=r"The file .*absent\.ply is missing"):
        read_shape(tmp_path / "absent.ply")
    monkeypatch.setitem(sys.modules, "trimesh", None)
    assert is_shape(Path("a.ply"))
    assert not is_shape(Path("a.gltf"))
    (tmp_path / "a.ply").write_text("ply")
    with pytest.raises(ImportError, match=r'pip install "graphmask\[mesh\]"'):
        read_shape(tmp_path / "a.ply")
