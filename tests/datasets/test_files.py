"""Files of meshes and point clouds."""

from __future__ import annotations

import io
import re
import struct
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
NORMALS = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 1, 0]], dtype=np.float32)


@pytest.fixture
def trimesh():
    return pytest.importorskip("trimesh")


def same(value: torch.Tensor, expected: np.ndarray) -> bool:
    return np.array_equal(value.numpy(), expected)


def array(values: np.ndarray) -> bytes:
    """The content of an .npy file."""
    content = io.BytesIO()
    np.save(content, values, allow_pickle=True)
    return content.getvalue()


def ply(columns: str, rows: np.ndarray, faces: str = "", ending: str = "") -> str:
    header = "".join(f"property float {name}\n" for name in columns.split())
    lines = "".join(" ".join(map(str, row)) + "\n" for row in rows.tolist())
    return f"ply\nformat ascii 1.0\nelement vertex 4\n{header}{faces}end_header\n{lines}{ending}"


@pytest.mark.parametrize("ending", ["ply", "obj", "off", "glb", "PLY", "stl"])
def test_meshes_that_trimesh_writes_are_read(trimesh, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"square.{ending}"
    content = trimesh.Trimesh(POINTS, FACES, process=False).export(file_type=ending.lower())
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    data = read_shape(path)
    assert set(data.keys()) == {"pos", "face"}
    assert (data.pos.dtype, data.face.dtype) == (torch.float32, torch.long)
    if ending == "stl":  # equal corners are joined, in another order
        assert data.num_nodes == 4
        corners = [{tuple(sorted(map(tuple, pos[t].tolist()))) for t in face}
                   for pos, face in ((data.pos, data.face.T), (POINTS, FACES))]  # fmt: skip
        assert corners[0] == corners[1]
    else:
        assert same(data.pos, POINTS)
        assert same(data.face.T, FACES)
    if ending in ("ply", "stl", "glb"):
        path.write_bytes(content[:-25])
        with pytest.raises(ValueError, match="is damaged"):
            read_shape(path)


def test_ply_files_keep_colours_normals_and_polygons(trimesh, tmp_path: Path) -> None:
    path, colours = tmp_path / "a.ply", torch.from_numpy(COLOURS / np.float32(255))
    trimesh.PointCloud(POINTS, colors=COLOURS).export(path)
    data = read_shape(path)
    assert same(data.pos, POINTS)
    assert set(data.keys()) == {"pos", "color"}
    torch.testing.assert_close(data.color, colours)
    path.write_text(ply("x y z nx ny nz", np.hstack([POINTS, NORMALS])))
    data = read_shape(path)
    assert set(data.keys()) == {"pos", "normal"}
    assert same(data.normal, NORMALS)
    trimesh.Trimesh(POINTS, FACES, vertex_colors=COLOURS, process=False).export(path)
    torch.testing.assert_close(read_shape(path).color, colours)
    faces = "element face 1\nproperty list uchar int vertex_indices\n"
    path.write_text(ply("x y z", POINTS, faces, "4 0 1 3 2\n"))
    assert read_shape(path).face.shape == (3, 2)


@pytest.mark.parametrize(
    ("attribute", "names"),
    [
        ("color", "r g b"),
        ("color", "Red Green Blue Alpha"),
        ("normal", "normal_x normal_y normal_z"),
    ],
)
def test_other_names_in_ply_files_are_known(tmp_path: Path, attribute: str, names: str) -> None:
    pytest.importorskip("plyfile")
    count = len(names.split())
    (tmp_path / "a.ply").write_text(
        ply(f"x y z {names}", np.hstack([POINTS, NORMALS, NORMALS[:, : count - 3]]))
    )
    data = read_shape(tmp_path / "a.ply")
    assert set(data.keys()) == {"pos", attribute}
    assert same(data[attribute], NORMALS)


def test_arrays_that_are_not_read_are_warned_of(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", pos=POINTS, intensity=np.ones(4))
    with pytest.warns(UserWarning, match="the arrays intensity are not read"):
        read_shape(tmp_path / "a.npz")


def test_obj_files_without_faces_are_clouds(trimesh, tmp_path: Path) -> None:
    (tmp_path / "cloud.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\n")
    assert same(read_shape(tmp_path / "cloud.obj").pos, POINTS)
    with pytest.raises(ValueError, match=r"cloud\.obj cannot be read \(no face\)"):
        read_mesh(tmp_path / "cloud.obj")


TETRAHEDRON = "0 0 0\n1 0 0\n0 1 0\n1 1 0\n"
SOLID = (
    b"solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\n"
    b"endloop\nendfacet\nendsolid a\n"
)


def rows(tail: str) -> str:
    return TETRAHEDRON.replace("\n", f" {tail}\n")


OFF_FILES = {
    "comments": "# by hand\nOFF # comment\n# counts\n4 1 0\n" + rows("# last") + "3 0 1 2\n",
    "one line": "OFF4 1 0\n" + TETRAHEDRON + "3 0 1 2",
    "windows": ("off\n4 1\n" + TETRAHEDRON + "3 0 1 2\n").replace("\n", "\r\n"),
    "polygons": "OFF\n\n4 2 0\n" + TETRAHEDRON + "\n4 0 1 3 2 255 0 0\n3 0 1 2\n",
    "colours of faces": "OFF\n4 1 0\n" + TETRAHEDRON + "3 0 1 2 0.5 0.5 0.5\n",
    "COFF": "COFF\n4 1 0\n" + rows("255 0 51 255") + "3 0 1 2\n",
    "COFF of floats": "COFF\n4 1 0\n" + rows("1.0 0 0.2 1.0") + "3 0 1 2\n",
    "OFF of colours": "OFF\n4 1 0\n" + rows("255 0 51") + "3 0 1 2\n",
    "NOFF": "NOFF\n4 1 0\n" + rows("0 0 1") + "3 0 1 2\n",
    "CNOFF": "CNOFF\n4 1 0\n" + rows("0 0 1 255 0 51 0") + "3 0 1 2\n",
    "points": "OFF\n4 0 0\n" + TETRAHEDRON,
    "several on a line": "OFF\n4 1 0\n" + TETRAHEDRON.replace("\n", " ") + "\n3 0\n1 2\n",
}


@pytest.mark.parametrize("name", OFF_FILES)
def test_variants_of_off_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.off").write_text(OFF_FILES[name], newline="")
    data = read_shape(tmp_path / "a.off")
    assert same(data.pos, POINTS)
    faces = [[0, 1, 3], [0, 3, 2], [0, 1, 2]] if name == "polygons" else [[0, 1, 2]]
    assert (data.face is None) if name == "points" else (data.face.T.tolist() == faces)
    assert ("color" in data) == ("COFF" in name or "CNOFF" in name or name == "OFF of colours")
    assert ("normal" in data) == ("NOFF" in name)
    if "color" in data:
        torch.testing.assert_close(data.color, torch.tensor([[1.0, 0.0, 0.2]]).expand(4, 3))
    if "normal" in data:
        assert data.normal.tolist() == [[0, 0, 1]] * 4


BODY = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 1\nusemtl {0}\ng {0}\n"


@pytest.mark.parametrize(
    "faces",
    [("f -3 -2 -1", "f -3 -2 -1"), ("f 1 2 3", "f 4 5 6"), ("f 1/1 2/2 3/1", "f -3/2 -2/1 -1/2"),
     ("f 1 2 \\\n3", "f 4\t5 6 # last")],
)  # fmt: skip
def test_bodies_of_obj_keep_the_vertices_of_the_file(tmp_path: Path, faces) -> None:
    text = "".join(BODY.format(name) + face + "\n" for name, face in zip("ab", faces, strict=True))
    (tmp_path / "a.obj").write_text("mtllib none.mtl\n" + text)
    data = read_shape(tmp_path / "a.obj")
    assert data.pos.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]] * 2
    assert data.face.T.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_normals_and_colours_of_obj_are_kept_where_each_vertex_has_one(tmp_path: Path) -> None:
    text = "v 0 0 0 1 0 0\nv 1 0 0 0 .5 0\nv 0 1 0 0 0 1\nvn 0 0 1\nvn 0 1 0\n"
    (tmp_path / "a.obj").write_text(text + "f 1//1 2//-1 3//1\n")
    data = read_shape(tmp_path / "a.obj")
    assert data.normal.tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 1]]
    assert data.color.tolist() == [[1, 0, 0], [0, 0.5, 0], [0, 0, 1]]
    (tmp_path / "a.obj").write_text(text + "f 1//1 2//2 3//1\nf 1//2 2//2 3//1\n")
    assert "normal" not in read_shape(tmp_path / "a.obj")


def binary_ply(order: str, polygons: list[tuple[int, ...]], comment: str = "") -> bytes:
    """Four points with colours of 16 bits, two fields, and polygons."""
    fields = (
        "xyz",
        "float",
        ("red", "green", "blue"),
        "ushort",
        ("level",),
        "double",
        ("id",),
        "int",
    )
    lines = [
        f"property {kind} {name}\n"
        for names, kind in zip(fields[::2], fields[1::2], strict=True)
        for name in names
    ]
    name = {"<": "little", ">": "big"}[order]
    header = f"ply\nformat binary_{name}_endian 1.0\n{comment}element vertex 4\n{''.join(lines)}"
    header += f"element face {len(polygons)}\nproperty list uchar int vertex_indices\nend_header\n"
    content = b"".join(struct.pack(f"{order}3f3Hdi", *p, 65535, 0, 13107, 0.5, 7) for p in POINTS)
    faces = (struct.pack(f"{order}B{len(f)}i", len(f), *f) for f in polygons)
    return header.encode("latin-1") + content + b"".join(faces)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("polygons", [[(0, 1, 2), (1, 3, 2)], [(0, 1, 3, 2), (0, 1, 2)], []])
@pytest.mark.parametrize("comment", ["", "comment St\u00fchle\n"])
def test_binary_ply_keeps_polygons_colours_and_fields(tmp_path, order, polygons, comment) -> None:
    pytest.importorskip("plyfile")
    (tmp_path / "a.ply").write_bytes(binary_ply(order, polygons, comment))
    data = read_shape(tmp_path / "a.ply")
    assert same(data.pos, POINTS)
    fans = [[f[0], f[k], f[k + 1]] for f in polygons for k in range(1, len(f) - 1)]
    assert (data.face.T.tolist() == fans) if fans else (data.face is None)
    torch.testing.assert_close(data.color, torch.tensor([[1.0, 0.0, 0.2]]).expand(4, 3))
    assert data.x.tolist() == [[0.5, 7]] * 4


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize(
    ("name", "text"),
    [("a.off", "OFF\n# Stra\u00dfe\n4 0 0\n" + TETRAHEDRON),
     ("a.xyz", "# Stra\u00dfe\n" + TETRAHEDRON),
     ("a.obj", "# Stra\u00dfe\nv " + TETRAHEDRON.strip().replace("\n", "\nv "))],
)  # fmt: skip
def test_texts_are_read_in_the_usual_encodings(tmp_path: Path, name, text, encoding) -> None:
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert same(read_shape(tmp_path / name).pos, POINTS)


def written(folder: Path, ending: str, points: np.ndarray) -> Path:
    """A file of points in double precision."""
    path = folder / f"a.{ending}"
    lines = "".join(" ".join(map(repr, row)) + "\n" for row in points.tolist())
    if ending in ("npy", "npz"):
        np.save(path, points) if ending == "npy" else np.savez(path, pos=points)
    elif ending in ("las", "laz"):
        laspy = pytest.importorskip("laspy")
        header = laspy.LasHeader(point_format=0, version="1.2")
        header.offsets, header.scales = points[0].round(), [0.001] * 3
        scan = laspy.LasData(header)
        scan.xyz = points
        scan.write(path)
    else:
        head = {"off": f"OFF\n{len(points)} 0 0\n", "ply": f"ply\nformat ascii 1.0\nelement vertex "
                f"{len(points)}\nproperty double x\nproperty double y\nproperty double z\n"
                "end_header\n"}  # fmt: skip
        lines = "".join(f"v {line}\n" for line in lines.splitlines()) if ending == "obj" else lines
        path.write_text(head.get(ending, "") + lines)
    return path


@pytest.mark.parametrize("ending", ["npy", "npz", "xyz", "pts", "off", "obj", "ply", "las", "laz"])
def test_coordinates_of_a_national_grid_keep_their_millimetres(tmp_path: Path, ending) -> None:
    points = np.random.default_rng(0).random((50, 3)).round(3) * [900, 900, 90]
    points = (points + np.array([500_000.123, 4_649_776.123, 100])).round(3)
    data = read_shape(written(tmp_path, ending, points))
    assert (data.pos.dtype, data.origin.dtype) == (torch.float32, torch.float64)
    assert (data.pos.double() + data.origin - torch.from_numpy(points)).abs().max() < 1e-4
    # Near zero, or exact in single precision, coordinates stay as they are.
    for near in (points - points[0], np.round(points)):
        data = read_shape(written(tmp_path, ending, near))
        assert "origin" not in data
        assert (data.pos.double() - torch.from_numpy(near)).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("colours", "color_range"),
    [(COLOURS, None), (COLOURS.astype(np.uint16) * 257, None), (COLOURS / 255, None),
     ((COLOURS / 255).astype(np.float16), None), (COLOURS.astype(int), 255),
     (COLOURS.astype(float), 255)],
)  # fmt: skip
def test_colours_of_every_type_are_from_0_to_1(tmp_path: Path, colours, color_range) -> None:
    np.savez(tmp_path / "a.npz", pos=POINTS, rgb=colours)
    data = read_shape(tmp_path / "a.npz", color_range=color_range)
    torch.testing.assert_close(
        data.color, torch.from_numpy(COLOURS / np.float32(255)), atol=1e-3, rtol=0
    )
    if color_range:
        with pytest.raises(ValueError, match="pass `color_range`, the value of full colour"):
            read_shape(tmp_path / "a.npz")


def test_a_field_that_single_precision_rounds_is_warned_of(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", pos=POINTS, x=1e9 + np.arange(4.0)[:, None])
    with pytest.warns(UserWarning, match=r"column 0 of the features `x` is rounded by up to"):
        read_shape(tmp_path / "a.npz")


@pytest.mark.parametrize("transposed", [False, True])
def test_arrays_by_column_are_read_on_demand(tmp_path: Path, transposed: bool) -> None:
    table = np.random.default_rng(0).random((3, 3))
    np.save(tmp_path / "a.npy", table)
    expected = (table.T if transposed else table).astype(np.float32)
    assert same(read_shape(tmp_path / "a.npy", transposed=transposed).pos, expected)
    faces = np.array([[0, 1, 2], [1, 3, 2], [3, 0, 1]])
    np.savez(tmp_path / "a.npz", pos=POINTS, face=faces.T if transposed else faces)
    with pytest.raises(ValueError, match=r"`face` of shape \[3, 3\] can hold .* pass `transposed"):
        read_shape(tmp_path / "a.npz")
    data = read_shape(tmp_path / "a.npz", transposed=transposed)
    assert same(data.pos, POINTS)
    assert same(data.face.T, faces)


@pytest.mark.parametrize(
    ("name", "text", "features"),
    [
        ("a.xyz", "0 0 0\n1 0 0\n0 1 0\n1 1 0\n", None),
        ("a.xyz", "# x y z i\n0,0,0,5\n1,0,0,6\n\n0,1,0,7\n1,1,0,8\n", [[5], [6], [7], [8]]),
        ("a.xyz", "X Y Z I\n" + rows("2"), [[2]] * 4),
        ("a.xyz", "# i z y x\n5 0 0 0\n6 0 0 1\n7 0 1 0\n8 0 1 1\n", [[5], [6], [7], [8]]),
        ("a.xyz", '"id";"x";"y";"z"\n5;0;0;0\n6;1;0;0\n7;0;1;0\n8;1;1;0\n', [[5], [6], [7], [8]]),
        ("a.pts", "//X Y Z\n4\n" + TETRAHEDRON, None),
        (
            "a.xyz",
            "Northing,Easting,Height [m],I,\n0,0,0,5,\n0,1,0,6,\n1,0,0,7,\n1,1,0,8,\n",
            [[5], [6], [7], [8]],
        ),
        (
            "a.xyz",
            "POINT_Z POINT_Y POINT_X i\n0 0 0 5\n0 0 1 6\n0 1 0 7\n0 1 1 8\n",
            [[5], [6], [7], [8]],
        ),
        (
            "a.xyz",
            "x(m);y(m);z(m);height\n" + TETRAHEDRON.replace(" ", ";").replace("\n", ";9\n"),
            [[9]] * 4,
        ),
        ("a.xyz", TETRAHEDRON.replace(" ", " ; "), None),
        ("a.pts", "4\n0 0 0 1\n1 0 0 3\n0 1 0 5\n1 1 0 7\n", [[1], [3], [5], [7]]),
    ],
)
def test_columns_after_the_third_are_features(tmp_path: Path, name, text, features) -> None:
    (tmp_path / name).write_text(text)
    data = read_shape(tmp_path / name)
    assert same(data.pos, POINTS)
    assert (data.x is None) if features is None else (data.x.tolist() == features)


def test_scenes_keep_all_bodies_or_are_refused(trimesh, tmp_path: Path) -> None:
    cloud, path = trimesh.PointCloud(POINTS), tmp_path / "a.glb"
    scene = trimesh.Scene([cloud, cloud])
    scene.export(path)
    assert same(read_shape(path).pos, np.concatenate([POINTS, POINTS]))
    box, painted = trimesh.creation.box(), trimesh.creation.box()
    painted.visual.vertex_colors = [[255, 0, 51, 255]] * 8
    for bodies in ([painted, painted], [painted, box]):
        trimesh.Scene(bodies).export(path)
        assert ("color" in read_shape(path)) == (box not in bodies)
    scene.add_geometry(trimesh.creation.box())
    scene.export(path)
    with pytest.raises(ValueError, match="several kinds, PointCloud and Trimesh"):
        read_shape(path)


EDGES = "element edge 2\nproperty int vertex1\nproperty int vertex2\nend_header\n"
XYZ = "".join(f"property float {axis}\n" for axis in "xyz")


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nl 1 2 3\n", "1 lines"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nl 1 2\nl 2 3\n", "2 lines"),
        (
            "a.ply",
            f"ply\nformat ascii 1.0\nelement vertex 3\n{XYZ}{EDGES}0 0 0\n1 0 0\n0 1 0\n0 1\n1 2\n",
            "2 edges",
        ),
    ],
)
def test_edges_that_are_not_read_are_warned_of(tmp_path: Path, name, text, count) -> None:
    pytest.importorskip("plyfile")
    (tmp_path / name).write_text(text)
    with pytest.warns(UserWarning, match=f"{name} has {count} .* not read: save them as `edge_in"):
        assert read_shape(tmp_path / name).num_nodes == 3


def test_statements_of_obj_are_read_in_capitals_and_by_former_names(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("V 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nF 1 2 3\nfo 2 4 3\n")
    shape = read_shape(tmp_path / "a.obj")
    assert same(shape.pos, POINTS)
    assert same(shape.face.T, np.array([[0, 1, 2], [1, 3, 2]]))


def test_a_file_of_several_names_the_one_that_is_missing(trimesh, tmp_path: Path) -> None:
    files = trimesh.Scene([trimesh.creation.box()]).export(file_type="gltf")
    (tmp_path / "a.gltf").write_bytes(files["model.gltf"])
    with pytest.raises(ValueError, match=r"a\.gltf cannot be read \(it needs .*\.bin beside it"):
        read_shape(tmp_path / "a.gltf")


def test_texts_of_stl_in_capitals_are_read(trimesh, tmp_path: Path) -> None:
    (tmp_path / "a.stl").write_bytes(SOLID.upper())
    assert same(read_shape(tmp_path / "a.stl").pos, POINTS[:3])


def test_arrays_are_read_by_their_names(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.hstack([POINTS, NORMALS]).astype(np.float64))
    data = read_shape(tmp_path / "a.npy")
    assert same(data.pos, POINTS)
    assert same(data.x, NORMALS)
    assert data.pos.dtype == data.x.dtype == torch.float32
    arrays = {"vertices": POINTS, "colors": COLOURS, "normals": NORMALS, "features": POINTS[:, :2]}
    for face in (FACES, FACES.T):
        np.savez(tmp_path / "b.npz", faces=face, **arrays)
        data = read_shape(str(tmp_path / "b.npz"))
        assert same(data.face.T, FACES)
        assert same(data.normal, NORMALS)
        assert same(data.x, POINTS[:, :2])
        assert float(data.color.max()) == 1


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        *((f"a.{ending}", b"", "it is empty") for ending in ("xyz", "obj", "stl", "las", "npz")),
        ("a.xyz", b"1 2 3\n1 2\n", "line 2: '1 2', expected 3 numbers"),
        ("a.pts", b"3\n0 0 0\n1 1 1\n", "3 points announced, 2 lines found"),
        ("a.npz", b"PK\3\4nothing", ""),
        ("a.npy", array(POINTS)[:-9], ""),
        ("a.off", b"OFF\n3 1 0\n0 0 0\n", "3 vertices and 1 faces announced"),
        ("a.off", b"OFF\n3 1 0\n0 0 0\n0 1 0\n1 0 0\n3 0 1", "line 6: a face announces 3 corners"),
        ("a.ply", ply("x y z", POINTS[:2]).encode(), "row 2: early end-of-file"),
        ("a.obj", b"# Vertices: 3\nv 0 0 0\n", "3 vertices announced"),
        ("a.stl", bytes(80) + b"\2\0\0\0" + bytes(50), "184 bytes announced, 134 found"),
        ("a.stl", b"solid a\nfacet normal 0 0 1\n", "no endsolid"),
        ("a.stl", SOLID + b"solid b\nfacet normal 0 0 1\n", "2 facets, 1 that end"),
    ],
)
def test_files_that_end_early_are_damaged(trimesh, tmp_path: Path, name, content, problem) -> None:
    (tmp_path / name).write_bytes(content)
    message = rf"{re.escape(name)} is damaged \(.*{re.escape(problem)}.*restore the file"
    with pytest.raises(ValueError, match=message):
        read_shape(tmp_path / name)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n"
FACE = "element face 1\nproperty list uchar int vertex_index\n"
COLOURED = "ply\nformat ascii 1.0\nelement vertex 1\n" + "".join(
    f"property float {name}\n" for name in ("x", "y", "z", "red", "green", "blue")
)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.xyz", b"1 2\n", "a table of shape [1, 2]"),
        ("a.xyz", b"1 2\n1 2 3\n1 2\n", "line 2: '1 2 3', expected 2 numbers"),
        ("a.xyz", b"0,5 1,5 2,5\n", "line 1: '0,5 1,5 2,5', expected"),
        ("a.xyz", b"3\nwater\nO 0 0 0\nH 0 0 1\nH 0 1 0\n", "line 2: 'water' after the count"),
        ("a.xyz", b"2\n\n6 0 0 0\n8 0 0 1\n", "line 2: '' after the count"),
        ("a.xyz", b"0,5;0,1;0,2\n1;2;3\n", "line 1: '0,5;0,1;0,2', expected 3 numbers"),
        ("a.xyz", b"1D0 2D0 3D0\n1 2 3\n", "line 1: '1D0 2D0 3D0', expected"),
        ("a.xyz", b"N/A N/A N/A\n1 2 3\n", "line 1: 'N/A N/A N/A', expected"),
        ("a.stl", LFS, "a pointer of Git LFS, not the file: fetch it by `git lfs pull`"),
        ("a.npz", LFS, "a pointer of Git LFS"),
        ("a.glb", b"<html><body>404</body></html>", "a page of the web"),
        ("a.stl", bytes(80) + b"\1\0\0\0" + bytes(52), "134 bytes announced, 136 found"),
        ("a.xyz", b"1 2 nan\n", "a point is NaN or infinite"),
        ("a.xyz", b"1 2 3\n1e39 2 3\n", "beyond single precision: [1e+39, 2.0, 3.0] in row 1"),
        ("a.xyz", b"1 2 3 0\n1 2 3 inf\n", "`x` is NaN or infinite in row 1"),
        ("a.xyz", "1 2 3\n".encode("utf-16-le"), "save it as text in UTF-8"),
        ("a.xyz", b"x y z i\n0 0 0\n1 1 1\n", "its heading has 4 names, 'x, y, z, i', and its"),
        ("a.xyz", b"Point ID X Y Z\n1 0 0 0\n", "its heading has 5 names"),
        ("a.xyz", b"i,a,b,c\n1,2,3,4\n", "its heading names no x, y and z: 'i, a, b, c': rename"),
        ("a.pts", b"1\n0 0 0\n1 1 1\n", "1 points announced, 2 lines found"),
        ("a.npy", b"nothing", "does not begin as a .npy file"),
        ("a.npz", b"nothing", "does not begin as a .npz file"),
        ("a.npy", array(np.array([[1, "a", None]], object)), "allow_pickle"),
        ("a.npy", array(POINTS.T), "[3, 4] can hold a point or a triangle in each row or in"),
        ("a.npy", array(np.eye(6)), "[6, 6] can hold a point"),
        ("a.npy", array(np.zeros((2, 100))), "[2, 100] can hold a point"),
        ("a.npy", array(np.zeros((6, 100))), "pass `transposed=False` or `transposed=True`"),
        ("a.off", b"OFF BINARY\n1 0 0\n0 0 0\n", "OFF BINARY: only OFF, NOFF, COFF"),
        ("a.off", b"nOFF\n3\n1 0 0\n0 0 0\n", "nOFF, of any number of dimensions, is not read"),
        ("a.off", b"OFF\n4\n0 0 0\n", "line 2: '4', expected two counts"),
        ("a.off", f"OFF\n4 1 0\n{TETRAHEDRON}2 0 1\n".encode(), "and a face at least 3"),
        ("a.off", b"4OFF\n1 0 0\n0 0 0 1\n", "4OFF: only"),
        ("a.off", b"OFF\n1 0 0\n0 0 0\n1 1 1\n", "announced, 2 lines found"),
        ("a.off", b"COFF\n1 0 0\n0 0 0 300 0 0\n", "colours 0.0 to 300.0, expected 0 to 1"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nf 1 2 -3\n", "line 3: a face of the vertices [0, 1, -1]"),
        ("a.obj", b"v 0 0 0\n\nf 1 x 1\n", "line 3: a face with a corner 'x'"),
        ("a.obj", b"v 0 0 0\nv 0 0\nf 1 1 1\n", "line 2: '0 0', expected 3 numbers"),
        ("a.obj", b"v 0 0 0\nf 1 1\nf 1 1 1\n", "and a face at least 3"),
        ("a.obj", b"# nothing\n", "no point"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\ncurv 0 1 1 2\n", "line 3: 'curv', curves, surfaces and"),
        ("a.obj", b"v 0 0 0\ncall b.obj\n", "line 2: 'call', "),
        ("a.ply", ply("x y z", POINTS[:0]).replace("vertex 4", "vertex 0").encode(), "no point"),
        ("a.ply", b"\0\1\2", "expected 'ply'"),
        ("a.ply", ply("x y z", POINTS, FACE, "3 0 1 4\n").encode(), "face 0: a face of the vert"),
        ("a.ply", ply("x y z", POINTS, FACE, "3 0 1 2\n1 1 1\n").encode(), "more follows than"),
        ("a.ply", ply("x y w", POINTS).encode(), "z"),
        ("a.ply", f"{COLOURED}end_header\n0 0 0 255 0 0\n".encode(), "pass `color_range`"),
    ],
)
def test_files_that_hold_something_else_are_not_called_damaged(
    tmp_path: Path, name, content, problem
) -> None:
    (tmp_path / name).write_bytes(content)
    message = rf"{re.escape(name)} cannot be read \(.*{re.escape(problem)}"
    with pytest.raises(ValueError, match=message):
        read_shape(tmp_path / name)


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"points": POINTS, "normals": NORMALS[:2]}, r"`normal` of shape \[2, 3\] beside 4 points"),
        ({"points": POINTS, "colors": COLOURS[:, :2]}, r"`color` of shape \[4, 2\]"),
        ({"position": POINTS}, r"no array named pos, points, .* among \['position'\]"),
        ({"points": POINTS[:0]}, "no point"),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path: Path, arrays: dict, problem: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=problem):
        read_shape(tmp_path / "a.npz")


def test_other_files_and_a_missing_extra_are_named(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "notes.txt").write_text("0 0 0\n")
    message = r"format of .*notes\.txt is unknown: expected \.las, \.laz, \.npy, \.npz, \.obj"
    with pytest.raises(ValueError, match=message):
        read_shape(tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError, match=r"The file .*absent\.ply is missing"):
        read_shape(tmp_path / "absent.ply")
    monkeypatch.setitem(sys.modules, "trimesh", None)
    assert is_shape(Path("a.stl"))
    assert not is_shape(Path("a.gltf"))
    for module, ending, extra in (("trimesh", "stl", "mesh"), ("plyfile", "PLY", "mesh"),
                                  ("laspy", "las", "scans")):  # fmt: skip
        monkeypatch.setitem(sys.modules, module, None)
        (tmp_path / f"a.{ending}").write_text("content")
        with pytest.raises(ImportError, match=rf'pip install "graphmask\[{extra}\]"'):
            read_shape(tmp_path / f"a.{ending}")
